#include "loadgen/wire/jitter_probe.h"

#include <algorithm>
#include <bit>

#include "core/clock.h"
#include "loadgen/wire/issuer.h"

namespace dsbench::loadgen {

JitterProbe::JitterProbe() : thread_{&JitterProbe::run, this} {}

JitterProbe::~JitterProbe() {
  quit_.store(true);
  thread_.join();
}

std::size_t JitterProbe::bucket_of(Nanos lateness) {
  const auto n = static_cast<std::uint64_t>(std::max<std::int64_t>(lateness.count(), 0));
  if (n < 16) return static_cast<std::size_t>(n);
  const int width = static_cast<int>(std::bit_width(n));  // ≥ 5: the top bit, then four that choose among 16
  const auto bucket =
      static_cast<std::size_t>(width - 4) * 16 + static_cast<std::size_t>((n >> (width - 5)) & 15);
  return std::min(bucket, bucket_count - 1);
}

Nanos JitterProbe::bucket_end(std::size_t bucket) {
  if (bucket < 16) return Nanos{static_cast<std::int64_t>(bucket)};
  const auto shift = static_cast<int>(bucket / 16) - 1;
  return Nanos{static_cast<std::int64_t>(((std::uint64_t{16} + bucket % 16 + 1) << shift) - 1)};
}

Nanos JitterProbe::take_p99() {
  std::array<std::uint32_t, bucket_count> counts{};
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < bucket_count; ++i)
    total += counts[i] = counts_[i].exchange(0, std::memory_order_relaxed);
  const std::uint64_t rank = (total * 99 + 99) / 100;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bucket_count && total > 0; ++i) {
    seen += counts[i];
    if (seen >= rank) return bucket_end(i);
  }
  return Nanos{0};
}

void JitterProbe::run() {
  ask_for_exact_wakeups();
  SteadyClock clock;
  while (!quit_.load(std::memory_order_relaxed)) {
    const Nanos deadline = clock.now() + Nanos{1'000'000};
    clock.sleep_until(deadline);
    counts_[bucket_of(clock.now() - deadline)].fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace dsbench::loadgen
