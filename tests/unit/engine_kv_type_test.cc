#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "core/rng.h"
#include "engine/kernels/kv_layout.h"
#include "engine/model/decoder.h"
#include "engine/model/latent_cache.h"
#include "engine/model/memory_bill.h"
#include "engine/model/reference_decoder.h"
#include "profiles/model_profile.h"

// The KV cache in fewer bytes: that attention reads what was written, how far that is from what was meant,
// and what it costs a model's logits.
namespace dsbench::engine {
namespace {

using kernels::KvType;
using kernels::cpu::AttentionArgs;
using kernels::cpu::KernelTable;
using kernels::cpu::ThreadPool;
using profiles::ModelProfile;

constexpr KvType kRounded[] = {KvType::bf16, KvType::int8, KvType::fp8};

std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> all;
  for (const auto* table = kernels::cpu::all_kernels(); *table != nullptr; ++table) all.push_back(*table);
  return all;
}

ModelProfile tiny() {
  auto profile = profiles::load_model_profile("tiny");
  EXPECT_TRUE(profile);
  return *profile;
}

std::vector<float> draw(const char* stream, std::size_t n, double spread = 2) {
  Rng rng(7, stream);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(spread * (2 * rng.uniform() - 1));
  return values;
}

AttentionArgs entry_args(const kernels::KvLayout& layout) {
  AttentionArgs args;
  args.kv_lora = layout.kv_lora;
  args.width = layout.kv_lora + layout.rope;
  args.kv_type = layout.type;
  args.slot_bytes = layout.slot_bytes;
  args.scales_at = layout.scales_at;
  args.rope_at = layout.rope_at;
  return args;
}

TEST(KvType, AnEntryHasTheBytesOfItsType) {
  EXPECT_EQ(kernels::kv_layout(KvType::fp32, 512, 64).slot_bytes, 4 * 576);
  EXPECT_EQ(kernels::kv_layout(KvType::bf16, 512, 64).slot_bytes, 2 * 576);
  EXPECT_EQ(kernels::kv_layout(KvType::fp8, 512, 64).slot_bytes, 656) << "as FlashMLA has it";
  EXPECT_EQ(kernels::kv_layout(KvType::int8, 512, 64).slot_bytes, 656);
  EXPECT_EQ(kernels::kv_layout(KvType::int8, 21, 6).slot_bytes, 24 + 4 + 12);
  for (const KvType type : {KvType::fp32, KvType::bf16, KvType::int8, KvType::fp8})
    EXPECT_EQ(kernels::kv_type_named(kernels::name_of(type)), type);
  EXPECT_EQ(kernels::kv_type_named("int4"), std::nullopt);
}

TEST(KvType, TheBillGoesByIt) {
  auto v3 = profiles::load_model_profile("v3");
  ASSERT_TRUE(v3);
  EXPECT_EQ(kv_per_token(*v3, KvType::fp32, false).count(), 61 * 576 * 4);
  EXPECT_EQ(kv_per_token(*v3, KvType::fp8, false).count(), 61 * 656);
  EXPECT_EQ(kv_per_token(*v3, KvType::fp8, true).count(), 62 * 656);
  const MemoryBill bill = memory_bill(*v3, kernels::WeightType::int8, 100, 16, KvType::int8);
  EXPECT_EQ(bill.kv.count(), std::int64_t{61} * 656 * 1600);
  EXPECT_EQ(bill.total, bill.weights + bill.kv);
}

// A number is at most half a step away from what was written: int8 has 127 steps to the group's largest, e4m3
// three bits behind the first down to 2^-6 of scale·448/256, bf16 seven.
TEST(KvType, WhatIsReadIsNearWhatWasWritten) {
  for (const KernelTable* table : tables()) {
    for (const auto& [kv_lora, rope] : {std::pair{512, 64}, {21, 6}, {130, 2}, {64, 16}}) {
      for (const KvType type : kRounded) {
        const kernels::KvLayout layout = kernels::kv_layout(type, kv_lora, rope);
        LatentCache cache(2, 3, 4, layout);
        const auto width = static_cast<std::size_t>(kv_lora + rope);
        const std::vector<float> row = draw("row", width);
        cache.write(*table, 1, 7, row.data());
        std::vector<float> read(width + kernels::cpu::kPanel, -1);
        table->widen_entry(entry_args(layout), cache.layer(1) + 7 * layout.slot_bytes, read.data());
        for (std::int32_t i = 0; i < kv_lora + rope; ++i) {
          const auto at = static_cast<std::size_t>(i);
          double most = std::abs(row[at]) * 0x1p-8;
          if (i < kv_lora && type != KvType::bf16) {
            const auto group = row.begin() + i / kernels::kKvGroup * kernels::kKvGroup;
            const auto end = std::min(group + kernels::kKvGroup, row.begin() + kv_lora);
            float largest = 0;
            for (auto x = group; x != end; ++x) largest = std::max(largest, std::abs(*x));
            most = type == KvType::int8
                       ? largest / 127 * 0.501
                       : std::max(std::abs(row[at]) * 0x1p-4, largest / 448 * 0x1p-10) * 1.001;
          }
          ASSERT_LE(std::abs(read[at] - row[at]), most) << table->name << ", " << kernels::name_of(type)
                                                        << ": " << i << " of " << kv_lora << "+" << rope;
        }
      }
    }
  }
}

TEST(KvType, EveryCodeOfE4m3IsItsNumber) {
  const kernels::KvLayout layout = kernels::kv_layout(KvType::fp8, 127, 2);
  for (const KernelTable* table : tables()) {
    for (const int sign : {1, -1}) {
      std::vector<std::byte> entry(static_cast<std::size_t>(layout.slot_bytes) + 64, std::byte{0});
      for (int code = 0; code < 127; ++code)
        entry[static_cast<std::size_t>(code)] = static_cast<std::byte>(sign > 0 ? code : code | 0x80);
      const float one = 1;
      std::memcpy(entry.data() + layout.scales_at, &one, sizeof one);
      std::vector<float> read(129);
      table->widen_entry(entry_args(layout), entry.data(), read.data());
      for (int code = 0; code < 127; ++code) {
        const int exponent = code >> 3;
        const double value =
            exponent == 0 ? (code & 7) * 0x1p-9 : (1 + (code & 7) / 8.0) * std::ldexp(1.0, exponent - 7);
        EXPECT_EQ(read[static_cast<std::size_t>(code)], static_cast<float>(sign * value)) << table->name;
      }
    }
  }
}

// Attention on a rounded cache is, bit for bit, attention in fp32 on what the entries widen to.
TEST(KvType, AttentionReadsTheEntries) {
  constexpr std::int32_t kv_lora = 130, rope = 6, heads = 3, queries = 2, context = 150, block_size = 7;
  constexpr std::int32_t width = kv_lora + rope;
  constexpr std::int32_t blocks = context / block_size + 1;
  std::vector<std::int32_t> table_of_blocks(blocks);
  std::iota(table_of_blocks.rbegin(), table_of_blocks.rend(), 0);
  const std::vector<float> q = draw("q", std::size_t{queries} * heads * width, 0.5);
  for (const KernelTable* table : tables()) {
    for (const KvType type : kRounded) {
      const kernels::KvLayout layout = kernels::kv_layout(type, kv_lora, rope);
      LatentCache cache(1, blocks, block_size, layout);
      std::vector<float> floats(std::size_t{blocks} * block_size * width + kernels::cpu::kPanel);
      for (std::int32_t slot = 0; slot < blocks * block_size; ++slot) {
        const std::vector<float> row = draw(fmt::format("row {}", slot).c_str(), width);
        cache.write(*table, 0, slot, row.data());
        std::vector<float> read(width + kernels::cpu::kPanel);
        table->widen_entry(entry_args(layout), cache.layer(0) + slot * layout.slot_bytes, read.data());
        std::copy_n(read.begin(), width, floats.begin() + std::ptrdiff_t{slot} * width);
      }
      std::vector<float> out[2];
      for (const bool rounded : {false, true}) {
        out[rounded].assign(std::size_t{queries} * heads * kv_lora, std::numeric_limits<float>::quiet_NaN());
        AttentionArgs args = entry_args(layout);
        args.kv_type = rounded ? type : KvType::fp32;
        args.cache = rounded ? static_cast<const void*>(cache.layer(0)) : floats.data();
        args.q = q.data();
        args.out = out[rounded].data();
        args.queries = queries;
        args.heads = heads;
        args.first_position = context - queries;
        args.scale = 0.1F;
        args.blocks = table_of_blocks.data();
        args.block_size = block_size;
        std::vector<float> scratch(
            static_cast<std::size_t>(kernels::cpu::attention_scratch(queries, heads, width, args.kv_type)));
        args.scratch = scratch.data();
        table->attention(args);
      }
      EXPECT_EQ(std::memcmp(out[0].data(), out[1].data(), out[0].size() * sizeof(float)), 0)
          << table->name << ", " << kernels::name_of(type);
    }
  }
}

// Logits after each position, the tokens in chunks of so many.
std::vector<float> logits_of(const ModelProfile& p, KvType type, const std::vector<TokenId>& tokens,
                             std::size_t chunk) {
  Decoder decoder(p, DrawnWeights{11});
  LatentCache cache(p.layers, 64, 5, kernels::kv_layout(type, p.kv_lora, p.rope_dim));
  ThreadPool pool(2);
  std::vector<std::int32_t> blocks(64);
  for (std::int32_t i = 0; i < 64; ++i) blocks[static_cast<std::size_t>(i)] = i * 27 % 64;
  std::vector<float> all;
  for (std::size_t at = 0; at < tokens.size(); at += chunk) {
    StepBatch batch;
    batch.items.push_back({.tokens = std::span(tokens).subspan(at, std::min(chunk, tokens.size() - at)),
                           .start = static_cast<std::int32_t>(at),
                           .blocks = blocks,
                           .sample = true});
    std::vector<float> logits;
    decoder.forward(batch, cache, pool, logits);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

// All experts for everybody, so that no choice between them hangs on a rounding: what is measured is the
// cache. In root mean square, as a part of a number: bf16 rounds by 0.17 %; int8, in a group of 64 drawn
// numbers whose largest is 2.5 standard deviations, by 2.5/127/√12 = 0.6 %; e4m3, with steps between 1/8 and
// 1/16, by 2.6 %. An entry counts twice in a layer, in the scores and in what is mixed, and the errors of the
// layers add in squares: √(2·layers) of them. Three times that is allowed, for the softmax.
TEST(KvType, LogitsAreOffByNoMoreThanTheRounding) {
  ModelProfile p = tiny();
  p.moe.experts = p.moe.top_k;
  p.moe.groups = p.moe.kept_groups = 1;
  Rng rng(3, "prompt");
  std::vector<TokenId> tokens(60);
  for (TokenId& t : tokens) t = static_cast<TokenId>(rng.below(256));
  const auto truth = reference_forward<double>(p, DrawnWeights{11}, tokens);
  double before = 0;
  for (const auto& [type, rounding] :
       {std::pair{KvType::fp32, 1e-6}, {KvType::bf16, 1.7e-3}, {KvType::int8, 6e-3}, {KvType::fp8, 2.6e-2}}) {
    const std::vector<float> logits = logits_of(p, type, tokens, 1);
    ASSERT_EQ(logits.size(), truth.logits.size());
    double difference = 0;
    double norm = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double d = static_cast<double>(logits[i]) - truth.logits[i];
      difference += d * d;
      norm += truth.logits[i] * truth.logits[i];
    }
    const double error = std::sqrt(difference / norm);
    const double bound = 3 * rounding * std::sqrt(2.0 * p.layers);
    fmt::print("KV in {}: logits {:.2e} off the float64 reference (root mean square), bound {:.0e}\n",
               kernels::name_of(type), error, bound);
    EXPECT_LT(error, bound) << kernels::name_of(type);
    EXPECT_GT(error, before) << "coarser is further off";
    before = error;
  }
}

TEST(KvType, ATokenHasTheSameBitsHoweverThePromptWasCut) {
  Rng rng(4, "prompt");
  std::vector<TokenId> tokens(41);
  for (TokenId& t : tokens) t = static_cast<TokenId>(rng.below(256));
  for (const KvType type : kRounded) {
    const std::vector<float> one = logits_of(tiny(), type, tokens, 1);
    for (const std::size_t chunk : {std::size_t{9}, tokens.size()}) {
      const std::vector<float> cut = logits_of(tiny(), type, tokens, chunk);
      const std::size_t vocab = 257;
      EXPECT_EQ(std::memcmp(one.data() + one.size() - vocab, cut.data() + cut.size() - vocab,
                            vocab * sizeof(float)),
                0)
          << kernels::name_of(type) << " in chunks of " << chunk;
    }
  }
}

// Fewer experts than the gate would choose among: everybody's rows go to those.
TEST(HotExperts, TheBusiestHasItsFactorOfTheMean) {
  const ModelProfile p = tiny();
  Rng rng(5, "prompt");
  std::vector<TokenId> tokens(200);
  for (TokenId& t : tokens) t = static_cast<TokenId>(rng.below(256));
  Decoder decoder(p, DrawnWeights{11});
  LatentCache cache(p.layers, 64, 5, p.latent_width());
  ThreadPool pool(1);
  std::vector<std::int32_t> blocks(64);
  std::iota(blocks.begin(), blocks.end(), 0);
  StepBatch batch;
  batch.items.push_back({.tokens = tokens, .start = 0, .blocks = blocks, .sample = true});
  std::vector<float> before;
  std::vector<float> logits;
  decoder.forward(batch, cache, pool, before);
  const double even = decoder.expert_imbalance();
  EXPECT_GT(even, 1);
  EXPECT_LT(even, 2.5);
  for (const double factor : {2.0, 4.0, 100.0}) {
    decoder.skew_experts(factor);
    decoder.forward(batch, cache, pool, logits);
    fmt::print("hot experts, factor {}: the busiest has {:.2f} times the mean, {:.2f} without\n", factor,
               decoder.expert_imbalance(), even);
    EXPECT_GE(decoder.expert_imbalance(),
              std::max(even, std::min(factor, 4.0)) - 1e-9);  // 16 experts, 4 for each token
    EXPECT_LE(decoder.expert_imbalance(), 4.0 + 1e-9);
    EXPECT_NE(logits, before);
  }
  decoder.skew_experts(1);
  decoder.forward(batch, cache, pool, logits);
  EXPECT_EQ(logits, before);
}

}  // namespace
}  // namespace dsbench::engine
