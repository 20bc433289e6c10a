#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernelbench/op.h"
#include "kernelbench/ops/parallel.h"

namespace dsbench::kernelbench {

// What a right kernel keeps to. A diff is Σ(x−y)²/Σ(x²+y²): half the squared relative error. It is a mean
// over elements, and of n of them scatters by 1/√n: its gates are widened by 1 + 4/√n. An element may be off
// by abs + rel·|want| + rms·(root mean square of its row).
struct Gates {
  double global_diff = 0;
  double row_diff = 0;
  double abs = 0;
  double rel = 0;
  double rms = 0;
};

// The unit roundoff of f32.
inline constexpr double kUnitF32 = 0x1p-24;

// The gates of a result that is one sum of `terms` products in f32, in any order and any blocking. In
// sequence and with random signs its error is about u·√(terms/6) of the row's rms; a few times that passes,
// and so does a blocked or pairwise sum, which errs less.
[[nodiscard]] Gates f32_sum_gates(double terms);
// Of a bf16 result of f32 sums. Rounding alone gives a diff of 1.4e-6.
[[nodiscard]] Gates bf16_product_gates();
// A bf16 result of a few operations in f32: 1 ulp and 1e-6.
[[nodiscard]] Gates bf16_pointwise_gates();
// The same in f32, for `roundings` of them.
[[nodiscard]] Gates f32_pointwise_gates(double roundings);

// Collects rows of one output, then gives the verdict. Rows may be added from several threads if each has a
// Comparison of its own; merge() joins them.
class Comparison {
 public:
  Comparison(std::string_view output, const Gates& gates) : output_{output}, gates_{gates} {}

  // want and got of one row; `name` is what a message calls it ("row 17", "request 3 query 0 head 5"). A sum
  // that happens to cancel is not asked to be more exact than others: the row counts as having at least
  // `usual_rms`.
  template <class Name>
  void row(std::span<const double> want, std::span<const double> got, const Name& name,
           double usual_rms = 0) {
    const Findings found = measure(want, got, usual_rms);
    if (found.bad_element >= 0 || found.diff > gates_.row_diff * widened(want.size()))
      note(found, want, got, name());
    add(found, want.size());
  }
  void merge(const Comparison& other);

  [[nodiscard]] bool passed() const;
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  // Puts its figures into the result, and its complaint if it is the first.
  void conclude(CheckResult& result) const;

 private:
  struct Findings {
    double difference = 0;  // Σ(x−y)²
    double size = 0;        // Σ(x²+y²)
    double diff = 0;
    double worst = 0;                // largest error in units of the element gate
    std::int64_t worst_element = 0;  // where
    std::int64_t bad_element = -1;   // the first that is not finite where it should be; −1: none
  };
  [[nodiscard]] static double widened(std::size_t elements);
  [[nodiscard]] Findings measure(std::span<const double> want, std::span<const double> got,
                                 double usual_rms) const;
  void note(const Findings& found, std::span<const double> want, std::span<const double> got,
            const std::string& name);
  void add(const Findings& found, std::size_t elements);

  std::string output_;
  Gates gates_;
  std::int64_t rows_ = 0;
  std::size_t elements_ = 0;
  double difference_ = 0;
  double size_ = 0;
  double worst_row_ = 0;
  double worst_element_ = 0;
  std::string complaint_;
  bool bad_ = false;
};

// Calls f(row, comparisons) for every row, on several threads, each with comparisons of its own that are then
// merged into `totals` in the order of rows.
template <class F>
void compare_rows_of(std::span<const std::int64_t> rows, std::span<Comparison> totals, const F& f) {
  constexpr std::int64_t kChunk = 16;
  const std::int64_t chunks = (std::ssize(rows) + kChunk - 1) / kChunk;
  const std::vector<Comparison> fresh(totals.begin(), totals.end());
  std::vector<std::vector<Comparison>> parts(static_cast<std::size_t>(chunks), fresh);
  parallel_for(chunks, [&](std::int64_t chunk) {
    const auto begin = static_cast<std::size_t>(chunk * kChunk);
    for (const std::int64_t row : rows.subspan(begin, std::min<std::size_t>(kChunk, rows.size() - begin))) {
      f(row, std::span(parts[static_cast<std::size_t>(chunk)]));
    }
  });
  for (const std::vector<Comparison>& part : parts) {
    for (std::size_t i = 0; i < part.size(); ++i) totals[i].merge(part[i]);
  }
}

// Names the first element of [begin, end) that a kernel left as it was or made NaN or infinite; empty: none.
// `allow_minus_infinity` is for logarithms of nothing.
[[nodiscard]] std::string find_not_finite(const HostTensor& tensor, std::int64_t begin, std::int64_t end,
                                          bool allow_minus_infinity = false);
[[nodiscard]] inline std::string find_not_finite(const HostTensor& tensor) {
  return find_not_finite(tensor, 0, tensor.elements());
}

// Fails the result; the first complaint stays.
void complain(CheckResult& result, std::string what);

// All rows if `affordable` says so, else a seeded sample of 16 to 64 of them together with `boundaries`, of
// which at most 256 are kept, evenly. Sorted, without duplicates.
[[nodiscard]] std::vector<std::int64_t> rows_to_check(std::int64_t rows, std::int64_t affordable,
                                                      std::vector<std::int64_t> boundaries,
                                                      std::uint64_t seed);
// First and last rows of tiles of 128 over [begin, end).
void add_tile_boundaries(std::int64_t begin, std::int64_t end, std::vector<std::int64_t>& boundaries);

// Elements [begin, begin + count) as numbers.
void decode_range(const HostTensor& tensor, std::int64_t begin, std::int64_t count, double* to);

}  // namespace dsbench::kernelbench
