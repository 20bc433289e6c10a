// Products of the engine with weights of every type, against double.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/rng.h"
#include "engine/kernels/cpu/packed_matrix.h"
#include "engine/kernels/rope_config.h"
#include "engine/kernels/weight_type_name.h"
#include "tests/unit/engine_kernels_draws.h"

namespace dsbench::engine::kernels {
namespace {

using testing::draw;
using testing::kEps;
using testing::tables;
using testing::wide;

struct GemmShape {
  int m, n, k;
};

std::vector<GemmShape> odd_shapes() {
  std::vector<GemmShape> shapes;
  for (const int m : {1, 2, 3, 5, 6, 7, 12, 13, 31}) {
    for (const int n : {1, 15, 16, 17, 40, 129}) {
      for (const int k : {1, 7, 64, 131}) shapes.push_back({m, n, k});
    }
  }
  // Blocks of rows, with and without a rest, over several blocks of k in every type.
  shapes.insert(shapes.end(), {{25, 257, 2'100}, {48, 272, 515}, {200, 300, 70}});
  // And some that nobody chose.
  Rng rng(19, "shapes");
  for (int i = 0; i < 60; ++i) {
    shapes.push_back({1 + static_cast<int>(rng.below(70)), 1 + static_cast<int>(rng.below(200)),
                      1 + static_cast<int>(rng.below(300))});
  }
  return shapes;
}

// Activations rounded by a table as the decoder has it done.
struct Rounded {
  Rounded(const cpu::KernelTable& table, const std::vector<float>& a, int m, int k)
      : stride{(k + 63) / 64 * 64},
        values(static_cast<std::size_t>(m) * static_cast<std::size_t>(stride), std::int8_t{99}),
        scale(static_cast<std::size_t>(m)),
        sum(static_cast<std::size_t>(m)) {
    for (int i = 0; i < m; ++i) {
      scale[static_cast<std::size_t>(i)] =
          table.quantise(a.data() + i * k, k, values.data() + i * stride, sum.data() + i);
    }
  }
  [[nodiscard]] cpu::QuantisedRows rows() const {
    return {.values = values.data(), .stride = stride, .scale = scale.data(), .sum = sum.data()};
  }
  [[nodiscard]] double value(int row, int i) const {
    return static_cast<double>(values[static_cast<std::size_t>(row * stride + i)]) *
           static_cast<double>(scale[static_cast<std::size_t>(row)]);
  }
  int stride;
  std::vector<std::int8_t> values;
  std::vector<float> scale;
  std::vector<std::int32_t> sum;
};

class Gemm : public ::testing::TestWithParam<WeightType> {};

// Against double on the same rounded operands.
// fp32 and bf16: |error| ≤ k·eps·Σ|a·w| bounds any order of k multiply-adds; twice that is asked.
// int8: the sum is exact, and its float and the two products with scales round once each, |error| ≤
// 3·eps·|c|; in the operands of the test the scales' own product with a whole number rounds once more.
TEST_P(Gemm, MatchesDoubleForOddSizes) {
  const WeightType type = GetParam();
  double worst = 0;
  for (const cpu::KernelTable* table : tables()) {
    for (const auto& [m, n, k] : odd_shapes()) {
      const auto a = draw("a", static_cast<std::size_t>(m * k));
      std::vector<float> w = draw("w", static_cast<std::size_t>(n * k));
      const cpu::PackedMatrix packed(w, n, k, type);
      cpu::round_as(type, w, k);
      const Rounded rounded(*table, a, m, k);
      const int ldc = n + 3;
      std::vector<float> c(static_cast<std::size_t>(m * ldc), std::numeric_limits<float>::quiet_NaN());
      table->gemm(packed.times({.a = a.data(), .lda = k, .q = rounded.rows()}, m, c.data(), ldc));
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          double sum = 0;
          double magnitude = 0;
          for (int x = 0; x < k; ++x) {
            const double left = type == WeightType::int8
                                    ? rounded.value(i, x)
                                    : static_cast<double>(a[static_cast<std::size_t>(i * k + x)]);
            const double term = left * static_cast<double>(w[static_cast<std::size_t>(j * k + x)]);
            sum += term;
            magnitude += std::abs(term);
          }
          const double bound = type == WeightType::int8 ? 3 * kEps * std::abs(sum) + kEps * magnitude
                                                        : 2 * k * kEps * magnitude;
          const double error = std::abs(static_cast<double>(c[static_cast<std::size_t>(i * ldc + j)]) - sum);
          ASSERT_LE(error, bound) << table->name << " m " << m << " n " << n << " k " << k;
          if (magnitude > 0) worst = std::max(worst, error / (kEps * magnitude));
        }
        for (int j = n; j < ldc; ++j)
          ASSERT_TRUE(std::isnan(c[static_cast<std::size_t>(i * ldc + j)])) << "wrote beyond n";
      }
    }
  }
  fmt::print("gemm: worst error {:.2f} eps of the sum of magnitudes\n", worst);
}

// Against double on the operands before rounding. Half a step of bf16 is at most 2^-8 of a weight; half a
// step of int8 is scale/2, of the weight's channel and of the activation's row: Σ(|a|·s_w/2 + |w|·s_a/2 +
// s_a·s_w/4).
TEST_P(Gemm, RoundingCostsWhatItsWidthAllows) {
  const WeightType type = GetParam();
  double worst = 0;
  for (const cpu::KernelTable* table : tables()) {
    for (const auto& [m, n, k] : {GemmShape{7, 33, 131}, GemmShape{3, 100, 515}}) {
      const auto a = draw("wide a", static_cast<std::size_t>(m * k), -3, 3);
      const auto w = draw("wide w", static_cast<std::size_t>(n * k), -0.3, 0.5);
      const cpu::PackedMatrix packed(w, n, k, type);
      const Rounded rounded(*table, a, m, k);
      std::vector<float> c(static_cast<std::size_t>(m * n));
      table->gemm(packed.times({.a = a.data(), .lda = k, .q = rounded.rows()}, m, c.data(), n));
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          double sum = 0;
          double magnitude = 0;
          double left = 0;
          double right = 0;
          double largest = 0;
          for (int x = 0; x < k; ++x) {
            const auto av = static_cast<double>(a[static_cast<std::size_t>(i * k + x)]);
            const auto wv = static_cast<double>(w[static_cast<std::size_t>(j * k + x)]);
            sum += av * wv;
            magnitude += std::abs(av * wv);
            left += std::abs(av);
            right += std::abs(wv);
            largest = std::max(largest, std::abs(wv));
          }
          const double step_w = largest / 127;
          const auto step_a = static_cast<double>(rounded.scale[static_cast<std::size_t>(i)]);
          double bound = 2 * k * kEps * magnitude;
          if (type == WeightType::bf16) bound += 0x1p-8 * magnitude;
          if (type == WeightType::int8) {
            bound += (left * step_w / 2 + right * step_a / 2 + k * step_a * step_w / 4) * (1 + 1e-5);
          }
          const double error = std::abs(static_cast<double>(c[static_cast<std::size_t>(i * n + j)]) - sum);
          ASSERT_LE(error, bound) << table->name;
          worst = std::max(worst, error / bound);
        }
      }
    }
  }
  EXPECT_GT(worst, 0.005) << "a bound that nothing comes near says nothing";
}

TEST_P(Gemm, ARowDoesNotKnowItsNeighbours) {
  const WeightType type = GetParam();
  const int k = 77;
  const int n = 100;
  const auto a = draw("rows", 40 * k);
  const auto w = draw("weights", static_cast<std::size_t>(n * k));
  const cpu::PackedMatrix packed(w, n, k, type);
  for (const cpu::KernelTable* table : tables()) {
    const Rounded rounded(*table, a, 40, k);
    const cpu::InputRows rows{.a = a.data(), .lda = k, .q = rounded.rows()};
    std::vector<float> alone(n);
    for (const std::int32_t m : {40, 39, 35, 23, 11, 9, 5}) {
      std::vector<float> together(static_cast<std::size_t>(m * n));
      table->gemm(packed.times(rows, m, together.data(), n));
      for (std::int32_t row = 0; row < m; ++row) {
        cpu::GemmArgs args = packed.times(rows, 1, alone.data(), n);
        args.rows = &row;
        for (std::int32_t panel = 0; panel < packed.panels(); ++panel) {  // and one panel at a time
          args.panel_begin = panel;
          args.panel_end = panel + 1;
          table->gemm(args);
        }
        EXPECT_EQ(std::memcmp(alone.data(), together.data() + row * n, sizeof(float) * n), 0)
            << table->name << " row " << row << " of " << m;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Gemm, ::testing::Values(WeightType::fp32, WeightType::bf16, WeightType::int8),
                         [](const auto& type) { return std::string(name_of(type.param)); });

// What makes bf16 as deterministic as fp32, and testable against it.
TEST(Bf16, IsTheFp32ProductWithRoundedWeights) {
  for (const auto& [m, n, k] : odd_shapes()) {
    const auto a = draw("a", static_cast<std::size_t>(m * k));
    std::vector<float> w = draw("w", static_cast<std::size_t>(n * k));
    const cpu::PackedMatrix narrow(w, n, k, WeightType::bf16);
    cpu::round_as(WeightType::bf16, w, k);
    const cpu::PackedMatrix plain(w, n, k);
    for (const cpu::KernelTable* table : tables()) {
      std::vector<float> c(static_cast<std::size_t>(m * n));
      std::vector<float> same(c.size());
      table->gemm(narrow.times(a.data(), k, m, c.data(), n));
      table->gemm(plain.times(a.data(), k, m, same.data(), n));
      ASSERT_EQ(c, same) << table->name << " m " << m << " n " << n << " k " << k;
    }
  }
}

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(cpu::to_bf16(1.0F), 0x3F80);
  EXPECT_EQ(cpu::to_bf16(1.0F + 0x1p-8F), 0x3F80) << "a tie goes to the even one";
  EXPECT_EQ(cpu::to_bf16(1.0F + 0x3p-8F), 0x3F82);
  EXPECT_EQ(cpu::to_bf16(1.0F + 0x1.002p-8F), 0x3F81);
  EXPECT_EQ(cpu::to_bf16(-1.0F), 0xBF80);
  EXPECT_TRUE(std::isnan(cpu::from_bf16(cpu::to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_EQ(cpu::from_bf16(cpu::to_bf16(std::numeric_limits<float>::infinity())),
            std::numeric_limits<float>::infinity());
}

TEST(Int8, TheLargestBecomes127AndZerosStayZero) {
  for (const cpu::KernelTable* table : tables()) {
    for (const int n : {1, 3, 16, 37, 200}) {
      std::vector<float> x = draw("int8 row", static_cast<std::size_t>(n));
      x[static_cast<std::size_t>(n / 2)] = -4;
      std::vector<std::int8_t> q(static_cast<std::size_t>(n + 4), std::int8_t{99});
      std::int32_t sum = 0;
      const float scale = table->quantise(x.data(), n, q.data(), &sum);
      EXPECT_FLOAT_EQ(scale, 4.0F / 127);
      EXPECT_EQ(q[static_cast<std::size_t>(n / 2)], -127);
      int expected = 0;
      for (int i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        EXPECT_NEAR(static_cast<double>(q[at]) * static_cast<double>(scale), static_cast<double>(x[at]),
                    static_cast<double>(scale) * 0.5001);
        expected += q[at];
      }
      EXPECT_EQ(sum, expected);
      for (int i = n; i < (n + 3) / 4 * 4; ++i) EXPECT_EQ(q[static_cast<std::size_t>(i)], 0);
    }
    const std::vector<float> nothing(20, 0.0F);
    std::vector<std::int8_t> q(20, std::int8_t{99});
    std::int32_t sum = 99;
    EXPECT_EQ(table->quantise(nothing.data(), 20, q.data(), &sum), 0);
    EXPECT_EQ(sum, 0);
    for (const std::int8_t value : q) EXPECT_EQ(value, 0);
  }
}

// The sums are whole numbers: every table has the same bits, the one without fused multiply-add too.
TEST(Int8, AllTablesAgreeOnTheLongestRow) {
  const int k = cpu::kLongestInt8Row;
  const int n = 17;
  const std::vector<float> w(static_cast<std::size_t>(n) * static_cast<std::size_t>(k), 1.0F);  // all 127
  const cpu::PackedMatrix packed(w, n, k, WeightType::int8);
  for (const float sign : {1.0F, -1.0F}) {
    const std::vector<float> a(static_cast<std::size_t>(k), sign);  // all ±127
    for (const cpu::KernelTable* table : tables()) {
      const Rounded rounded(*table, a, 1, k);
      std::vector<float> c(static_cast<std::size_t>(n));
      table->gemm(packed.times({.a = a.data(), .lda = k, .q = rounded.rows()}, 1, c.data(), n));
      for (const float value : c) EXPECT_FLOAT_EQ(value, sign * static_cast<float>(k)) << table->name;
    }
  }
}

}  // namespace
}  // namespace dsbench::engine::kernels
