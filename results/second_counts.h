#pragma once

#include <cstdint>

namespace dsbench::results {

// Counts of one second of due times within a stage: what recovery and collapse are judged on.
struct SecondCounts {
  std::int64_t second = 0;  // since the start of the run
  std::int64_t due = 0;     // offered
  std::int64_t good = 0;    // of these
  std::int64_t ended = 0;   // of these: good or not, but decided
  [[nodiscard]] bool decided() const { return ended >= due; }
  friend bool operator==(const SecondCounts&, const SecondCounts&) = default;
};

}  // namespace dsbench::results
