// The emulation of what Hopper adds: products of a warpgroup, which finish when somebody waits for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "engine/kernels/cuda/csa_gather.h"
#include "engine/kernels/cuda/gemm_swapped.h"
#include "engine/kernels/cuda/gemm_wgmma.h"
#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/mla_decode_wgmma.h"
#include "engine/kernels/cuda/mla_gather.h"
#include "engine/kernels/cuda/mla_seesaw.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/wgmma_descriptor.h"

namespace dsbench::engine::kernels::cuda {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr int boxes_bytes = 2 * 16 * 128;  // b: 16 of k × 128 columns, n contiguous, in two boxes

double a_at(int row, int k) {
  return (row * 7 + k * 3) % 13 - 6;
}
double b_at(int k, int column) {
  return (column * 5 + k * 11) % 9 - 4;
}

void write_bf16(unsigned char* to, double v) {
  *reinterpret_cast<std::uint16_t*>(to) = simt::to_bf16(static_cast<float>(v));
}

void write_b() {
  for (int k = 0; k < 16; ++k) {
    for (int c = simt::thread(); c < 128; c += simt::threads())
      write_bf16(simt::shared() + c / 64 * (boxes_bytes / 2) + swizzled_offset(k, c % 64 / 8, 8) + c % 8 * 2,
                 b_at(k, c));
  }
  simt::fence_async();
  simt::sync_block();
}

// As the kernels hold them: steps of k, one here.
using Registers = std::uint32_t[1][4];

std::uint64_t b_operand() {
  return n_major_descriptor(simt::shared_address(simt::shared()), boxes_bytes / 2);
}

void fill_a(Registers& step) {
  std::uint32_t(&a)[4] = step[0];
  const int lane = simt::thread() % 32;
  for (int i = 0; i < 4; ++i) {
    const int row = simt::thread() / 32 * 16 + a_row(lane, i);
    const int k = a_byte(lane, i) / 2;
    a[i] = simt::to_bf16x2(static_cast<float>(a_at(row, k)), static_cast<float>(a_at(row, k + 1)));
  }
}

TEST(EmulatedWgmma, MultipliesRegistersByAnOperandWithContiguousColumns) {
  std::vector<double> got(64 * 128);
  (void)simt::run({{1, 1}, 128, boxes_bytes}, [&] {
    write_b();
    Registers a;
    fill_a(a);
    float c[64];
    for (float& v : c) v = 1;
    simt::wgmma_fence(c, a);
    simt::wgmma_bf16_n128_trans(c, a[0], b_operand(), true);
    simt::wgmma_commit();
    simt::wgmma_wait<0>(c);
    for (int e = 0; e < 64; ++e) {
      const int row = simt::thread() / 32 * 16 + c_row(simt::thread() % 32, e % 4);
      got[static_cast<std::size_t>(row * 128 + e / 4 * 8 + c_col(simt::thread() % 32, e % 4))] = c[e];
    }
  });
  for (int row = 0; row < 64; ++row) {
    for (int column = 0; column < 128; ++column) {
      double sum = 1;
      for (int k = 0; k < 16; ++k) sum += a_at(row, k) * b_at(k, column);
      EXPECT_EQ(got[static_cast<std::size_t>(row * 128 + column)], sum) << row << ' ' << column;
    }
  }
}

TEST(EmulatedWgmma, SumsAreThereOnlyAfterTheirGroupWasWaitedFor) {
  bool first_settled = false;
  bool second_early = true;
  bool second_settled = false;
  (void)simt::run({{1, 1}, 128, boxes_bytes}, [&] {
    write_b();
    Registers a;
    fill_a(a);
    float first[64];
    float second[64];
    simt::wgmma_fence(first, second, a);
    simt::wgmma_bf16_n128_trans(first, a[0], b_operand(), false);
    simt::wgmma_commit();
    simt::wgmma_bf16_n128_trans(second, a[0], b_operand(), false);
    simt::wgmma_commit();
    simt::wgmma_wait<1>(first);
    if (simt::thread() == 0) {
      first_settled = !std::isnan(first[0]);
      second_early = !std::isnan(second[0]);
    }
    simt::wgmma_wait<0>(second);
    if (simt::thread() == 0) second_settled = second[0] == first[0];
  });
  EXPECT_TRUE(first_settled);
  EXPECT_FALSE(second_early);
  EXPECT_TRUE(second_settled);
}

TEST(EmulatedWgmma, OperandsThatChangeUnderWayShow) {
  float right = 0;
  float registers_changed = 0;
  float memory_changed = 0;
  const auto product = [](float* to, int change) {
    (void)simt::run({{1, 1}, 128, boxes_bytes}, [&] {
      write_b();
      Registers a;
      fill_a(a);
      float c[64];
      simt::wgmma_fence(c, a);
      simt::wgmma_bf16_n128_trans(c, a[0], b_operand(), false);
      simt::wgmma_commit();
      if (change == 1) a[0][0] = simt::to_bf16x2(100, 100);
      if (change == 2) write_bf16(simt::shared(), 100);
      simt::fence_async();
      simt::sync_block();
      simt::wgmma_wait<0>(c);
      if (simt::thread() == 0) *to = c[0];
    });
  };
  product(&right, 0);
  product(&registers_changed, 1);
  product(&memory_changed, 2);
  EXPECT_NE(registers_changed, right);
  EXPECT_NE(memory_changed, right);
}

TEST(EmulatedWgmma, ThreadsOfAWarpgroupNameTheSameOperands) {
  EXPECT_THAT(
      [] {
        (void)simt::run({{1, 1}, 128, boxes_bytes}, [] {
          Registers a = {};
          float c[64];
          simt::wgmma_fence(c, a);
          simt::wgmma_bf16_n128_trans(c, a[0], b_operand() + (simt::thread() == 77 ? 1 : 0), false);
        });
      },
      ThrowsMessage<std::logic_error>(HasSubstr("disagree")));
}

// One product of a's and b's, with what each part of it may lack.
struct Lacks {
  bool fence = false;  // names the sums and the registers
  bool second_fence = false;
  bool proxy_fence = false;  // after what threads wrote to shared memory
};
float twice_multiplied(const Lacks& lacks, bool change_registers) {
  float got = 0;
  (void)simt::run({{1, 1}, 128, boxes_bytes}, [&] {
    write_b();
    if (simt::thread() == 0) write_bf16(simt::shared(), 64);
    if (!lacks.proxy_fence) simt::fence_async();
    simt::sync_block();
    Registers a;
    fill_a(a);
    float c[64] = {};
    if (!lacks.fence) simt::wgmma_fence(c, a);
    if (change_registers) c[0] = 1;
    simt::wgmma_bf16_n128_trans(c, a[0], b_operand(), true);
    simt::wgmma_commit();
    simt::wgmma_wait<0>(c);
    if (!lacks.second_fence) simt::wgmma_fence(c, a);
    simt::wgmma_bf16_n128_trans(c, a[0], b_operand(), true);
    simt::wgmma_commit();
    simt::wgmma_wait<0>(c);
    if (simt::thread() == 0) got = c[0];
  });
  return got;
}

TEST(EmulatedWgmma, AMissingFenceIsFound) {
  EXPECT_NO_THROW((void)twice_multiplied({}, false));
  EXPECT_THAT([] { (void)twice_multiplied({.fence = true}, false); },
              ThrowsMessage<std::logic_error>(HasSubstr("no wgmma_fence named")));
  EXPECT_THAT([] { (void)twice_multiplied({.second_fence = true}, false); },
              ThrowsMessage<std::logic_error>(HasSubstr("no wgmma_fence named")));
  EXPECT_THAT([] { (void)twice_multiplied({}, true); },
              ThrowsMessage<std::logic_error>(HasSubstr("changed after wgmma_fence")));
}

TEST(EmulatedWgmma, WhatThreadsWroteIsSeenAfterAProxyFenceOnly) {
  double sum = 0;  // with the number that write_b() wrote and fenced
  for (int k = 0; k < 16; ++k) sum += a_at(0, k) * b_at(k, 0);
  EXPECT_EQ(twice_multiplied({.proxy_fence = true}, false), 2 * sum);
  EXPECT_EQ(twice_multiplied({}, false), 2 * (sum + a_at(0, 0) * (64 - b_at(0, 0))));
}

TEST(EmulatedCluster, NobodyReachesIntoABlockThatHasEnded) {
  const auto run = [](bool together) {
    return simt::run({{2, 1}, 32, 64, false, 2}, [&] {
      auto* const b = reinterpret_cast<simt::Barrier*>(simt::shared());
      if (simt::thread() == 0) simt::init_barrier(b, 1);
      simt::sync_cluster();
      for (int turn = 0; turn < 3 && simt::cluster_rank() == 1; ++turn) simt::detail::let_others_run();
      if (simt::thread() == 0 && simt::cluster_rank() == 1) simt::arrive_at(b, 0);
      if (together) simt::sync_cluster();
    });
  };
  EXPECT_EQ(run(true), 0);
  EXPECT_THAT([&] { (void)run(false); }, ThrowsMessage<std::logic_error>(HasSubstr("has ended")));
}

TEST(EmulatedTma, NothingIsPreparedAndRun) {
  WgmmaGemm gemm;
  EXPECT_EQ(prepare_gemm_wgmma(gemm, {.type = Element::e4m3, .rows = 0, .n = 128, .k = 128}), 0);
  EXPECT_EQ(gemm_wgmma(gemm, nullptr), 0);
  SwappedGemm swapped;
  EXPECT_EQ(prepare_gemm_swapped(swapped, {.type = Element::e4m3, .rows = 0, .n = 128, .k = 128}), 0);
  EXPECT_EQ(gemm_swapped(swapped, nullptr), 0);
  WgmmaMla mla;
  EXPECT_EQ(prepare_mla_decode_wgmma(mla, {.requests = 0, .heads = 128}, 0), 0);
  EXPECT_EQ(mla_decode_wgmma(mla, nullptr), 0);
  EXPECT_EQ(mla_decode_seesaw(mla, nullptr), 0);
  static constexpr std::int32_t named = 0;
  GatherMla gather;
  EXPECT_EQ(prepare_mla_gather(gather, {.ids = &named, .requests = 0, .heads = 128}), 0);
  EXPECT_EQ(mla_gather(gather, nullptr), 0);
  GatherCsa csa;
  EXPECT_EQ(prepare_csa_gather(csa, {.requests = 0, .heads = 128}), 0);
  EXPECT_EQ(csa_gather(csa, nullptr), 0);
  EXPECT_EQ(prepare_mla_gather(gather, {.requests = 1, .heads = 128}), invalid_value) << "without ids";
}

TEST(EmulatedTma, NoBlockEndsWithABoxUnderWay) {
  alignas(16) static std::array<unsigned char, 8 * 128> matrix{};
  TensorMap map;
  ASSERT_EQ(make_tensor_map(map, matrix.data(), 8, 128, 8), 0);
  const auto run = [&](bool wait) {
    return simt::run({{1, 1}, 32, 2048}, [&] {
      auto* const full = reinterpret_cast<simt::Barrier*>(simt::shared() + 1024);
      if (simt::thread() != 0) return;
      simt::init_barrier(full, 1);
      simt::expect_bytes(full, 1024);
      simt::copy_box(simt::shared(), map, full, 0, 0);
      if (wait) simt::wait_barrier(full, 0);
    });
  };
  EXPECT_EQ(run(true), 0);
  EXPECT_THAT([&] { (void)run(false); }, ThrowsMessage<std::logic_error>(HasSubstr("under way")));
  EXPECT_EQ(run(true), 0);
}

TEST(EmulatedCluster, ABoxReachesBothBlocksAndArrivalsTheOther) {
  alignas(16) static std::array<unsigned char, 8 * 128> matrix;
  for (std::size_t i = 0; i < matrix.size(); ++i) matrix[i] = static_cast<unsigned char>(i / 16);
  TensorMap map;
  ASSERT_EQ(make_tensor_map(map, matrix.data(), 8, 128, 8), 0);
  int seen[2] = {-1, -1};
  for (const simt::Order order : {simt::Order::backward, simt::Order::forward}) {
    simt::set_order(order);
    ASSERT_EQ(simt::run({{2, 1}, 32, 2048, false, 2},
                        [&] {
                          auto* const full = reinterpret_cast<simt::Barrier*>(simt::shared() + 1024);
                          simt::Barrier* const empty = full + 1;
                          if (simt::thread() == 0) {
                            simt::init_barrier(full, 1);
                            simt::init_barrier(empty, 2);
                          }
                          simt::sync_cluster();
                          const int rank = simt::cluster_rank();
                          if (simt::thread() == 0) {
                            simt::expect_bytes(full, 1024);
                            if (rank == 1) simt::copy_box_to_pair(simt::shared(), map, full, 0, 0);
                            simt::wait_barrier(full, 0);
                            seen[rank] = simt::shared()[swizzled_address(5 * 128 + 16)];
                            for (int r = 0; r < 2; ++r) simt::arrive_at(empty, r);
                            simt::wait_barrier(empty, 0);
                          }
                          simt::sync_cluster();
                        }),
              0);
    EXPECT_THAT(seen, testing::Each(41));
  }
  EXPECT_EQ(simt::run({{3, 1}, 32, 0, false, 2}, [] {}), invalid_value);  // three blocks are no pairs
}

TEST(EmulatedBarrier, WordsAreThereOnceTheirArrivalWasWaitedFor) {
  alignas(16) static std::array<float, 32> from;
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
  float early = 0;
  std::array<float, 32> seen{};
  const auto run = [&](bool with_copies) {
    return simt::run({{1, 1}, 64, 256}, [&] {
      auto* const words = reinterpret_cast<float*>(simt::shared());
      auto* const full = reinterpret_cast<simt::Barrier*>(simt::shared() + 128);
      if (simt::thread() == 0) simt::init_barrier(full, 32);
      simt::sync_block();
      const int i = simt::thread() % 32;
      if (simt::thread() >= 32) {
        if (i < 20) simt::copy_word(words + i, &from[static_cast<std::size_t>(i)], i != 5);
        if (i == 19) early = words[i];
        if (with_copies)
          simt::arrive_with_copies(full);
        else
          simt::arrive(full);
      } else {
        simt::wait_barrier(full, 0);
        seen[static_cast<std::size_t>(i)] = words[i];
      }
    });
  };
  for (const simt::Order order : {simt::Order::forward, simt::Order::backward}) {
    simt::set_order(order);
    ASSERT_EQ(run(true), 0);
    EXPECT_TRUE(std::isnan(early));
    EXPECT_EQ(seen[19], 19);
    EXPECT_EQ(seen[5], 0);  // not valid
    EXPECT_TRUE(std::isnan(seen[20]));
    ASSERT_EQ(run(false), 0);
    EXPECT_TRUE(std::isnan(seen[19]));  // who arrives without them says nothing of them
  }
  simt::set_order(simt::Order::forward);
}

// A 16-byte piece of the first operand comes by cp.async, and is multiplied.
float multiplied_piece(bool seer_fences, bool other_fences) {
  alignas(16) static std::array<std::uint16_t, 8> piece;
  piece.fill(simt::to_bf16(64));
  float got = 0;
  (void)simt::run({{1, 1}, 256, boxes_bytes + 8}, [&] {
    auto* const full = reinterpret_cast<simt::Barrier*>(simt::shared() + boxes_bytes);
    if (simt::thread() == 0) simt::init_barrier(full, 1);
    write_b();
    if (simt::thread() >= 128) {
      if (simt::thread() == 200) {
        simt::copy_async(simt::shared(), piece.data(), true);
        simt::arrive_with_copies(full);
      }
      if (other_fences) simt::fence_async();
      simt::sync_threads_of(1, 128);
      return;
    }
    simt::wait_barrier(full, 0);
    if (seer_fences) simt::fence_async();
    Registers a;
    fill_a(a);
    float c[64] = {};
    simt::wgmma_fence(c, a);
    simt::wgmma_bf16_n128_trans(c, a[0], b_operand(), true);
    simt::wgmma_commit();
    simt::wgmma_wait<0>(c);
    if (simt::thread() == 0) got = c[0];
  });
  return got;
}

TEST(EmulatedCopies, AreMultipliedOnceWhoWaitedForThemHasFenced) {
  double sum = a_at(0, 0) * (64 - b_at(0, 0));
  for (int k = 0; k < 16; ++k) sum += a_at(0, k) * b_at(k, 0);
  for (const simt::Order order : {simt::Order::forward, simt::Order::backward}) {
    simt::set_order(order);
    EXPECT_EQ(multiplied_piece(true, false), sum);
    EXPECT_TRUE(std::isnan(multiplied_piece(false, false)));
    EXPECT_TRUE(std::isnan(multiplied_piece(false, true))) << "a fence of threads that did not wait";
  }
  simt::set_order(simt::Order::forward);
}

TEST(EmulatedCopies, NoBlockEndsWithOneThatWasArrivedWith) {
  alignas(16) static std::array<float, 4> piece{};
  const auto run = [] {
    (void)simt::run({{1, 1}, 32, 64}, [] {
      auto* const full = reinterpret_cast<simt::Barrier*>(simt::shared() + 32);
      if (simt::thread() != 0) return;
      simt::init_barrier(full, 1);
      simt::copy_async(simt::shared(), piece.data(), true);
      simt::arrive_with_copies(full);
    });
  };
  EXPECT_THAT(run, ThrowsMessage<std::logic_error>(HasSubstr("under way")));
}

TEST(EmulatedRegisters, AreNoMoreThanTheBlockHas) {
  const auto hand = [](auto takes) {
    return simt::run({{2, 1}, 384, 0}, [&] {
      if (simt::thread() < 256)
        takes();
      else
        simt::release_registers<40>();
    });
  };
  EXPECT_EQ(hand([] { simt::take_registers<232>(); }), 0);
  EXPECT_THAT([&] { (void)hand([] { simt::take_registers<240>(); }); },
              ThrowsMessage<std::logic_error>(HasSubstr("more registers")));
}

TEST(EmulatedRegisters, AreAskedForByWhoLacksAndLeftByWhoHasThem) {
  // 256 threads begin with all that a thread can name.
  EXPECT_THAT(
      [] {
        (void)simt::run({{1, 1}, 256, 0}, [] { simt::take_registers<232>(); });
      },
      ThrowsMessage<std::logic_error>(HasSubstr("registers that it has")));
  EXPECT_THAT(
      [] {
        (void)simt::run({{1, 1}, 384, 0}, [] { simt::release_registers<232>(); });
      },
      ThrowsMessage<std::logic_error>(HasSubstr("some that it lacks")));
}

TEST(EmulatedTma, ABoxIsStoredWithinItsMatrixWhenItIsWaitedFor) {
  alignas(16) std::array<unsigned char, 6 * 160>
      matrix{};  // 5 rows of 160 bytes, and one that is not its own
  TensorMap map;
  ASSERT_EQ(make_tensor_map(map, matrix.data(), 5, 160, 8), 0);
  const auto store = [&](bool overwrite, bool wait, bool fence = true) {
    matrix.fill(7);
    (void)simt::run({{1, 1}, 32, 1024}, [&] {
      for (int i = simt::thread(); i < 1024; i += 32)
        simt::shared()[swizzled_address(static_cast<std::uint32_t>(i))] =
            static_cast<unsigned char>(i / 128 * 16 + i % 128 / 16);
      if (fence) simt::fence_async();
      simt::sync_block();
      if (simt::thread() == 0) {
        simt::store_box(map, simt::shared(), 128, 3);
        simt::commit_stores();
        if (overwrite) simt::shared()[0] = 99;
      }
      simt::fence_async();
      simt::sync_warp();
      if (wait && simt::thread() == 0) simt::wait_stores();
    });
    return matrix[3 * 160 + 128];
  };
  EXPECT_EQ(store(false, true), 0);
  EXPECT_EQ(matrix[3 * 160 + 127], 7);
  EXPECT_EQ(matrix[3 * 160 + 159], 1);  // two pieces of 16 bytes are left of a row
  EXPECT_EQ(matrix[4 * 160 + 128], 16);
  EXPECT_EQ(matrix[4 * 160 + 0], 7);
  EXPECT_EQ(matrix[5 * 160 + 128], 7);  // beyond its last row
  EXPECT_EQ(store(true, true), 0);      // it may be read at once …
  simt::set_order(simt::Order::backward);
  EXPECT_EQ(store(true, true), 99);  // … or late
  simt::set_order(simt::Order::forward);
  EXPECT_EQ(store(false, false), 7);
  EXPECT_EQ(store(false, true, false), 255);  // not fenced: TMA reads what was there before
}

}  // namespace
}  // namespace dsbench::engine::kernels::cuda
