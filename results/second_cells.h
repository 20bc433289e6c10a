#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/units.h"
#include "results/record.h"

namespace dsbench::results {

// The samples of one second, as (counter of results/histogram.h, count) pairs: a median for a chart at 8
// bytes a distinct counter. Adds exactly.
class SparseHistogram {
 public:
  void record(Nanos value);
  void add(const SparseHistogram& other);
  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] Nanos max() const { return max_; }
  // The sample of rank ⌈q·n⌉; 0 when empty.
  [[nodiscard]] Nanos quantile(double q) const;

 private:
  struct Entry {
    std::uint32_t count;
    std::uint16_t index;
  };
  void add(std::uint16_t index, std::uint32_t count);
  std::vector<Entry> entries_;  // by index
  std::int64_t count_ = 0;
  Nanos max_{0};
};

// What happened in one second, seen by one issuer thread. Adds exactly.
struct SecondCell {
  std::int64_t good_of_due = 0, ended_of_due = 0;              // of requests due in it
  std::int64_t sent = 0, completed = 0, good = 0, failed = 0;  // attempts sent, requests ended in it
  Nanos send_lag_max{0};
  SparseHistogram ttft;  // of requests whose first token came in it

  void add(const SecondCell& other);
};

// One cell a second of the run: what of a Recorder's memory grows with the length of the run.
class SecondCells {
 public:
  void add(const AttemptRecord& attempt);
  void add(const RequestRecord& request, bool is_good);
  void add(const SecondCells& other);
  [[nodiscard]] const std::vector<SecondCell>& cells() const { return cells_; }

 private:
  SecondCell& at(Nanos t);
  std::vector<SecondCell> cells_;
};

// Second of the run that a point of time lies in.
[[nodiscard]] constexpr std::int64_t second_of(Nanos t) {
  return t.count() < 0 ? 0 : t.count() / 1'000'000'000;
}

}  // namespace dsbench::results
