#include "results/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace dsbench::results {
namespace {

constexpr int half_bits = Histogram::sub_bucket_half_bits;
constexpr std::int64_t half = std::int64_t{1} << half_bits;
constexpr std::int64_t sub_bucket_mask = 2 * half - 1;

// Bucket b holds values v with 2^(b+10) ≤ v < 2^(b+11), b > 0, in steps of 2^b; bucket 0 holds 0 … 2047 in
// steps of 1.
int bucket_of_value(std::int64_t v) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(v | sub_bucket_mask))) - (half_bits + 1);
}
// The first 1,024 counters are the lower half of bucket 0; every further 1,024 the upper half of one bucket.
int bucket_of_index(int index) {
  return std::max((index >> half_bits) - 1, 0);
}

// Only a damaged file gets this far: it must give a wrong mean and not undefined behaviour.
std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}
std::int64_t saturating_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<std::int64_t>::max() : product;
}

}  // namespace

Histogram::Histogram(const Histogram& other) {
  *this = other;
}

Histogram& Histogram::operator=(const Histogram& other) {
  if (this == &other) return *this;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i] = other.blocks_[i] ? std::make_unique<Block>(*other.blocks_[i]) : nullptr;
  }
  count_ = other.count_;
  infinite_ = other.infinite_;
  sum_ = other.sum_;
  min_ = other.min_;
  max_ = other.max_;
  return *this;
}

Histogram::Block& Histogram::block(int index) {
  auto& slot = blocks_[static_cast<std::size_t>(index >> block_bits)];
  if (!slot) slot = std::make_unique<Block>(Block{});
  return *slot;
}

int Histogram::index_of(Nanos value) {
  const std::int64_t v = std::clamp<std::int64_t>(value.count(), 0, highest);
  const int bucket = bucket_of_value(v);
  return ((bucket + 1) << half_bits) + static_cast<int>((v >> bucket) - half);
}

Nanos Histogram::lowest_at(int index) {
  const int bucket = bucket_of_index(index);
  const std::int64_t within = index - (static_cast<std::int64_t>(bucket + 1) << half_bits) + half;
  return Nanos{within << bucket};
}

Nanos Histogram::highest_at(int index) {
  return Nanos{lowest_at(index).count() + (std::int64_t{1} << bucket_of_index(index)) - 1};
}

void Histogram::record(int index, std::int64_t low, std::int64_t typical, std::int64_t high,
                       std::int64_t times) {
  if (times <= 0) return;
  block(index)[static_cast<std::size_t>(index) % Block{}.size()] += times;
  min_ = count_ > 0 ? std::min(min_, low) : low;
  max_ = count_ > 0 ? std::max(max_, high) : high;
  count_ += times;
  sum_ = saturating_add(sum_, saturating_product(typical, times));
}

void Histogram::record(Nanos value, std::int64_t times) {
  const std::int64_t v = std::max<std::int64_t>(value.count(), 0);
  record(index_of(value), v, v, v, times);
}

void Histogram::record_counter(int index, std::int64_t times) {
  const std::int64_t low = lowest_at(index).count(), high = highest_at(index).count();
  record(index, low, low + (high - low) / 2, high, times);
}

void Histogram::add(const Histogram& other) {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const auto& from = other.blocks_[i];
    if (!from) continue;
    auto& to = blocks_[i];
    if (!to) {
      to = std::make_unique<Block>(*from);
      continue;
    }
    for (std::size_t k = 0; k < to->size(); ++k) (*to)[k] += (*from)[k];
  }
  if (other.count_ > 0) {
    min_ = count_ > 0 ? std::min(min_, other.min_) : other.min_;
    max_ = count_ > 0 ? std::max(max_, other.max_) : other.max_;
  }
  count_ += other.count_;
  infinite_ += other.infinite_;
  sum_ = saturating_add(sum_, other.sum_);
}

std::int64_t Histogram::counter(int index) const {
  const auto& slot = blocks_[static_cast<std::size_t>(index >> block_bits)];
  return slot ? (*slot)[static_cast<std::size_t>(index) % slot->size()] : 0;
}

std::int64_t Histogram::count_at(Nanos value) const {
  return counter(index_of(value));
}

int Histogram::next_index(int from) const {
  for (int i = from; i < counter_count; ++i) {
    const auto& slot = blocks_[static_cast<std::size_t>(i >> block_bits)];
    if (!slot) {
      i |= static_cast<int>(Block{}.size()) - 1;  // to the end of the block
    } else if ((*slot)[static_cast<std::size_t>(i) % slot->size()] != 0) {
      return i;
    }
  }
  return -1;
}

std::optional<Nanos> Histogram::quantile(double q) const {
  const std::int64_t n = count_ + infinite_;
  if (n == 0) return std::nullopt;
  // The product's rounding must not push a whole rank (0.99 · 100) to the next one.
  const double exact = q * static_cast<double>(n);
  const auto rank =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(exact * (1 - 1e-15) - 1e-9)));
  if (rank > count_) return std::nullopt;
  std::int64_t seen = 0;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    if (!blocks_[b]) continue;
    for (std::size_t k = 0; k < blocks_[b]->size(); ++k) {
      seen += (*blocks_[b])[k];
      if (seen >= rank) {
        const int index = static_cast<int>((b << block_bits) + k);
        return Nanos{std::clamp(highest_at(index).count(), min_, max_)};
      }
    }
  }
  return Nanos{max_};
}

bool operator==(const Histogram& a, const Histogram& b) {
  if (a.count_ != b.count_ || a.infinite_ != b.infinite_ || a.sum_ != b.sum_ || a.min() != b.min() ||
      a.max() != b.max()) {
    return false;
  }
  for (int i = 0; i < Histogram::counter_count; ++i) {
    if (a.counter(i) != b.counter(i)) return false;
  }
  return true;
}

}  // namespace dsbench::results
