#include "kernelbench/ops/product.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/rng.h"
#include "kernelbench/ops/dots.h"
#include "kernelbench/ops/ops.h"
#include "kernelbench/ops/parallel.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::int64_t kRowsAtOnce = 128;    // of a, kept decoded
constexpr std::int64_t kColumnsAtOnce = 64;  // of c: rows of w that a thread takes
constexpr std::int64_t kStep = 256;  // of k: eight rows of w and one of a stay in the first-level cache

// Squared half-widths of rounding: ulp(x)²/12 is the variance of a value rounded to the nearest.
double rounding_variance(Dtype type, double x) {
  const int digits = type == Dtype::bf16 ? 8 : type == Dtype::f32 ? 24 : 53;
  if (x == 0) return 0;
  const double ulp = std::ldexp(1.0, std::ilogb(x) + 1 - digits);
  return ulp * ulp / 12;
}

// Mean square of the elements of some rows, evenly chosen.
double mean_square(const MatrixView& matrix) {
  if (matrix.rows == 0) return 0;
  std::vector<double> row(static_cast<std::size_t>(matrix.k));
  const std::int64_t step = std::max<std::int64_t>(1, matrix.rows / 32);
  double sum = 0;
  double count = 0;
  for (std::int64_t r = 0; r < matrix.rows; r += step) {
    matrix.decode(r, 0, matrix.k, row.data());
    for (const double x : row) sum += x * x;
    count += static_cast<double>(row.size());
  }
  return sum / count;
}

}  // namespace

void MatrixView::decode(std::int64_t row, std::int64_t begin, std::int64_t end, double* to) const {
  decode_range(*values, first + row * stride + begin, end - begin, to);
  if (scale == nullptr) return;
  const float* scales = scale->as<float>() + first_scale;
  if (group == 0) {
    const double s = static_cast<double>(scales[row]);
    for (std::int64_t i = begin; i < end; ++i) to[i - begin] *= s;
    return;
  }
  const std::int64_t groups = (k + group - 1) / group;
  const float* mine = scales + row / band * groups;
  for (std::int64_t i = begin; i < end; ++i) to[i - begin] *= static_cast<double>(mine[i / group]);
}

void compare_rows(const ProductView& product, std::span<const std::int64_t> rows, Comparison& comparison) {
  const std::int64_t n = product.w.rows;
  const std::int64_t k = product.a.k;
  const double w_square = mean_square(product.w);
  std::vector<double> a;
  std::vector<double> want;
  std::vector<double> got(static_cast<std::size_t>(n));
  for (std::size_t at = 0; at < rows.size(); at += kRowsAtOnce) {
    const std::span<const std::int64_t> mine =
        rows.subspan(at, std::min<std::size_t>(kRowsAtOnce, rows.size() - at));
    const std::int64_t count = std::ssize(mine);
    a.resize(static_cast<std::size_t>(count * k));
    want.assign(static_cast<std::size_t>(count * n), 0);
    for (std::int64_t r = 0; r < count; ++r) product.a.decode(mine[r], 0, k, a.data() + r * k);
    parallel_for((n + kColumnsAtOnce - 1) / kColumnsAtOnce, [&](std::int64_t chunk) {
      double w[kDots * kStep];
      const std::int64_t last = std::min(n, (chunk + 1) * kColumnsAtOnce);
      for (std::int64_t j = chunk * kColumnsAtOnce; j < last; j += kDots) {
        const std::int64_t columns = std::min<std::int64_t>(kDots, last - j);
        for (std::int64_t begin = 0; begin < k; begin += kStep) {
          const std::int64_t end = std::min(k, begin + kStep);
          for (std::int64_t i = 0; i < kDots; ++i) {
            if (i < columns) {
              product.w.decode(j + i, begin, end, w + i * kStep);
            } else {
              std::fill_n(w + i * kStep, end - begin, 0.0);
            }
          }
          for (std::int64_t r = 0; r < count; ++r) {
            double sums[kDots] = {};
            add_dots(a.data() + r * k + begin, w, kStep, end - begin, sums);
            for (std::int64_t i = 0; i < columns; ++i) want[r * n + j + i] += sums[i];
          }
        }
      }
    });
    for (std::int64_t r = 0; r < count; ++r) {
      decode_range(*product.c, product.first + mine[r] * product.stride, n, got.data());
      double a_squares = 0;
      for (std::int64_t i = r * k; i < (r + 1) * k; ++i) a_squares += a[i] * a[i];
      comparison.row(
          std::span(want).subspan(static_cast<std::size_t>(r * n), static_cast<std::size_t>(n)), got,
          [&] { return fmt::format("{}row {}", product.name, mine[r]); }, std::sqrt(a_squares * w_square));
    }
  }
}

double sum_unit(const ProductView& product) {
  if (product.a.values->type() != Dtype::e4m3) return kUnitF32;
  return 0x1p-13 / std::sqrt(std::max(1.0, static_cast<double>(product.a.k) / 128));
}

Freivalds freivalds(const ProductView& product, std::uint64_t seed) {
  const std::int64_t m = product.a.rows;
  const std::int64_t n = product.w.rows;
  const std::int64_t k = product.a.k;
  Rng rng(seed, "kernelbench.freivalds");
  std::vector<double> sign(static_cast<std::size_t>(n));
  for (double& s : sign) s = (rng.next() >> 63) != 0 ? 1.0 : -1.0;

  std::vector<double> u(static_cast<std::size_t>(k));  // wᵀ·r
  double w_squares = 0;
  std::mutex joining;
  constexpr std::int64_t kBand = 128;
  parallel_for((n + kBand - 1) / kBand, [&](std::int64_t band) {
    std::vector<double> row(static_cast<std::size_t>(k));
    std::vector<double> part(static_cast<std::size_t>(k));
    double squares = 0;
    for (std::int64_t j = band * kBand; j < std::min(n, (band + 1) * kBand); ++j) {
      product.w.decode(j, 0, k, row.data());
      for (std::size_t i = 0; i < row.size(); ++i) {
        part[i] += sign[static_cast<std::size_t>(j)] * row[i];
        squares += row[i] * row[i];
      }
    }
    const std::scoped_lock lock(joining);
    w_squares += squares;
    for (std::size_t i = 0; i < part.size(); ++i) u[i] += part[i];
  });

  Freivalds worst;
  const Dtype type = product.c->type();
  const double unit = sum_unit(product);
  constexpr std::int64_t kRows = 8;
  parallel_for((m + kRows - 1) / kRows, [&](std::int64_t chunk) {
    std::vector<double> a(static_cast<std::size_t>(k));
    std::vector<double> c(static_cast<std::size_t>(n));
    for (std::int64_t row = chunk * kRows; row < std::min(m, (chunk + 1) * kRows); ++row) {
      product.a.decode(row, 0, k, a.data());
      decode_range(*product.c, product.first + row * product.stride, n, c.data());
      double expected = 0;
      double a_squares = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        expected += a[i] * u[i];
        a_squares += a[i] * a[i];
      }
      double found = 0;
      double variance = unit * unit * a_squares * w_squares;
      for (std::size_t j = 0; j < c.size(); ++j) {
        found += sign[j] * c[j];
        variance += rounding_variance(type, c[j]);
      }
      // The oracle's own rounding, for operands that are all zero.
      const double noise = std::sqrt(variance) + 1e-14 * std::sqrt(a_squares * w_squares) + 1e-300;
      const double sigma = std::fabs(found - expected) / noise;
      if (sigma > 0 || std::isnan(sigma)) {
        const std::scoped_lock lock(joining);
        if (!(sigma <= worst.sigma)) worst = {.sigma = sigma, .row = row};
      }
    }
  });
  return worst;
}

void check_freivalds(const ProductView& product, std::uint64_t seed, CheckResult& result) {
  const Freivalds found = freivalds(product, seed);
  result.freivalds_sigma = std::max(result.freivalds_sigma.value_or(0), found.sigma);
  if (!(found.sigma <= kFreivaldsGate)) {
    complain(result, fmt::format("c: {}row {}: Freivalds' residual is {:.3g} sigma, at most {:.0f}",
                                 product.name, found.row, found.sigma, kFreivaldsGate));
  }
}

void check_product(const ProductView& product, double budget_flops, std::vector<std::int64_t> boundaries,
                   std::uint64_t seed, CheckResult& result, Comparison& comparison) {
  const std::int64_t m = product.a.rows;
  if (m == 0) return;
  const double row_flops = 2.0 * static_cast<double>(product.w.rows) * static_cast<double>(product.a.k);
  add_tile_boundaries(0, m, boundaries);
  const std::vector<std::int64_t> rows =
      rows_to_check(m, affordable_rows(m, row_flops, budget_flops), std::move(boundaries), seed);
  compare_rows(product, rows, comparison);
  result.rows += m;
  result.rows_checked += std::ssize(rows);
  if (std::ssize(rows) < m) check_freivalds(product, seed, result);
}

}  // namespace dsbench::kernelbench
