#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/units.h"

namespace dsbench::results {

// A high dynamic range histogram of durations: 3 significant decimal digits from 1 ns to 1 h, in
// HdrHistogram's own layout (2,048 linear counters up to 2,047 ns, then 1,024 for every further factor of
// two), so that the V2 encoding in results/hdr_codec.h is a walk over the counters. Values are whole
// nanoseconds.
//
// Histograms add exactly: counters, the count of infinite samples, the sum and the extremes of a merged
// histogram are those of all its samples, in whatever order they came. A counter spans at most 1/1024 of its
// value, and a quantile is the upper end of its counter (never above the largest sample), so it is at most
// 0.1 % too high and never too low.
//
// Memory follows what was seen: counters live in blocks of 128 (1 KiB), a typical metric touches some dozens
// of 274.
class Histogram {
 public:
  static constexpr std::int64_t highest = 3'600'000'000'000;  // 1 h; a longer sample is counted there
  static constexpr int sub_bucket_half_bits = 10;             // 1,024 counters for a factor of two
  static constexpr int bucket_count = 32;                     // 2^11 · 2^31 ns > 1 h
  static constexpr int counter_count = (bucket_count + 1) << sub_bucket_half_bits;

  Histogram() = default;
  Histogram(const Histogram& other);
  Histogram& operator=(const Histogram& other);
  Histogram(Histogram&&) noexcept = default;
  Histogram& operator=(Histogram&&) noexcept = default;

  // A negative sample is counted as 0: two stamps of one clock cannot be in the wrong order by more than its
  // resolution.
  void record(Nanos value, std::int64_t times = 1);
  // A request that failed: longer than anything. Counts in the ranks of quantiles.
  void record_infinite(std::int64_t times = 1) { infinite_ += times; }
  void add(const Histogram& other);

  [[nodiscard]] std::int64_t count() const { return count_; }        // finite samples
  [[nodiscard]] std::int64_t infinite() const { return infinite_; }  // the others
  [[nodiscard]] Nanos min() const { return Nanos{count_ > 0 ? min_ : 0}; }
  [[nodiscard]] Nanos max() const { return Nanos{count_ > 0 ? max_ : 0}; }
  // Of the finite samples, rounded down; exact up to a sum of 292 years.
  [[nodiscard]] Nanos mean() const { return Nanos{count_ > 0 ? sum_ / count_ : 0}; }
  // How many samples are counted together with this value.
  [[nodiscard]] std::int64_t count_at(Nanos value) const;

  // The sample of rank ⌈q · n⌉ of n = count + infinite, q in (0, 1]. Nothing: it is infinite, or there is
  // none.
  [[nodiscard]] std::optional<Nanos> quantile(double q) const;

  // Counter by counter, for the codec. `index` is HdrHistogram's.
  [[nodiscard]] static int index_of(Nanos value);
  [[nodiscard]] static Nanos lowest_at(int index);   // smallest value counted there
  [[nodiscard]] static Nanos highest_at(int index);  // largest
  [[nodiscard]] std::int64_t counter(int index) const;
  // `times` samples of which only the counter is known: the sum takes its middle, the extremes its ends.
  void record_counter(int index, std::int64_t times);
  // The lowest index ≥ `from` with a count; −1 when there is none.
  [[nodiscard]] int next_index(int from) const;

  friend bool operator==(const Histogram& a, const Histogram& b);

 private:
  static constexpr int block_bits = 7;
  using Block = std::array<std::int64_t, std::size_t{1} << block_bits>;
  static constexpr int block_count = counter_count >> block_bits;
  Block& block(int index);
  void record(int index, std::int64_t low, std::int64_t typical, std::int64_t high, std::int64_t times);

  std::array<std::unique_ptr<Block>, block_count> blocks_;
  std::int64_t count_ = 0, infinite_ = 0, sum_ = 0, min_ = 0, max_ = 0;
};

}  // namespace dsbench::results
