// Angles of positions, and what they turn.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/kernels/ref/pointwise.h"
#include "engine/kernels/rope_config.h"

namespace dsbench::engine::kernels {
namespace {

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

}  // namespace
}  // namespace dsbench::engine::kernels
