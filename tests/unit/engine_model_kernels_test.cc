#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "core/rng.h"
#include "engine/kernels/cpu/gate.h"
#include "engine/kernels/cpu/packed_matrix.h"
#include "engine/kernels/cpu/thread_pool.h"
#include "engine/kernels/ref/attention.h"
#include "engine/kernels/ref/gate.h"
#include "engine/kernels/rope_config.h"
#include "engine/kernels/weight_type_name.h"

namespace dsbench::engine::kernels {
namespace {

constexpr double kEps = 0x1p-24;  // half a unit in the last place of a float near 1

std::vector<float> draw(std::string_view name, std::size_t n, double low = -1, double high = 1) {
  Rng rng(7, name);
  std::vector<float> v(n);
  for (float& x : v) x = static_cast<float>(low + (high - low) * rng.uniform());
  return v;
}
std::vector<double> wide(const std::vector<float>& v) {
  return {v.begin(), v.end()};
}

// Every table that this processor runs.
std::vector<const cpu::KernelTable*> tables() {
  std::vector<const cpu::KernelTable*> all;
  for (const auto* t = cpu::all_kernels(); *t != nullptr; ++t) all.push_back(*t);
  return all;
}

// ---- positions
// ------------------------------------------------------------------------------------------------------

TEST(Rope, YarnFrequenciesOfV3ByHand) {
  const RopeConfig v3{.dim = 64,
                      .theta = 10000,
                      .yarn = true,
                      .factor = 40,
                      .original_context = 4096,
                      .beta_fast = 32,
                      .beta_slow = 1,
                      .mscale = 1,
                      .mscale_all_dim = 1};
  const std::vector<double> f = rope_frequencies(v3);
  ASSERT_EQ(f.size(), 32U);
  // 32 turns: 64·ln(4096/201.06)/18.42 = 10.47, so pairs up to 10 stay; 1 turn: 64·ln(651.9)/18.42 = 22.51,
  // so pairs from 23 on are divided by 40.
  EXPECT_DOUBLE_EQ(f[0], 1.0);
  EXPECT_NEAR(f[10], std::pow(10.0, -1.25), 1e-15);
  EXPECT_NEAR(f[23], std::pow(10.0, -2.875) / 40, 1e-15);
  EXPECT_NEAR(f[31], std::pow(10.0, -3.875) / 40, 1e-15);
  // Pair 16 lies 6/13 up the ramp: 0.01·(7/13 + 6/13/40) = 0.0055.
  EXPECT_NEAR(f[16], 0.0055, 1e-15);
  EXPECT_NEAR(attention_scale(v3, 192), 1.3688879 * 1.3688879 / 13.8564065, 1e-7);
  EXPECT_DOUBLE_EQ(rope_amplitude(v3), 1.0);
}

TEST(Rope, WithoutYarnNothingIsStretched) {
  const RopeConfig plain{.dim = 8, .theta = 10000};
  const std::vector<double> f = rope_frequencies(plain);
  EXPECT_DOUBLE_EQ(f[1], 0.1);
  EXPECT_DOUBLE_EQ(f[3], 0.001);
  EXPECT_DOUBLE_EQ(attention_scale(plain, 64), 0.125);
}

TEST(Rope, PairsAreNeighbours) {
  std::vector<double> x{1, 0, 0, 1};
  const double quarter = std::acos(-1.0) / 2;
  const std::vector<double> f{1, 2};
  ref::rope_interleaved<double>(x, f, quarter, 1);
  EXPECT_NEAR(x[0], 0, 1e-15);  // a quarter turn
  EXPECT_NEAR(x[1], 1, 1e-15);
  EXPECT_NEAR(x[2], 0, 1e-15);  // half a turn
  EXPECT_NEAR(x[3], -1, 1e-15);
}

// ---- gate
// -----------------------------------------------------------------------------------------------------------

// Runs the reference in double and the fast gate of every table, and expects the same of all.
void expect_choice(const GateConfig& config, const std::vector<double>& logits,
                   const std::vector<double>& bias, const std::vector<std::int32_t>& experts,
                   const std::vector<double>& weights) {
  const auto choice = ref::gate<double>(config, logits, bias);
  EXPECT_EQ(choice.experts, experts);
  ASSERT_EQ(choice.weights.size(), weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(choice.weights[i], weights[i], 1e-12);
  for (const cpu::KernelTable* table : tables()) {
    std::vector<float> l(logits.begin(), logits.end());
    const std::vector<float> b(bias.begin(), bias.end());
    std::vector<float> scratch(logits.size() + static_cast<std::size_t>(config.groups));
    std::vector<std::int32_t> chosen(experts.size());
    std::vector<float> weight(experts.size());
    cpu::gate(*table, config, l, b, scratch, chosen, weight);
    EXPECT_EQ(chosen, experts) << table->name;
    for (std::size_t i = 0; i < weights.size(); ++i)
      EXPECT_NEAR(weight[i], weights[i], 16 * kEps * weights[i]) << table->name;
  }
}

std::vector<double> logits_of(const std::vector<double>& sigmoid_scores) {
  std::vector<double> logits;
  for (const double s : sigmoid_scores) logits.push_back(std::log(s / (1 - s)));
  return logits;
}

TEST(Gate, NegativeBiasedScoresByHand) {
  // Biased: -.1 -.9 | -.48 -.4 | -.45 -.5 | -.6 -.55. Sums of two: -1, -.88, -.95, -1.15: groups 1 and 2 stay
  // (by their best alone it would be 0 and 1). Best three of {2,3,4,5}: 3, 4, 2. Masked with 0 instead of
  // minus infinity, the refused 0, 1 and 6 would win.
  const GateConfig config{.experts = 8,
                          .top_k = 3,
                          .groups = 4,
                          .kept_groups = 2,
                          .scoring = Scoring::sigmoid,
                          .renormalise = true,
                          .routed_scale = 2.5};
  const std::vector<double> scores{.9, .1, .52, .6, .55, .5, .4, .45};
  const std::vector<double> bias(8, -1.0);
  expect_choice(config, logits_of(scores), bias, {3, 4, 2},
                {.6 / 1.67 * 2.5, .55 / 1.67 * 2.5, .52 / 1.67 * 2.5});
}

TEST(Gate, BiasChoosesButDoesNotWeigh) {
  const GateConfig config{
      .experts = 3, .top_k = 1, .scoring = Scoring::sigmoid, .renormalise = false, .routed_scale = 1};
  expect_choice(config, logits_of({.6, .5, .4}), {-.3, 0, -.2}, {1}, {.5});
}

TEST(Gate, SoftmaxOfV2Lite) {
  const GateConfig config{
      .experts = 4, .top_k = 2, .scoring = Scoring::softmax, .renormalise = false, .routed_scale = 1};
  expect_choice(config, {std::log(1), std::log(3), std::log(2), std::log(4)}, {}, {3, 1}, {.4, .3});
}

TEST(Gate, WithoutBiasGroupsGoByTheirBest) {
  // Softmax scores .4 .05 | .3 .25: by the best, group 0; by the sum of two, group 1.
  const GateConfig config{.experts = 4,
                          .top_k = 1,
                          .groups = 2,
                          .kept_groups = 1,
                          .scoring = Scoring::softmax,
                          .renormalise = false,
                          .routed_scale = 16};
  expect_choice(config, {std::log(.4), std::log(.05), std::log(.3), std::log(.25)}, {}, {0}, {6.4});
}

TEST(Gate, TheLowestIndexWinsATie) {
  const GateConfig config{
      .experts = 4, .top_k = 2, .scoring = Scoring::sigmoid, .renormalise = true, .routed_scale = 1};
  expect_choice(config, {0, 0, 0, 0}, {}, {0, 1}, {.5, .5});
}

TEST(Gate, FastAgreesWithReferenceOnV3Shape) {
  const GateConfig config{.experts = 256,
                          .top_k = 8,
                          .groups = 8,
                          .kept_groups = 4,
                          .scoring = Scoring::sigmoid,
                          .renormalise = true,
                          .routed_scale = 2.5};
  int compared = 0;
  for (int round = 0; round < 200; ++round) {
    const std::vector<float> logits = draw(fmt::format("logits{}", round), 256, -3, 3);
    const std::vector<float> bias = draw(fmt::format("bias{}", round), 256, -0.8, 0.1);
    const auto truth = ref::gate<double>(config, wide(logits), wide(bias));
    if (truth.margin < 16 * kEps) continue;  // rounding may decide otherwise
    ++compared;
    for (const cpu::KernelTable* table : tables()) {
      std::vector<float> l = logits;
      std::vector<float> scratch(264);
      std::vector<std::int32_t> chosen(8);
      std::vector<float> weight(8);
      cpu::gate(*table, config, l, bias, scratch, chosen, weight);
      EXPECT_EQ(chosen, truth.experts) << table->name << " round " << round;
    }
  }
  EXPECT_GT(compared, 180);
}

// ---- matrix product
// -------------------------------------------------------------------------------------------------

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

// ---- attention
// ------------------------------------------------------------------------------------------------------

struct MlaCase {
  std::size_t s, h, kv_lora, nope, rope, v;
};

struct MlaData {
  explicit MlaData(const MlaCase& c)
      : shape{c},
        q(draw("q", c.s * c.h * (c.nope + c.rope), -3, 3)),
        latent(draw("latent", c.s * c.kv_lora, -2, 2)),
        k_pe(draw("k_pe", c.s * c.rope, -2, 2)),
        w_kvb(draw("w_kvb", c.h * (c.nope + c.v) * c.kv_lora, -0.3, 0.3)),
        q64(wide(q)),
        latent64(wide(latent)),
        k_pe64(wide(k_pe)),
        w64(wide(w_kvb)) {}
  [[nodiscard]] ref::MlaProblem<double> problem() const {
    return {.s = shape.s,
            .h = shape.h,
            .kv_lora = shape.kv_lora,
            .nope = shape.nope,
            .rope = shape.rope,
            .v = shape.v,
            .scale = 0.2,
            .q = q64,
            .latent = latent64,
            .k_pe = k_pe64,
            .w_kvb = w64};
  }
  MlaCase shape;
  std::vector<float> q, latent, k_pe, w_kvb;
  std::vector<double> q64, latent64, k_pe64, w64;
};

TEST(Attention, AbsorbedIsPlain) {
  for (const MlaCase& c :
       {MlaCase{1, 1, 4, 2, 2, 3}, MlaCase{33, 3, 21, 7, 6, 5}, MlaCase{50, 8, 64, 32, 16, 32}}) {
    const MlaData data(c);
    const auto plain = ref::mla_plain(data.problem());
    const auto absorbed = ref::mla_absorbed(data.problem());
    for (std::size_t i = 0; i < plain.size(); ++i) ASSERT_NEAR(plain[i], absorbed[i], 1e-12);
  }
}

// The fast kernel on a paged cache with scrambled blocks and NaN wherever nobody has written, against plain
// attention in double.
TEST(Attention, FastPagedIsPlain) {
  for (const MlaCase& c : {MlaCase{1, 1, 4, 2, 2, 3}, MlaCase{33, 3, 21, 7, 6, 5},
                           MlaCase{300, 8, 32, 16, 8, 16}, MlaCase{40, 17, 48, 8, 8, 16}}) {
    const MlaData data(c);
    const auto plain = ref::mla_plain(data.problem());
    const std::size_t width = c.kv_lora + c.rope;
    for (const int block_size : {1, 7, 16}) {
      const std::size_t used =
          (c.s + static_cast<std::size_t>(block_size) - 1) / static_cast<std::size_t>(block_size);
      const std::size_t pool = 2 * used + 3;
      std::vector<float> cache(pool * static_cast<std::size_t>(block_size) * width + cpu::kPanel,
                               std::numeric_limits<float>::quiet_NaN());
      std::vector<std::int32_t> blocks;
      for (std::size_t b = 0; b < used; ++b) blocks.push_back(static_cast<std::int32_t>((used - b) * 2));
      for (std::size_t t = 0; t < c.s; ++t) {
        const auto slot = static_cast<std::size_t>(blocks[t / static_cast<std::size_t>(block_size)]) *
                              static_cast<std::size_t>(block_size) +
                          t % static_cast<std::size_t>(block_size);
        std::memcpy(cache.data() + slot * width, data.latent.data() + t * c.kv_lora,
                    c.kv_lora * sizeof(float));
        std::memcpy(cache.data() + slot * width + c.kv_lora, data.k_pe.data() + t * c.rope,
                    c.rope * sizeof(float));
      }
      // Absorbed queries, rounded to float from double: the kernel's input.
      std::vector<float> q(c.s * c.h * width);
      for (std::size_t i = 0; i < c.s * c.h; ++i) {
        const double* w = data.w64.data() + i % c.h * (c.nope + c.v) * c.kv_lora;
        const double* from = data.q64.data() + i * (c.nope + c.rope);
        for (std::size_t l = 0; l < c.kv_lora; ++l) {
          double sum = 0;
          for (std::size_t d = 0; d < c.nope; ++d) sum += from[d] * w[d * c.kv_lora + l];
          q[i * width + l] = static_cast<float>(sum);
        }
        for (std::size_t d = 0; d < c.rope; ++d)
          q[i * width + c.kv_lora + d] = data.q[i * (c.nope + c.rope) + c.nope + d];
      }
      std::vector<float> first;
      for (const cpu::KernelTable* table : tables()) {
        for (const std::size_t tile : {std::size_t{1}, std::size_t{5}, std::size_t{8}}) {
          std::vector<float> mixed(c.s * c.h * c.kv_lora);
          for (std::size_t at = 0; at < c.s; at += tile) {
            const auto queries = static_cast<std::int32_t>(std::min(tile, c.s - at));
            std::vector<float> scratch(static_cast<std::size_t>(cpu::attention_scratch(
                queries, static_cast<std::int32_t>(c.h), static_cast<std::int32_t>(width))));
            table->attention({.q = q.data() + at * c.h * width,
                              .out = mixed.data() + at * c.h * c.kv_lora,
                              .queries = queries,
                              .heads = static_cast<std::int32_t>(c.h),
                              .kv_lora = static_cast<std::int32_t>(c.kv_lora),
                              .width = static_cast<std::int32_t>(width),
                              .first_position = static_cast<std::int32_t>(at),
                              .scale = 0.2F,
                              .cache = cache.data(),
                              .blocks = blocks.data(),
                              .block_size = block_size,
                              .scratch = scratch.data()});
          }
          if (first.empty() || (table != tables().front() && tile == 1)) first = mixed;
          EXPECT_EQ(std::memcmp(first.data(), mixed.data(), mixed.size() * sizeof(float)), 0)
              << table->name << ": " << tile << " queries at once give other bits than one";
          // Scores up to ~100 carry an error of width·eps·|score|, which the exponential turns into a
          // relative error of the weights.
          for (std::size_t i = 0; i < c.s * c.h; ++i) {
            const double* w = data.w64.data() + (i % c.h * (c.nope + c.v) + c.nope) * c.kv_lora;
            for (std::size_t d = 0; d < c.v; ++d) {
              double sum = 0;
              double magnitude = 0;
              for (std::size_t l = 0; l < c.kv_lora; ++l) {
                sum += w[d * c.kv_lora + l] * static_cast<double>(mixed[i * c.kv_lora + l]);
                magnitude += std::abs(w[d * c.kv_lora + l]) * 2;
              }
              ASSERT_NEAR(sum, plain[i * c.v + d], 64 * static_cast<double>(width) * kEps * magnitude)
                  << table->name;
            }
          }
        }
      }
    }
  }
}

// ---- pointwise
// ------------------------------------------------------------------------------------------------------

TEST(Pointwise, MatchDouble) {
  for (const cpu::KernelTable* table : tables()) {
    for (const std::size_t n :
         {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{33}, std::size_t{257}}) {
      const auto x = draw("x", n, -20, 20);
      const auto u = draw("u", n);
      std::vector<double> y(n);
      std::vector<float> z(n);
      ref::rms_norm<double>(wide(x), wide(u), 1e-6, y);
      table->rms_norm(x.data(), u.data(), 1e-6F, static_cast<std::int32_t>(n), z.data());
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_NEAR(z[i], y[i], 8 * kEps * std::abs(y[i]) + 1e-12) << table->name;
      ref::swiglu<double>(wide(x), wide(u), y);
      z = x;
      table->swiglu(z.data(), u.data(), static_cast<std::int32_t>(n));
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_NEAR(z[i], y[i], 16 * kEps * std::abs(y[i])) << table->name << " x " << x[i];
      y = wide(x);
      ref::softmax(std::span<double>(y));
      z = x;
      table->softmax(z.data(), static_cast<std::int32_t>(n));
      for (std::size_t i = 0; i < n; ++i) ASSERT_NEAR(z[i], y[i], 64 * kEps * y[i]) << table->name;
      z = x;
      table->sigmoid(z.data(), static_cast<std::int32_t>(n));
      for (std::size_t i = 0; i < n; ++i) {
        const double s = ref::sigmoid(static_cast<double>(x[i]));
        ASSERT_NEAR(z[i], s, 8 * kEps * s) << table->name << " x " << x[i];
      }
    }
  }
}

TEST(Pointwise, ExtremesStayFinite) {
  for (const cpu::KernelTable* table : tables()) {
    std::vector<float> x{-1e30F, -200, -88, 0, 88, 200, 1e30F};
    table->sigmoid(x.data(), 7);
    EXPECT_LT(x[0], 1e-37F);
    EXPECT_EQ(x[3], 0.5F);
    EXPECT_EQ(x[6], 1.0F);
    for (const float v : x) EXPECT_TRUE(std::isfinite(v)) << table->name;
  }
}

TEST(Tables, FusedOnesAgreeBitForBit) {
  std::vector<const cpu::KernelTable*> fused;
  for (const cpu::KernelTable* t : tables()) {
    if (std::string_view(t->name) != "baseline") fused.push_back(t);
  }
  if (fused.size() < 2) GTEST_SKIP() << "this processor runs fewer than two fused tables";
  const auto a = draw("bits_a", 9 * 50);
  const cpu::PackedMatrix w(draw("bits_w", 37 * 50), 37, 50);
  std::vector<std::vector<float>> out(fused.size());
  for (std::size_t i = 0; i < fused.size(); ++i) {
    out[i].resize(9 * 37);
    fused[i]->gemm(w.times(a.data(), 50, 9, out[i].data(), 37));
    std::vector<float> more = draw("bits_x", 333, -10, 10);
    fused[i]->softmax(more.data(), 333);
    out[i].insert(out[i].end(), more.begin(), more.end());
    more = draw("bits_x", 333, -10, 10);
    fused[i]->swiglu(more.data(), a.data(), 333);
    fused[i]->rms_norm(more.data(), a.data(), 1e-6F, 333, more.data());
    out[i].insert(out[i].end(), more.begin(), more.end());
  }
  for (std::size_t i = 1; i < fused.size(); ++i) {
    EXPECT_EQ(std::memcmp(out[0].data(), out[i].data(), out[0].size() * sizeof(float)), 0) << fused[i]->name;
  }
}

// ---- threads
// --------------------------------------------------------------------------------------------------------

TEST(ThreadPool, DoesEveryUnitOnce) {
  for (const int threads : {1, 2, 4}) {
    cpu::ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int round = 0; round < 300; ++round) {
      const int units = round % 17;
      std::vector<std::atomic<int>> times(static_cast<std::size_t>(units));
      pool.run(units, [&](int unit, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, threads);
        times[static_cast<std::size_t>(unit)].fetch_add(1);
      });
      for (const auto& t : times) ASSERT_EQ(t.load(), 1);
    }
  }
}

}  // namespace
}  // namespace dsbench::engine::kernels
