// Small pieces that kernels are made of, over the emulation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "engine/kernels/cuda/emulation/simt_host.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/softmax_reference.cuh"
#include "engine/kernels/cuda/warp_columns.cuh"

namespace dsbench::engine::kernels::cuda {
namespace {

// Eight rows of sixteen columns, as two tiles of a product leave them; row 5 is not there.
template <class T>
std::vector<T> stored() {
  std::vector<T> c(8 * 16, T{});
  const Status status = simt::run({{1, 1}, 32, 0}, [&] {
    const int lane = simt::thread();
    const int row = c_row(lane, 0);
    const auto value = [&](int column) { return static_cast<float>(row * 16 + column + 1); };
    const int own = c_col(lane, 0);
    const float first[2] = {value(own), value(own + 1)};
    const float second[2] = {value(own + 8), value(own + 9)};
    store_tiles(c.data() + row * 16, first, second, row != 5);
  });
  EXPECT_EQ(status, 0);
  return c;
}

TEST(StoreTiles, PutsEachColumnInItsPlace) {
  const std::vector<float> wide = stored<float>();
  const std::vector<Bf16> narrow = stored<Bf16>();
  for (int i = 0; i < 8 * 16; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const float expected = i / 16 == 5 ? 0.0f : static_cast<float>(i + 1);
    EXPECT_EQ(wide[at], expected);
    EXPECT_EQ(simt::from_bf16(narrow[at]), expected);
  }
}

// Weights of an online softmax over these scores, a tile of one each, and how often sums were scaled.
struct Summed {
  double sum;       // of 2^(score − base)
  double log2_sum;  // with the base
  int scaled;
};
Summed sum_up(const std::vector<float>& scores, float scale) {
  Reference reference;
  double sum = 0;
  int scaled = 0;
  for (const float score : scores) {
    const float shrink = reference.take(score, scale);
    scaled += shrink != 1.0f;
    sum = sum * static_cast<double>(shrink) + std::exp2(static_cast<double>(score * scale - reference.base));
  }
  return {sum, std::log2(sum) + static_cast<double>(reference.base), scaled};
}

TEST(SoftmaxReference, StaysUntilItHasGrownByEightPowersOfTwo) {
  // The first score sets it; 7.9 more does not move it, 8.1 does.
  EXPECT_EQ(sum_up({1, 1 + 7.9f}, 1).scaled, 1);
  EXPECT_EQ(sum_up({1, 1 + 8.1f}, 1).scaled, 2);
  EXPECT_EQ(sum_up({1, 1 + 15.9f}, 0.5f).scaled, 1);
  EXPECT_EQ(sum_up({5, 4, -100, 5}, 1).scaled, 1);
}

TEST(SoftmaxReference, GivesTheSameSumHoweverItMoves) {
  std::vector<float> scores;
  double most = -std::numeric_limits<double>::infinity();
  for (int i = 0; i < 400; ++i) {
    scores.push_back(static_cast<float>(i % 7) - 3 + static_cast<float>(i) * 0.3f);
    most = std::max(most, static_cast<double>(scores.back()));
  }
  double expected = 0;
  for (const float score : scores) expected += std::exp2(static_cast<double>(score) - most);
  const Summed got = sum_up(scores, 1);
  EXPECT_NEAR(got.log2_sum, std::log2(expected) + most, 1e-5);
  EXPECT_GT(got.scaled, 10);
  EXPECT_LT(got.scaled, 20) << "120 powers of two in steps of more than eight";
  // A weight is never more than 2^8, and the largest of them at least 1: nothing overflows or vanishes.
  EXPECT_GE(got.sum, 1);
  EXPECT_LE(got.sum, 400 * 256.0);
}

TEST(SoftmaxReference, WhatNobodySeesMovesNothing) {
  const float nothing = -std::numeric_limits<float>::infinity();
  Reference reference;
  EXPECT_EQ(reference.take(nothing, 1), 1.0f);
  EXPECT_EQ(reference.base, 0.0f);
  EXPECT_EQ(simt::exp_2_fast(nothing * 1 - reference.base), 0.0f);
  EXPECT_EQ(reference.take(-300, 1), 0.0f) << "what was summed before is nothing";
  EXPECT_EQ(reference.base, -300.0f);
  EXPECT_EQ(reference.take(nothing, 1), 1.0f);
}

}  // namespace
}  // namespace dsbench::engine::kernels::cuda
