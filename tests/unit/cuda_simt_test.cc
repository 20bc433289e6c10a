// The emulation itself: that what a GPU would not forgive it does not forgive either.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "engine/kernels/cuda/emulation/simt_host.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "kernelbench/dtype.h"

namespace dsbench::engine::kernels::cuda {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Emulation, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> seen(3 * 2 * 64);
  const Status status = simt::run({{3, 2}, 64, 0}, [&] {
    ++seen[static_cast<std::size_t>((simt::block_y() * 3 + simt::block_x()) * 64 + simt::thread())];
  });
  EXPECT_EQ(status, 0);
  EXPECT_THAT(seen, testing::Each(1));
}

TEST(Emulation, RefusesShapesThatAGpuRefuses) {
  EXPECT_EQ(simt::run({{1, 1}, 1056, 0}, [] {}), invalid_value);
  EXPECT_EQ(simt::run({{1, 1}, 32, 232449}, [] {}), invalid_value);
  EXPECT_EQ(simt::run({{0, 1}, 32, 0}, [] {}), invalid_value);
}

TEST(Emulation, ABarrierThatSomeNeverReachIsAnError) {
  EXPECT_THAT(
      [] {
        (void)simt::run({{1, 1}, 64, 0}, [] {
          if (simt::thread() < 40) simt::sync_block();
        });
      },
      ThrowsMessage<std::logic_error>(HasSubstr("never reach")));
}

TEST(Emulation, EveryThreadOfAnEarlyKernelWaitsForTheOneBefore) {
  const auto start = [](bool early, int waiting) {
    return simt::run({{1, 1}, 64, 0, early}, [waiting] {
      if (simt::thread() < waiting) simt::wait_for_previous();
    });
  };
  EXPECT_EQ(start(true, 64), 0);
  EXPECT_EQ(start(false, 0), 0);
  EXPECT_THAT([&] { (void)start(true, 63); }, ThrowsMessage<std::logic_error>(HasSubstr("never waits")));
}

TEST(Emulation, WhatIsSaidToBeTheSameInAWarpHasToBe) {
  EXPECT_EQ(simt::run({{1, 1}, 64, 0}, [] { (void)simt::uniform(simt::thread() / 32); }), 0);
  EXPECT_THAT(
      [] {
        (void)simt::run({{1, 1}, 64, 0}, [] { (void)simt::uniform(simt::thread() / 31); });
      },
      ThrowsMessage<std::logic_error>(HasSubstr("lanes differ")));
}

TEST(Emulation, SharedMemoryEndsWhereItEnds) {
  EXPECT_THAT(
      [] {
        (void)simt::run({{1, 1}, 32, 512}, [] {
          std::uint32_t r[4];
          simt::load_matrix(r, simt::shared() + simt::thread() * 32);  // lane 16 on lie outside
        });
      },
      ThrowsMessage<std::logic_error>(HasSubstr("outside")));
}

TEST(Emulation, ACopyIsThereOnlyAfterItWasWaitedFor) {
  alignas(16) std::array<float, 4> from{1, 2, 3, 4};
  float early = 0;
  float late = 0;
  float zero = 1;
  (void)simt::run({{1, 1}, 32, 64}, [&] {
    auto* to = reinterpret_cast<float*>(simt::shared());
    if (simt::thread() != 0) return;
    simt::copy_async(to, from.data(), true);
    simt::commit_copies();
    simt::copy_async(to + 4, from.data(), false);
    simt::commit_copies();
    early = to[2];
    simt::wait_copies<1>();
    late = to[2];
    simt::wait_copies<0>();
    zero = to[6];
  });
  EXPECT_TRUE(std::isnan(early));
  EXPECT_EQ(late, 3);
  EXPECT_EQ(zero, 0);
}

TEST(Emulation, ACopyOfEightBytesLeavesItsNeighboursAlone) {
  alignas(16) std::array<float, 4> from{1, 2, 3, 4};
  std::array<float, 6> got{};
  (void)simt::run({{1, 1}, 32, 64}, [&] {
    auto* to = reinterpret_cast<float*>(simt::shared());
    if (simt::thread() != 0) return;
    for (int i = 0; i < 6; ++i) to[i] = 7;
    simt::copy_async8(to + 2, from.data() + 2, true);
    simt::commit_copies();
    simt::wait_copies<0>();
    std::copy_n(to, 6, got.begin());
  });
  EXPECT_EQ(got, (std::array<float, 6>{7, 7, 3, 4, 7, 7}));
  const auto misplaced = [&](int to_at, int from_at) {
    (void)simt::run({{1, 1}, 32, 64}, [&] {
      auto* to = reinterpret_cast<float*>(simt::shared());
      if (simt::thread() == 0) simt::copy_async8(to + to_at, from.data() + from_at, true);
    });
  };
  EXPECT_THROW(misplaced(1, 0), std::logic_error);
  EXPECT_THROW(misplaced(0, 1), std::logic_error);
}

TEST(Emulation, AMissingBarrierShowsAsADifferenceBetweenTheOrders) {
  const auto run = [](simt::Order order) {
    int seen = 0;
    simt::set_order(order);
    (void)simt::run({{1, 1}, 64, 16}, [&] {
      auto* box = reinterpret_cast<int*>(simt::shared());
      if (simt::thread() == 0) *box = 7;
      if (simt::thread() == 32) seen = *box;  // no barrier between
    });
    simt::set_order(simt::Order::forward);
    return seen;
  };
  EXPECT_NE(run(simt::Order::forward), run(simt::Order::backward));
}

TEST(Emulation, ShufflesMatchesAndBallots) {
  std::vector<float> got(32);
  std::vector<std::uint32_t> same(32);
  std::uint32_t ballot = 0;
  (void)simt::run({{1, 1}, 32, 0}, [&] {
    const auto lane = static_cast<std::size_t>(simt::thread());
    got[lane] = simt::shuffle_xor(static_cast<float>(lane), 5);
    same[lane] = simt::match(simt::thread() % 3);
    const std::uint32_t odd = simt::ballot(lane % 2 == 1);
    if (lane == 4) ballot = odd;
  });
  EXPECT_EQ(got[9], 12);
  EXPECT_EQ(same[1], 0x92492492u);
  EXPECT_EQ(ballot, 0xaaaaaaaau);
}

// One product of 16×8×(32 bytes) from shared memory, by ldmatrix with the pieces that the kernels use.
template <bool kE4m3>
void check_product(bool transposed) {
  constexpr int depth = kE4m3 ? 32 : 16;
  constexpr auto type = kE4m3 ? kernelbench::Dtype::e4m3 : kernelbench::Dtype::bf16;
  constexpr int width = kE4m3 ? 1 : 2;
  double a[16][depth];
  double b[16][depth];  // two tiles of 8 columns
  std::vector<float> c(16 * 16);
  (void)simt::run({{1, 1}, 32, 2048}, [&] {
    unsigned char* a_tile = simt::shared();
    unsigned char* b_tile = a_tile + 1024;
    if (simt::thread() == 0) {
      for (int r = 0; r < 16; ++r) {
        for (int k = 0; k < depth; ++k) {
          a[r][k] = (r * 7 + k * 3) % 13 - 6;
          b[r][k] = (r * 5 + k * 11) % 9 - 4;
          kernelbench::encode(type, a[r][k], a_tile + r * 32 + k * width);
          // k contiguous, or n contiguous (16 columns of 2 bytes a row)
          kernelbench::encode(type, b[r][k],
                              transposed ? b_tile + k * 32 + r * 2 : b_tile + r * 32 + k * width);
        }
      }
    }
    simt::sync_block();
    const int lane = simt::thread();
    std::uint32_t fa[4];
    std::uint32_t fb[4];
    simt::load_matrix(fa, a_tile + a_piece(lane).row * 32 + a_piece(lane).chunk * 16);
    const Piece p = transposed ? bt_piece(lane) : b_piece(lane);
    if (transposed)
      simt::load_matrix_trans(fb, b_tile + p.row * 32 + p.chunk * 16);
    else
      simt::load_matrix(fb, b_tile + p.row * 32 + p.chunk * 16);
    for (int j = 0; j < 2; ++j) {
      float acc[4] = {};
      if constexpr (kE4m3)
        simt::mma_e4m3(acc, fa, fb[2 * j], fb[2 * j + 1]);
      else
        simt::mma_bf16(acc, fa, fb[2 * j], fb[2 * j + 1]);
      for (int i = 0; i < 4; ++i)
        c[static_cast<std::size_t>(c_row(lane, i) * 16 + j * 8 + c_col(lane, i))] = acc[i];
    }
  });
  for (int r = 0; r < 16; ++r) {
    for (int n = 0; n < 16; ++n) {
      double sum = 0;
      for (int k = 0; k < depth; ++k) sum += a[r][k] * b[n][k];
      EXPECT_EQ(c[static_cast<std::size_t>(r * 16 + n)], sum) << r << ' ' << n;
    }
  }
}

TEST(Emulation, MultipliesBf16) {
  check_product<false>(false);
}
TEST(Emulation, MultipliesE4m3) {
  check_product<true>(false);
}
TEST(Emulation, MultipliesATransposedOperand) {
  check_product<false>(true);
}

TEST(Emulation, ConvertsAsTheOraclesDo) {
  for (int i = -4000; i <= 4000; ++i) {
    const float v = static_cast<float>(i) * (std::abs(i) % 3 == 0 ? 0.13F : 0.00071F);
    std::uint8_t code = 0;
    kernelbench::encode(kernelbench::Dtype::e4m3, v, &code);
    EXPECT_EQ(simt::to_e4m3x4(v, 0, 0, 0) & 255u, code) << v;
    std::uint16_t half = 0;
    kernelbench::encode(kernelbench::Dtype::bf16, v, &half);
    EXPECT_EQ(simt::to_bf16(v), half) << v;
  }
}

}  // namespace
}  // namespace dsbench::engine::kernels::cuda
