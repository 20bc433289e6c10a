// What is done row by row on every instruction set that this processor has: mixes of hyper-connections, gated
// sums, rows that are laid out once, entries from a list, FP8 codes; against what the words say in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

#include "core/rng.h"
#include "engine/kernels/cpu/packed_matrix.h"
#include "tests/unit/engine_kernels_every_table.h"

namespace dsbench::engine::kernels::cpu {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> numbers(std::size_t count, std::string_view name, double most = 1) {
  Rng rng(11, name);
  std::vector<float> x(count);
  for (float& v : x) v = static_cast<float>(most * (2 * rng.uniform() - 1));
  return x;
}

// The engine's promise of the same bits holds for exponentials, too: every way to compute one is the AVX2
// way.
TEST(Exponentials, TheBitsAreTheSameWithFusedMultiplyAdd) {
  std::vector<float> x = numbers(4096, "x", 100);
  for (const float edge : {0.0F, -0.0F, 87.3F, -87.3F, 87.31F, -87.31F, 88.0F, -88.0F, 88.1F, 1e30F, -1e30F})
    x.push_back(edge);
  std::vector<float> first;
  for (int i = 0; all_kernels()[i] != nullptr; ++i) {
    const KernelTable& table = *all_kernels()[i];
    if (std::string_view{table.name} == "baseline") continue;  // has no fused multiply-add
    std::vector<float> y = x;
    table.sigmoid(y.data(), static_cast<std::int32_t>(y.size()));
    std::vector<float> up(x.size(), 0.5F);
    std::vector<float> z(x.size());
    table.swiglu_to(x.data(), up.data(), static_cast<std::int32_t>(x.size()), z.data());
    y.insert(y.end(), z.begin(), z.end());
    if (first.empty()) first = y;
    EXPECT_EQ(std::memcmp(first.data(), y.data(), y.size() * sizeof(float)), 0) << table.name;
  }
}

TEST_P(EveryTable, MixesAreThoseOfADouble) {
  for (const auto& [tokens, depth] : {std::pair{8, 1024}, {5, 308}, {1, 32}, {3, 256}, {7, 2060}}) {
    const auto wide = static_cast<std::size_t>(depth);
    const auto count = static_cast<std::size_t>(tokens);
    const std::vector<float> x = numbers(count * wide, "x");
    const std::vector<float> fn = numbers(std::size_t{kMixes} * wide, "fn", std::sqrt(3.0 / depth));
    const std::vector<float> scale = numbers(3, "scale", 1.5);
    const std::vector<float> base = numbers(kMixes, "base");
    const std::size_t blocks = (wide + kMixBlock - 1) / kMixBlock;
    std::vector<float> laid(blocks * kMixBlock * kMixes, 0.0F);
    for (std::size_t i = 0; i < kMixes; ++i) {
      for (std::size_t k = 0; k < wide; ++k)
        laid[(k / kMixBlock * kMixes + i) * kMixBlock + k % kMixBlock] = fn[i * wide + k];
    }
    std::vector<float> pre(count * kStreams, kNan);
    std::vector<float> post(count * kStreams, kNan);
    std::vector<float> comb(count * kStreams * kStreams, kNan);
    table_->mix_streams({.x = x.data(),
                         .next = x.data(),
                         .tokens = tokens,
                         .depth = depth,
                         .fn = laid.data(),
                         .scale = scale.data(),
                         .base = base.data(),
                         .pre = pre.data(),
                         .post = post.data(),
                         .comb = comb.data()});
    for (std::size_t t = 0; t < count; ++t) {
      double squares = 0;
      for (std::size_t k = 0; k < wide; ++k) squares += double{x[t * wide + k]} * double{x[t * wide + k]};
      const double inverse = 1 / std::sqrt(squares / depth + 1e-6);
      const auto mix = [&](std::size_t i) {
        double sum = 0;
        for (std::size_t k = 0; k < wide; ++k) sum += double{x[t * wide + k]} * double{fn[i * wide + k]};
        return sum * inverse * double{scale[std::min<std::size_t>(i / kStreams, 2)]} + double{base[i]};
      };
      for (std::size_t s = 0; s < kStreams; ++s) {
        EXPECT_NEAR(pre[t * kStreams + s], 1 / (1 + std::exp(-mix(s))) + 1e-6, 2e-6) << table_->name;
        EXPECT_NEAR(post[t * kStreams + s], 2 / (1 + std::exp(-mix(kStreams + s))), 4e-6) << table_->name;
      }
      double want[kStreams][kStreams];
      for (std::size_t r = 0; r < kStreams; ++r) {
        double sum = 0;
        for (std::size_t c = 0; c < kStreams; ++c) sum += want[r][c] = std::exp(mix((2 + r) * kStreams + c));
        for (double& v : want[r]) v = v / sum + 1e-6;
      }
      for (int round = 0; round < 20; ++round) {
        for (std::size_t r = 0; round > 0 && r < kStreams; ++r) {
          double sum = 1e-6;
          for (const double v : want[r]) sum += v;
          for (double& v : want[r]) v /= sum;
        }
        for (std::size_t c = 0; c < kStreams; ++c) {
          double sum = 1e-6;
          for (const auto& row : want) sum += row[c];
          for (auto& row : want) row[c] /= sum;
        }
      }
      for (std::size_t i = 0; i < std::size_t{kStreams} * kStreams; ++i) {
        EXPECT_NEAR(comb[t * kStreams * kStreams + i], want[i / kStreams][i % kStreams], 4e-6)
            << table_->name << " token " << t << " of " << tokens << ", " << depth << " numbers";
      }
    }
  }
}

TEST_P(EveryTable, GatedRowsAreASoftmaxHoweverTheyCome) {
  constexpr std::int32_t kColumns = 77;
  constexpr std::size_t kPadded = 80;
  constexpr std::size_t kRows = 21;
  const std::vector<float> values = numbers(kRows * kColumns, "values");
  const std::vector<float> gates = numbers(kRows * kColumns, "gates", 6);
  const std::vector<float> biases = numbers(kRows * kColumns, "biases");
  for (const std::size_t at_once : {1U, 3U, 4U, 8U}) {
    std::vector<float> largest(kPadded, kNan);
    std::vector<float> sums(kPadded, kNan);
    std::vector<float> mixed(kPadded, kNan);
    for (std::size_t r0 = 0; r0 < kRows; r0 += at_once) {
      const float* rows[3][kMostGated];
      const std::size_t some = std::min(at_once, kRows - r0);
      for (std::size_t r = 0; r < some; ++r) {
        rows[0][r] = values.data() + (r0 + r) * kColumns;
        rows[1][r] = gates.data() + (r0 + r) * kColumns;
        rows[2][r] = biases.data() + (r0 + r) * kColumns;
      }
      table_->add_gated({.values = rows[0],
                         .gates = rows[1],
                         .biases = rows[2],
                         .count = static_cast<std::int32_t>(some),
                         .n = kColumns,
                         .first = r0 == 0,
                         .largest = largest.data(),
                         .sums = sums.data(),
                         .mixed = mixed.data()});
    }
    for (std::size_t c = 0; c < kColumns; ++c) {
      double sum = 0;
      double mix = 0;
      for (std::size_t r = 0; r < kRows; ++r) {
        const double weight = std::exp(double{gates[r * kColumns + c]} + double{biases[r * kColumns + c]});
        sum += weight;
        mix += weight * double{values[r * kColumns + c]};
      }
      ASSERT_NEAR(mixed[c] / sums[c], mix / sum, 2e-6) << table_->name << " " << at_once << " at once";
    }
  }
}

// Laid out by whom it may be: the same chain of multiply-adds.
TEST_P(EveryTable, RowsThatAreLaidOutOnceGiveTheSameBits) {
  for (const std::int32_t m : {1, 7, 12, 24, 41}) {
    constexpr std::int32_t kN = 55;
    constexpr std::int32_t kK = 75;
    const auto um = static_cast<std::size_t>(m);
    const std::vector<float> a = numbers(um * kK, "a");
    const std::vector<float> w = numbers(std::size_t{kN} * kK, "w");
    const PackedMatrix packed(w, kN, kK);
    std::vector<float> want(um * kN);
    table_->gemm(packed.times(a.data(), kK, m, want.data(), kN));

    const std::int32_t height = table_->row_tile_height();
    const auto padded = static_cast<std::size_t>((m + height - 1) / height * height);
    std::vector<float> tiles(padded * kK, kNan);
    table_->lay_out_rows(a.data(), kK, m, kK, tiles.data());
    std::vector<float> scores(padded * kScoreStride, kNan);
    for (std::size_t r = 0; r < um; ++r) std::copy_n(a.data() + r * kK, kK, scores.data() + r * kScoreStride);
    for (const RowLayout layout : {RowLayout::tiles, RowLayout::scores}) {
      std::vector<float> got(um * kN, kNan);
      GemmArgs args =
          packed.times(layout == RowLayout::tiles ? tiles.data() : scores.data(), kK, m, got.data(), kN);
      args.layout = layout;
      table_->gemm(args);
      EXPECT_EQ(got, want) << table_->name << " m " << m;
      args.add = true;
      table_->gemm(args);
      for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], 2 * want[i], 1e-4) << table_->name;
    }
  }
}

// Entries from a list are attended to as those of a cache.
TEST_P(EveryTable, AttentionTakesAListOfEntries) {
  constexpr std::int32_t kv_lora = 35, rope = 14, heads = 5, entries = 150;
  constexpr std::int32_t width = kv_lora + rope;
  const std::vector<float> q = numbers(std::size_t{heads} * width, "q");
  std::vector<float> cache = numbers(std::size_t{entries} * width + kPanel, "cache");
  std::vector<std::int32_t> blocks(entries);
  std::vector<const void*> list(entries);
  for (std::size_t i = 0; i < entries; ++i) {
    blocks[i] = static_cast<std::int32_t>(i * 7 % entries);
    list[i] = cache.data() + static_cast<std::size_t>(blocks[i]) * width;
  }
  std::vector<float> scratch(static_cast<std::size_t>(attention_scratch(1, heads, width)));
  std::vector<float> out[2];
  std::vector<float> lse[2];
  for (const int way : {0, 1}) {
    out[way].assign(std::size_t{heads} * kv_lora, kNan);
    lse[way].assign(heads, kNan);
    AttentionArgs args;
    args.q = q.data();
    args.out = out[way].data();
    args.lse = lse[way].data();
    args.queries = 1;
    args.heads = heads;
    args.kv_lora = kv_lora;
    args.width = width;
    args.first_position = entries - 1;
    args.scale = 0.1F;
    args.scratch = scratch.data();
    if (way == 0) {
      args.cache = cache.data();
      args.blocks = blocks.data();
      args.block_size = 1;
    } else {
      args.entries = list.data();
    }
    table_->attention(args);
  }
  EXPECT_EQ(out[0], out[1]) << table_->name;
  EXPECT_EQ(lse[0], lse[1]) << table_->name;
}

float value_of_code(std::uint8_t code) {
  const int exponent = code >> 3 & 15;
  const int mantissa = code & 7;
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                        : std::ldexp(1 + static_cast<float>(mantissa) / 8, exponent - 7);
  return code >= 128 ? -magnitude : magnitude;
}

// Queries of bf16 that see codes with two scales and a rotary part, in a paged cache and from a list, several
// queries among them, are attended to as in double. What nobody may see is NaN.
TEST_P(EveryTable, AttentionToCodesIsThatOfADouble) {
  constexpr std::int32_t codes = 128, rotary = 19, width = codes + rotary, bytes = 128 + 8 + 2 * rotary + 2;
  const CodedEntries form{
      .codes = codes,
      .group = 64,
      .rest_at = codes + 8,
      .scales =
          [](const void* context, const void* entry, float* to) {
            std::memcpy(to, static_cast<const char*>(entry) + *static_cast<const int*>(context), 8);
          },
      .context = &codes};
  struct Shape {
    std::int32_t queries, heads, entries, v_width;
  };
  for (const auto& [queries, heads, entries, v_width] : {Shape{1, 16, 200, codes},
                                                         {1, 5, 1, codes},
                                                         {3, 7, 65, codes},
                                                         {1, 40, 129, width - 3},
                                                         {2, 24, 64, 77}}) {
    const auto rows = static_cast<std::size_t>(queries * heads);
    const auto count = static_cast<std::size_t>(entries);
    std::vector<std::uint16_t> q;
    for (const float v : numbers(rows * width, "q")) q.push_back(to_bf16(v));
    std::vector<std::uint8_t> cache((count + 1) * bytes, 0xFF);  // NaN in the last, and behind an entry
    std::vector<std::vector<double>> worth(count, std::vector<double>(width));
    Rng rng(5, "codes");
    for (std::size_t e = 0; e < count; ++e) {
      std::uint8_t* entry = cache.data() + e * bytes;
      const float scales[2] = {0.003F * static_cast<float>(1 + e % 3), 0.0071F};
      std::memcpy(entry + codes, scales, 8);
      for (std::size_t i = 0; i < width; ++i) {
        std::uint16_t half = to_bf16(static_cast<float>(2 * rng.uniform() - 1));
        if (i < codes) {
          do {
            entry[i] = static_cast<std::uint8_t>(rng.below(256));
          } while (entry[i] % 128 == 127);  // that is no number
          half = to_bf16(value_of_code(entry[i]) * scales[i / 64]);
        } else {
          std::memcpy(entry + codes + 8 + 2 * (i - codes), &half, 2);
        }
        worth[e][i] = from_bf16(half);
      }
    }
    std::vector<std::int32_t> blocks(count);
    std::vector<const void*> list(count);
    for (std::size_t i = 0; i < count; ++i) {
      blocks[i] = static_cast<std::int32_t>((i * 7 + 3) % count);
      if (count % 7 == 0) blocks[i] = static_cast<std::int32_t>(i);
      list[i] = cache.data() + static_cast<std::size_t>(blocks[i]) * bytes;
    }
    std::vector<float> scratch(
        static_cast<std::size_t>(attention_scratch(queries, heads, width, KvType::fp8)));
    std::vector<float> out[2];
    std::vector<float> lse(rows, kNan);
    for (const int way : {0, 1}) {
      std::ranges::fill(scratch, kNan);
      out[way].assign(rows * static_cast<std::size_t>(v_width), kNan);
      AttentionArgs args;
      args.half_q = q.data();
      args.coded = &form;
      args.slot_bytes = codes + 8 + 2 * rotary;
      args.out = out[way].data();
      args.lse = lse.data();
      args.queries = queries;
      args.heads = heads;
      args.kv_lora = v_width;
      args.width = width;
      args.first_position = entries - queries;
      args.scale = 0.2F;
      args.scratch = scratch.data();
      args.entries = list.data();
      if (way == 1) {
        args.entries = nullptr;
        args.slot_bytes = bytes;
        args.cache = cache.data();
        args.blocks = blocks.data();
        args.block_size = 1;
      }
      table_->attention(args);
    }
    EXPECT_EQ(out[0], out[1]) << table_->name;
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t seen =
          count - static_cast<std::size_t>(queries) + 1 + r / static_cast<std::size_t>(heads);
      std::vector<double> weights(seen);
      double sum = 0;
      double largest = 0;  // of the sums of magnitudes that scores are made of
      for (std::size_t e = 0; e < seen; ++e) {
        double score = 0;
        double size = 0;
        for (std::size_t i = 0; i < width; ++i) {
          const double part =
              double{from_bf16(q[r * width + i])} * worth[static_cast<std::size_t>(blocks[e])][i];
          score += part;
          size += std::abs(part);
        }
        largest = std::max(largest, size);
        sum += weights[e] = std::exp(double{0.2F} * score);
      }
      EXPECT_NEAR(lse[r], std::log(sum), 1e-4) << table_->name << " row " << r;
      for (std::size_t i = 0; i < static_cast<std::size_t>(v_width); ++i) {
        double want = 0;
        double size = 0;
        for (std::size_t e = 0; e < seen; ++e) {
          const double part = weights[e] / sum * worth[static_cast<std::size_t>(blocks[e])][i];
          want += part;
          size += std::abs(part);
        }
        // A score has been rounded with every number that was added to it, by 2^-24 of `largest`, and is off
        // in the weight and in the sum of weights. Dots take weights in bf16, each off by 2^-8 of itself at
        // most.
        const double of_scores = 2 * double{0.2F} * largest * 0x1p-24 * width;
        const double of_weights = std::string_view{table_->name} == "avx512bf16" ? 0x1p-8 : 0;
        EXPECT_NEAR(out[0][r * static_cast<std::size_t>(v_width) + i], want,
                    size * (of_weights + of_scores) + 1e-6)
            << table_->name << " row " << r << " column " << i << " of " << entries << " entries";
      }
    }
  }
}

TEST_P(EveryTable, FloatsAreRoundedToBf16) {
  std::vector<float> x = numbers(77, "x", 3);
  x[5] = 1.00390625F;  // ties: to even
  x[6] = 1.01171875F;
  std::vector<std::uint16_t> y(x.size() + 1, 0x1234);
  table_->narrow(x.data(), static_cast<std::int32_t>(x.size()), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], to_bf16(x[i])) << table_->name << ": " << x[i];
  EXPECT_EQ(y.back(), 0x1234) << table_->name;
}

TEST_P(EveryTable, CodesTimesAScaleAreRoundedToBf16) {
  std::vector<std::uint8_t> codes(256);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(i % 128 == 127 ? 0 : i);
  for (const float scale : {1.0F, 0.37F, 0x1p-9F}) {
    std::vector<float> got(codes.size(), kNan);
    table_->widen_e4m3_rounded(codes.data(), scale, static_cast<std::int32_t>(codes.size()), got.data());
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const float value = value_of_code(codes[i]) * scale;
      EXPECT_EQ(got[i], from_bf16(to_bf16(value))) << table_->name << " code " << i;
    }
  }
}

// Every float near a tie between two codes, on both sides and on it.
TEST_P(EveryTable, CodesAreTheNearestWithTiesToEven) {
  const auto value = [](int code) {
    return code < 8 ? std::ldexp(static_cast<float>(code), -9)
                    : std::ldexp(1 + static_cast<float>(code & 7) / 8, (code >> 3) - 7);
  };
  std::vector<float> x{448};  // the scale is 1
  std::vector<int> want{0x7E};
  for (int code = 0; code < 0x7E; ++code) {
    const float tie = (value(code) + value(code + 1)) / 2;
    for (const float v : {value(code), std::nextafter(tie, 0.0F), tie, std::nextafter(tie, 1e9F)}) {
      const int nearest = v < tie ? code : v > tie ? code + 1 : code % 2 == 0 ? code : code + 1;
      x.push_back(v);
      want.push_back(nearest);
      x.push_back(-v);
      want.push_back(nearest | 0x80);
    }
  }
  std::vector<std::uint8_t> got(x.size(), 0x7F);
  ASSERT_EQ(table_->quantise_e4m3(x.data(), static_cast<std::int32_t>(x.size()), got.data()), 1.0F);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(int{got[i]}, want[i]) << table_->name << ": " << x[i];
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, EveryTable, testing::Range(0, 5));

}  // namespace
}  // namespace dsbench::engine::kernels::cpu
