// Many rows take another way through the product than few: each element must come out the same, bit for bit.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/rng.h"
#include "engine/kernels/cpu/moe_rows.h"
#include "engine/kernels/cpu/packed_matrix.h"

namespace dsbench::engine::kernels::cpu {
namespace {

std::vector<float> numbers(std::size_t count, std::uint64_t seed) {
  Rng rng(seed, "blocked");
  std::vector<float> x(count);
  for (float& v : x) v = static_cast<float>(2 * rng.uniform() - 1);
  return x;
}

TEST(BlockedGemm, EqualsOneRowAtATimeBitForBit) {
  // Rows that are no multiple of a tile, more than a block; columns that are no multiple of a panel; k beyond
  // a block and odd.
  constexpr std::int32_t kM = 211;
  constexpr std::int32_t kN = 300;
  constexpr std::int32_t kK = 1101;
  const std::vector<float> a = numbers(std::size_t{kM} * kK, 1);
  const std::vector<float> w = numbers(std::size_t{kN} * kK, 2);
  std::vector<std::int32_t> backwards(kM);
  std::iota(backwards.rbegin(), backwards.rend(), 0);
  for (const WeightType type : {WeightType::fp32, WeightType::bf16}) {
    const PackedMatrix packed(w, kN, kK, type);
    for (const KernelTable* const* table = all_kernels(); *table != nullptr; ++table) {
      std::vector<float> one(std::size_t{kM} * kN);
      for (std::int32_t row = 0; row < kM; ++row) {
        (*table)->gemm(
            packed.times(a.data() + std::int64_t{row} * kK, kK, 1, one.data() + std::int64_t{row} * kN, kN));
      }
      for (const bool gathered : {false, true}) {
        std::vector<float> all(one.size(), std::numeric_limits<float>::quiet_NaN());
        GemmArgs args = packed.times(a.data(), kK, kM, all.data(), kN);
        if (gathered) args.rows = backwards.data();
        (*table)->gemm(args);
        for (std::size_t row = 0; row < kM; ++row) {
          const float* want = one.data() + (gathered ? kM - 1 - row : row) * kN;
          ASSERT_EQ(std::memcmp(want, all.data() + row * kN, kN * sizeof(float)), 0)
              << (*table)->name << " row " << row << (gathered ? " gathered" : "");
        }
      }
    }
  }
}

TEST(BlockedGemm, AddsToWhatIsThere) {
  constexpr std::int32_t kN = 290;
  constexpr std::int32_t kK = 70;
  const std::vector<float> w = numbers(std::size_t{kN} * 2 * kK, 3);
  for (const std::int32_t m : {1, 5, 40}) {
    // k in two halves, the second added, is k in one go.
    const std::vector<float> a = numbers(static_cast<std::size_t>(m) * 2 * kK, 4);
    std::vector<float> halves[2];
    for (std::size_t half = 0; half < 2; ++half) {
      for (std::size_t row = 0; row < kN; ++row) {
        const auto from = w.begin() + static_cast<std::ptrdiff_t>((row * 2 + half) * kK);
        halves[half].insert(halves[half].end(), from, from + kK);
      }
    }
    for (const KernelTable* const* table = all_kernels(); *table != nullptr; ++table) {
      std::vector<float> want(static_cast<std::size_t>(m) * kN);
      (*table)->gemm(PackedMatrix(w, kN, 2 * kK).times(a.data(), 2 * kK, m, want.data(), kN));
      std::vector<float> got(want.size());
      for (std::size_t half = 0; half < 2; ++half) {
        const PackedMatrix packed(halves[half], kN, kK);
        GemmArgs args = packed.times(a.data() + half * kK, 2 * kK, m, got.data(), kN);
        args.add = half == 1;
        (*table)->gemm(args);
      }
      EXPECT_EQ(want, got) << (*table)->name << " m " << m;
    }
  }
}

TEST(Rows, EveryBuildQuantisesToTheNearestE4m3) {
  // From the table of values: each code's value, half way to the next one, and just beside that.
  const auto value = [](int code) {
    return code < 8 ? std::ldexp(code, -9) : std::ldexp(8 + code % 8, code / 8 - 10);
  };
  for (const KernelTable* const* table = all_kernels(); *table != nullptr; ++table) {
    for (int code = 0; code < 0x7E; ++code) {
      const double half = (value(code) + value(code + 1)) / 2;
      // A scale of 1 needs a largest value of 448.
      const float x[] = {448,
                         static_cast<float>(value(code)),
                         static_cast<float>(half),
                         std::nextafter(static_cast<float>(half), 0.0F),
                         std::nextafter(static_cast<float>(half), 1e3F),
                         -static_cast<float>(value(code))};
      std::uint8_t codes[6] = {};
      EXPECT_EQ((*table)->quantise_e4m3(x, 6, codes), 1.0F);
      EXPECT_EQ(codes[0], 0x7E);
      EXPECT_EQ(codes[1], code);
      EXPECT_EQ(codes[2], code % 2 == 0 ? code : code + 1);
      EXPECT_EQ(codes[3], code);
      EXPECT_EQ(codes[4], code + 1);
      EXPECT_EQ(codes[5] & 0x7F, code);
    }
  }
}

TEST(Rows, WidensBf16ExactlyWithATail) {
  std::vector<std::uint16_t> halves;
  for (int i = 0; i < 37; ++i) halves.push_back(static_cast<std::uint16_t>(i * 1777));
  for (const KernelTable* const* table = all_kernels(); *table != nullptr; ++table) {
    std::vector<float> got(halves.size());
    (*table)->widen(halves.data(), 37, got.data());
    for (std::size_t i = 0; i < got.size(); ++i) {
      const float want = from_bf16(halves[i]);
      EXPECT_EQ(std::memcmp(&want, &got[i], 4), 0) << (*table)->name << " " << i;
    }
  }
}

TEST(Rows, TopKTakesTheLowestOfTies) {
  const float x[] = {1, 3, 2, 3, -1, 3, 0, -5};
  std::int32_t ids[5];
  top_k(x, 8, 2, ids);
  EXPECT_EQ(std::vector(ids, ids + 2), (std::vector{1, 3}));
  top_k(x, 8, 5, ids);
  EXPECT_EQ(std::vector(ids, ids + 5), (std::vector{0, 1, 2, 3, 5}));
  top_k(x, 3, 5, ids);
  EXPECT_EQ(std::vector(ids, ids + 5), (std::vector{0, 1, 2, -1, -1}));
}

}  // namespace
}  // namespace dsbench::engine::kernels::cpu
