#include "kernelbench/ops/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/rng.h"
#include "kernelbench/ops/bits.h"
#include "kernelbench/ops/parallel.h"

namespace dsbench::kernelbench {
namespace {

// Half the squared relative error.
double diff_of(double relative_error) {
  return relative_error * relative_error / 2;
}

template <class T, class F>
std::int64_t first_where(const T* data, std::int64_t begin, std::int64_t end, const F& bad) {
  constexpr std::int64_t kChunk = 1 << 18;
  std::atomic<std::int64_t> first{end};
  parallel_for((end - begin + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    const std::int64_t from = begin + chunk * kChunk;
    const std::int64_t to = std::min(end, from + kChunk);
    bool any = false;  // without a branch first, so that it goes as fast as memory
    for (std::int64_t i = from; i < to; ++i) any |= bad(data[i]);
    if (!any) return;
    for (std::int64_t i = from; i < to; ++i) {
      if (!bad(data[i])) continue;
      std::int64_t so_far = first.load();
      while (i < so_far && !first.compare_exchange_weak(so_far, i)) {
      }
      return;
    }
  });
  return first.load();
}

}  // namespace

Gates f32_sum_gates(double terms) {
  const double error = kUnitF32 * (std::sqrt(terms) + 4);
  return {.global_diff = diff_of(2 * error),
          .row_diff = diff_of(4 * error),
          .abs = 0,
          .rel = 2 * kUnitF32,
          .rms = 8 * error};
}

Gates bf16_product_gates() {
  return {.global_diff = 1e-5, .row_diff = 5e-5, .abs = 0, .rel = 0x1p-8, .rms = 1e-2};
}

Gates bf16_pointwise_gates() {
  // 1 ulp is at most 2^-7 of the value.
  return {.global_diff = 5e-6, .row_diff = 1e-5, .abs = 1e-6, .rel = 0x1p-7, .rms = 0};
}

Gates f32_pointwise_gates(double roundings) {
  const double error = kUnitF32 * roundings;
  return {.global_diff = diff_of(error),
          .row_diff = diff_of(2 * error),
          .abs = 1e-30,
          .rel = 2 * error,
          .rms = 0};
}

double Comparison::widened(std::size_t elements) {
  return 1 + 4 / std::sqrt(static_cast<double>(elements));
}

Comparison::Findings Comparison::measure(std::span<const double> want, std::span<const double> got,
                                         double usual_rms) const {
  Findings found;
  double squares = 0;
  for (const double w : want) squares += std::isfinite(w) ? w * w : 0;
  const auto count = static_cast<double>(want.size());
  const double rms = want.empty() ? 0 : std::max(usual_rms, std::sqrt(squares / count));
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double x = want[i];
    const double y = got[i];
    if (!std::isfinite(x) || !std::isfinite(y)) {
      if (x == y) continue;  // minus infinity where it belongs
      if (found.bad_element < 0) found.bad_element = static_cast<std::int64_t>(i);
      continue;
    }
    const double error = std::fabs(x - y);
    found.difference += error * error;
    found.size += x * x + y * y;
    const double limit = gates_.abs + gates_.rel * std::fabs(x) + gates_.rms * rms;
    const double units = limit > 0 ? error / limit : error > 0 ? HUGE_VAL : 0;
    if (units > found.worst) {
      found.worst = units;
      found.worst_element = static_cast<std::int64_t>(i);
    }
  }
  if (found.worst > 1 && found.bad_element < 0) found.bad_element = found.worst_element;
  found.size = std::max(found.size, 2 * count * usual_rms * usual_rms);
  found.diff = found.size > 0 ? found.difference / found.size : 0;
  return found;
}

void Comparison::note(const Findings& found, std::span<const double> want, std::span<const double> got,
                      const std::string& name) {
  bad_ = true;
  if (!complaint_.empty()) return;
  if (found.bad_element >= 0) {
    const auto at = static_cast<std::size_t>(found.bad_element);
    complaint_ =
        fmt::format("{}: {}: element {} is {:.7g}, should be {:.7g}", output_, name, at, got[at], want[at]);
    if (found.worst > 1) complaint_ += fmt::format(" ({:.3g} times the element gate)", found.worst);
  } else {
    complaint_ = fmt::format("{}: {}: diff {:.3g} of the row, at most {:.3g}", output_, name, found.diff,
                             gates_.row_diff * widened(want.size()));
  }
}

void Comparison::add(const Findings& found, std::size_t elements) {
  ++rows_;
  elements_ += elements;
  difference_ += found.difference;
  size_ += found.size;
  worst_row_ = std::max(worst_row_, found.diff);
  worst_element_ = std::max(worst_element_, found.worst);
}

void Comparison::merge(const Comparison& other) {
  rows_ += other.rows_;
  elements_ += other.elements_;
  difference_ += other.difference_;
  size_ += other.size_;
  worst_row_ = std::max(worst_row_, other.worst_row_);
  worst_element_ = std::max(worst_element_, other.worst_element_);
  bad_ = bad_ || other.bad_;
  if (complaint_.empty()) complaint_ = other.complaint_;
}

bool Comparison::passed() const {
  return !bad_ && (size_ == 0 || difference_ / size_ <= gates_.global_diff * widened(elements_));
}

void Comparison::conclude(CheckResult& result) const {
  const double diff = size_ > 0 ? difference_ / size_ : 0;
  result.global_diff = std::max(result.global_diff, diff);
  result.worst_row_diff = std::max(result.worst_row_diff, worst_row_);
  result.worst_element = std::max(result.worst_element, worst_element_);
  if (bad_) {
    complain(result, complaint_);
  } else if (diff > gates_.global_diff * widened(elements_)) {
    complain(result, fmt::format("{}: diff {:.3g} over {} rows, at most {:.3g}", output_, diff, rows_,
                                 gates_.global_diff * widened(elements_)));
  }
}

std::string find_not_finite(const HostTensor& tensor, std::int64_t begin, std::int64_t end,
                            bool allow_minus_infinity) {
  if (begin >= end) return {};
  std::int64_t at = end;
  switch (tensor.type()) {
    case Dtype::f32: {
      constexpr std::uint32_t kMinusInfinity = 0xFF800000U;
      at = first_where(tensor.as<std::uint32_t>(), begin, end, [=](std::uint32_t bits) {
        return (bits & 0x7F800000U) == 0x7F800000U && !(allow_minus_infinity && bits == kMinusInfinity);
      });
      break;
    }
    case Dtype::bf16:
      at = first_where(tensor.as<std::uint16_t>(), begin, end,
                       [](std::uint16_t bits) { return (bits & 0x7F80) == 0x7F80; });
      break;
    case Dtype::e4m3:
      at = first_where(tensor.as<std::uint8_t>(), begin, end,
                       [](std::uint8_t bits) { return (bits & 0x7F) == 0x7F; });
      break;
    case Dtype::i8:
      at = first_where(tensor.as<std::int8_t>(), begin, end, [](std::int8_t value) { return value == -128; });
      break;
    case Dtype::i32:
      at = first_where(tensor.as<std::int32_t>(), begin, end,
                       [](std::int32_t value) { return value == -2147483647; });
      break;
    default:
      for (at = begin; at < end && std::isfinite(tensor.get(at)); ++at) {
      }
  }
  if (at >= end) return {};
  const double value = tensor.get(at);
  if (tensor.type() == Dtype::i8 || tensor.type() == Dtype::i32) {
    return fmt::format("{}: element {} is as it was before the kernel ran", tensor.name(), at);
  }
  return fmt::format("{}: element {} is {}{}", tensor.name(), at, value,
                     std::isnan(value) ? ": not written, or not a number" : "");
}

void complain(CheckResult& result, std::string what) {
  if (result.what.empty()) result.what = std::move(what);
  result.passed = false;
}

std::vector<std::int64_t> rows_to_check(std::int64_t rows, std::int64_t affordable,
                                        std::vector<std::int64_t> boundaries, std::uint64_t seed) {
  std::vector<std::int64_t> chosen;
  if (affordable >= rows) {
    chosen.resize(static_cast<std::size_t>(rows));
    for (std::int64_t i = 0; i < rows; ++i) chosen[static_cast<std::size_t>(i)] = i;
    return chosen;
  }
  constexpr std::size_t kMostBoundaries = 256;
  std::ranges::sort(boundaries);
  boundaries.erase(std::ranges::unique(boundaries).begin(), boundaries.end());
  const std::size_t step = (boundaries.size() + kMostBoundaries - 1) / kMostBoundaries;
  for (std::size_t i = 0; i < boundaries.size(); i += step) chosen.push_back(boundaries[i]);
  if (!boundaries.empty()) chosen.push_back(boundaries.back());
  const std::int64_t sample = std::clamp<std::int64_t>(affordable - std::ssize(chosen), 16, 64);
  Rng rng(seed, "kernelbench.rows");
  for (std::int64_t i = 0; i < sample; ++i) {
    chosen.push_back(static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(rows))));
  }
  std::ranges::sort(chosen);
  chosen.erase(std::ranges::unique(chosen).begin(), chosen.end());
  return chosen;
}

void add_tile_boundaries(std::int64_t begin, std::int64_t end, std::vector<std::int64_t>& boundaries) {
  constexpr std::int64_t kTile = 128;
  for (std::int64_t first = begin; first < end; first += kTile) {
    boundaries.push_back(first);
    boundaries.push_back(std::min(end, first + kTile) - 1);
  }
}

void decode_range(const HostTensor& tensor, std::int64_t begin, std::int64_t count, double* to) {
  switch (tensor.type()) {
    case Dtype::f32: {
      const float* from = tensor.as<float>() + begin;
      for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<double>(from[i]);
      return;
    }
    case Dtype::bf16: {
      const std::uint16_t* from = tensor.as<std::uint16_t>() + begin;
      for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<double>(bf16_value(from[i]));
      return;
    }
    case Dtype::e4m3: {
      const std::uint8_t* from = tensor.as<std::uint8_t>() + begin;
      for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<double>(e4m3_value(from[i]));
      return;
    }
    case Dtype::i8: {
      const std::int8_t* from = tensor.as<std::int8_t>() + begin;
      for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
      return;
    }
    default:
      for (std::int64_t i = 0; i < count; ++i) to[i] = tensor.get(begin + i);
  }
}

}  // namespace dsbench::kernelbench
