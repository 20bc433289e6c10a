// Products in bf16 and e4m3, groups of FP8, rotations and the gate's choices, on every instruction set that
// this processor has, against what the words say in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "core/rng.h"
#include "engine/kernels/cpu/packed_matrix.h"
#include "tests/unit/engine_kernels_every_table.h"

namespace dsbench::engine::kernels::cpu {
namespace {

std::vector<float> numbers(std::size_t count, std::uint64_t seed, double most = 1) {
  Rng rng(seed, "half");
  std::vector<float> x(count);
  for (float& v : x) v = static_cast<float>(most * (2 * rng.uniform() - 1));
  return x;
}

std::vector<std::uint16_t> halves(const std::vector<float>& x) {
  std::vector<std::uint16_t> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), to_bf16);
  return y;
}

double value_of_e4m3(std::uint8_t code) {
  const int exponent = (code >> 3) & 15;
  const int mantissa = code & 7;
  const double magnitude =
      exponent == 0 ? mantissa * std::ldexp(1.0, -9) : std::ldexp(1.0 + mantissa / 8.0, exponent - 7);
  return code >= 128 ? -magnitude : magnitude;
}

// Every code but NaN, among them zeros of both signs and all that are subnormal.
std::vector<std::uint8_t> codes(std::size_t count, std::uint64_t seed) {
  Rng rng(seed, "codes");
  std::vector<std::uint8_t> y(count);
  for (std::uint8_t& code : y) {
    code = static_cast<std::uint8_t>(rng.uniform() * 256);
    if ((code & 0x7F) == 0x7F) code = 0x80;
  }
  return y;
}

// [n, k] as products with half-width weights take it: [panel, k/2, 16, 2], zeros beyond.
template <class T>
std::vector<T> in_panels(const std::vector<T>& w, std::size_t n, std::size_t k) {
  const std::size_t words = (k + 1) / 2;
  std::vector<T> panels((n + 15) / 16 * words * 32);
  for (std::size_t row = 0; row < n; ++row) {
    for (std::size_t i = 0; i < k; ++i)
      panels[(row / 16 * words + i / 2) * 32 + row % 16 * 2 + i % 2] = w[row * k + i];
  }
  return panels;
}

struct Laid {
  std::vector<std::uint32_t> words;
  std::vector<float> scale;
  HalfRows rows;
};
Laid lay_out(const KernelTable& table, const void* a, const float* a_scale, std::int32_t m, std::int32_t k) {
  Laid laid;
  laid.rows = {.m = m, .k = k, .height = table.half_tile_height(m)};
  const auto rows = static_cast<std::size_t>(laid.rows.tiles()) * static_cast<std::size_t>(laid.rows.height);
  laid.words.assign(rows * static_cast<std::size_t>((k + 1) / 2), 0xFFFFFFFF);
  laid.scale.assign(rows * static_cast<std::size_t>((k + 127) / 128),
                    std::numeric_limits<float>::quiet_NaN());
  laid.rows.words = laid.words.data();
  laid.rows.scale = laid.scale.data();
  const std::int32_t middle = laid.rows.tiles() / 2;
  HalfLayoutArgs args{.a = a,
                      .lda = k,
                      .a_scale = a_scale,
                      .to = laid.rows,
                      .tile_begin = middle,
                      .tile_end = laid.rows.tiles()};
  table.lay_out_half(args);
  args.tile_begin = 0;
  args.tile_end = middle;
  table.lay_out_half(args);
  return laid;
}

TEST_P(EveryTable, ProductsOfBf16AreWhatTheyAreInDouble) {
  for (const std::int32_t m : {1, 2, 3, 7, 12, 13, 16, 25, 61}) {
    for (const auto& [n, k] : {std::pair{1, 1}, {15, 7}, {130, 129}, {290, 64}}) {
      const auto un = static_cast<std::size_t>(n);
      const auto uk = static_cast<std::size_t>(k);
      const std::vector<std::uint16_t> a = halves(numbers(static_cast<std::size_t>(m) * uk, 1));
      const std::vector<std::uint16_t> w = halves(numbers(un * uk, 2));
      const std::vector<std::uint16_t> panels = in_panels(w, un, uk);
      Laid laid = lay_out(*table_, a.data(), nullptr, m, k);
      std::vector<std::uint16_t> c(static_cast<std::size_t>(m) * un, 0x7FC0);
      const std::int32_t all = (n + 15) / 16;
      for (std::int32_t begin = 0; begin < all; begin += 11) {  // no whole number of panels at once
        table_->gemm_half({.rows = laid.rows,
                           .w = panels.data(),
                           .n = n,
                           .panel_begin = begin,
                           .panel_end = std::min(all, begin + 11),
                           .c = c.data(),
                           .ldc = n});
      }
      for (std::size_t row = 0; row < static_cast<std::size_t>(m); ++row) {
        for (std::size_t column = 0; column < un; ++column) {
          double want = 0;
          for (std::size_t i = 0; i < uk; ++i)
            want += double{from_bf16(a[row * uk + i])} * double{from_bf16(w[column * uk + i])};
          // Half an ulp of bf16, and what summing leaves.
          ASSERT_NEAR(from_bf16(c[row * un + column]), want, std::abs(want) / 256 + 1e-5)
              << table_->name << " m " << m << " n " << n << " k " << k << " at " << row << ", " << column;
        }
      }
    }
  }
}

TEST_P(EveryTable, ProductsOfE4m3TakeEveryBlocksScales) {
  for (const std::int32_t m : {1, 5, 24}) {
    constexpr std::int32_t kN = 300;  // three blocks of columns, the last in part
    constexpr std::int32_t kK = 384;
    const auto um = static_cast<std::size_t>(m);
    const std::vector<std::uint8_t> a = codes(um * kK, 3);
    const std::vector<std::uint8_t> w = codes(std::size_t{kN} * kK, 4);
    const std::vector<std::uint8_t> panels = in_panels(w, kN, kK);
    std::vector<float> a_scale = numbers(um * 3, 5);
    std::vector<float> w_scale = numbers(9, 6);
    Laid laid = lay_out(*table_, a.data(), a_scale.data(), m, kK);
    std::vector<std::uint16_t> c(um * kN, 0x7FC0);
    table_->gemm_half({.rows = laid.rows,
                       .w = panels.data(),
                       .w_scale = w_scale.data(),
                       .n = kN,
                       .panel_begin = 0,
                       .panel_end = (kN + 15) / 16,
                       .c = c.data(),
                       .ldc = kN});
    for (std::size_t row = 0; row < um; ++row) {
      for (std::size_t column = 0; column < kN; ++column) {
        double want = 0;
        double size = 0;
        for (std::size_t b = 0; b < 3; ++b) {
          double block = 0;
          double block_size = 0;
          for (std::size_t i = b * 128; i < (b + 1) * 128; ++i) {
            const double product = value_of_e4m3(a[row * kK + i]) * value_of_e4m3(w[column * kK + i]);
            block += product;
            block_size += std::abs(product);
          }
          const double scale = double{a_scale[row * 3 + b]} * double{w_scale[column / 128 * 3 + b]};
          want += block * scale;
          size += block_size * std::abs(scale);
        }
        ASSERT_NEAR(from_bf16(c[row * kN + column]), want, std::abs(want) / 256 + 1e-6 * size)
            << table_->name << " m " << m << " at " << row << ", " << column;
      }
    }
  }
}

TEST_P(EveryTable, GroupsAreQuantisedAsOneByOne) {
  constexpr std::int32_t kGroups = 19;  // more than are taken at once
  const std::vector<float> wide = numbers(std::size_t{kGroups} * 128, 7, 5);
  std::vector<std::uint16_t> x = halves(wide);
  std::fill_n(x.begin() + 128, 128, std::uint16_t{0});  // a group of zeros
  const std::vector<std::uint16_t> up = halves(numbers(x.size(), 8, 3));
  for (const bool swiglu : {false, true}) {
    std::vector<std::uint8_t> got(x.size(), 0x7F);
    std::vector<float> scales(kGroups, -1);
    table_->quantise_groups(x.data(), swiglu ? up.data() : nullptr, kGroups, got.data(), scales.data());
    for (std::size_t g = 0; g < kGroups; ++g) {
      std::vector<float> values(128);
      std::vector<float> gates(128);
      for (std::size_t i = 0; i < 128; ++i) {
        values[i] = from_bf16(x[g * 128 + i]);
        gates[i] = from_bf16(up[g * 128 + i]);
      }
      if (swiglu) table_->swiglu(values.data(), gates.data(), 128);
      std::vector<std::uint8_t> want(128);
      ASSERT_EQ(table_->quantise_e4m3(values.data(), 128, want.data()), scales[g])
          << table_->name << " group " << g;
      ASSERT_EQ(std::memcmp(want.data(), got.data() + g * 128, 128), 0) << table_->name << " group " << g;
    }
  }
}

TEST_P(EveryTable, PairsAreTurned) {
  for (const std::int32_t width : {2, 6, 64, 80}) {
    constexpr std::int32_t kHeads = 3;
    const auto uw = static_cast<std::size_t>(width);
    const std::vector<float> x = numbers(kHeads * uw, 9);
    std::vector<float> turns(uw);
    const std::size_t pairs = uw / 2;
    for (std::size_t i = 0; i < pairs; ++i) {
      turns[i] = static_cast<float>(std::cos(0.3 * static_cast<double>(i + 1)));
      turns[pairs + i] = static_cast<float>(std::sin(0.3 * static_cast<double>(i + 1)));
    }
    for (const bool halves_apart : {false, true}) {
      std::vector<float> y(x.size(), std::numeric_limits<float>::quiet_NaN());
      table_->rope({.x = x.data(),
                    .heads = kHeads,
                    .width = width,
                    .turns = turns.data(),
                    .halves = halves_apart,
                    .y = y.data()});
      for (std::size_t h = 0; h < kHeads; ++h) {
        for (std::size_t i = 0; i < pairs; ++i) {
          const std::size_t first = h * uw + (halves_apart ? i : 2 * i);
          const std::size_t second = halves_apart ? first + pairs : first + 1;
          const double a = x[first];
          const double b = x[second];
          EXPECT_NEAR(y[first], a * turns[i] - b * turns[pairs + i], 1e-6)
              << table_->name << " width " << width;
          EXPECT_NEAR(y[second], a * turns[pairs + i] + b * turns[i], 1e-6)
              << table_->name << " width " << width;
        }
      }
    }
  }
}

TEST_P(EveryTable, TheLargestAreTakenLowestIndexFirst) {
  constexpr std::int32_t kCount = 256;
  std::vector<float> x = numbers(kCount, 10);
  for (float& v : x) v = std::round(8 * v) / 8;  // many ties
  std::vector<std::int32_t> order(kCount);
  std::iota(order.begin(), order.end(), 0);
  const std::vector<float> before = x;
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return before[static_cast<std::size_t>(a)] > before[static_cast<std::size_t>(b)];
  });
  std::vector<std::int32_t> ids(40, -1);
  table_->take_largest(x.data(), kCount, 40, ids.data());
  order.resize(40);
  EXPECT_EQ(ids, order) << table_->name;
  for (const std::int32_t id : ids)
    EXPECT_EQ(x[static_cast<std::size_t>(id)], -std::numeric_limits<float>::infinity());

  for (const std::int32_t size : {16, 32, 48}) {
    const std::int32_t groups = kCount / size;
    for (const bool two : {false, true}) {
      std::vector<float> scores(static_cast<std::size_t>(groups));
      table_->group_scores(before.data(), groups, size, two, scores.data());
      for (std::int32_t g = 0; g < groups; ++g) {
        std::vector<float> group(before.begin() + g * size, before.begin() + (g + 1) * size);
        std::sort(group.rbegin(), group.rend());
        EXPECT_EQ(scores[static_cast<std::size_t>(g)], two ? group[0] + group[1] : group[0])
            << table_->name << " groups of " << size;
      }
    }
  }
}

TEST_P(EveryTable, ASoftmaxStepSeesOnlyWhatIsVisible) {
  for (const std::int32_t visible : {0, 1, 5, 16, 37, 128}) {
    std::vector<float> row = numbers(128, 11, 9);
    const std::vector<float> scores = row;
    SoftmaxStep step{
        .row = row.data(), .count = 128, .visible = visible, .scale = 0.5F, .largest = 1.0F, .sum = 2.0F};
    table_->softmax_steps(&step, 1);
    double largest = 1;
    for (std::int32_t i = 0; i < visible; ++i)
      largest = std::max(largest, 0.5 * double{scores[static_cast<std::size_t>(i)]});
    EXPECT_FLOAT_EQ(step.largest, static_cast<float>(largest));
    EXPECT_NEAR(step.rescale, std::exp(1 - largest), 1e-6);
    double sum = 2 * std::exp(1 - largest);
    for (std::int32_t i = 0; i < 128; ++i) {
      const double want =
          i < visible ? std::exp(0.5 * double{scores[static_cast<std::size_t>(i)]} - largest) : 0;
      EXPECT_NEAR(row[static_cast<std::size_t>(i)], want, 1e-6) << table_->name << " visible " << visible;
      sum += want;
    }
    EXPECT_NEAR(step.sum, sum, 1e-5) << table_->name << " visible " << visible;
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, EveryTable, testing::Range(0, 5));

}  // namespace
}  // namespace dsbench::engine::kernels::cpu
