#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

#include "core/units.h"

namespace dsbench::loadgen {

// How late a thread that does nothing but sleep wakes up on this machine, measured beside a run: so that a
// virtual machine's pauses are not mistaken for the generator's own lag. Sleeps 1 ms at a time, which costs
// well under one per cent of a core.
class JitterProbe {
 public:
  JitterProbe();
  ~JitterProbe();
  JitterProbe(const JitterProbe&) = delete;
  JitterProbe& operator=(const JitterProbe&) = delete;

  // The 99th percentile since the last call, rounded up to the end of its bucket (at most 7 % more); 0
  // without a sample.
  [[nodiscard]] Nanos take_p99();

  // Buckets: 16 to each power of two nanoseconds. Public for their test.
  static constexpr std::size_t bucket_count = 16 * 44;
  [[nodiscard]] static std::size_t bucket_of(Nanos lateness);
  [[nodiscard]] static Nanos bucket_end(std::size_t bucket);

 private:
  void run();

  std::array<std::atomic<std::uint32_t>, bucket_count> counts_{};
  std::atomic<bool> quit_{false};
  std::thread thread_;
};

}  // namespace dsbench::loadgen
