#include "engine/model/decoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>
#include <tuple>
#include <vector>

#include "core/rng.h"
#include "engine/kernels/weight_type_name.h"
#include "engine/model/memory_bill.h"
#include "engine/model/reference_decoder.h"
#include "engine/model/sampling.h"

namespace dsbench::engine {
namespace {

using kernels::WeightType;
using kernels::cpu::KernelTable;
using kernels::cpu::ThreadPool;
using profiles::ModelProfile;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

ModelProfile tiny() {
  auto profile = profiles::load_model_profile("tiny");
  EXPECT_TRUE(profile);
  return *profile;
}

// V3's features in sizes that divide nothing.
ModelProfile odd() {
  ModelProfile p;
  p.name = "odd";
  p.hidden = 37;
  p.layers = 3;
  p.dense_layers = 1;
  p.vocab = 61;
  p.max_context = 200;
  p.heads = 3;
  p.q_lora = 19;
  p.kv_lora = 21;
  p.nope_dim = 7;
  p.rope_dim = 6;
  p.v_dim = 5;
  p.yarn = {.factor = 4,
            .original_context = 24,
            .beta_fast = 32,
            .beta_slow = 1,
            .mscale = 0.707,
            .mscale_all_dim = 1};
  p.dense_intermediate = 53;
  p.moe = {.experts = 6,
           .top_k = 3,
           .groups = 3,
           .kept_groups = 2,
           .shared_experts = 1,
           .intermediate = 17,
           .scoring = profiles::GateScoring::sigmoid,
           .renormalise = true,
           .routed_scale = 2.5,
           .correction_bias = true};
  return p;
}

// V2-Lite's features: queries without low rank, softmax gate without groups or renormalisation, two shared
// experts, no YaRN.
ModelProfile odd_v2() {
  ModelProfile p = odd();
  p.name = "odd-v2";
  p.q_lora = 0;
  p.yarn = {};
  p.moe = {.experts = 7,
           .top_k = 2,
           .groups = 1,
           .kept_groups = 1,
           .shared_experts = 2,
           .intermediate = 11,
           .scoring = profiles::GateScoring::softmax,
           .renormalise = false,
           .routed_scale = 1,
           .correction_bias = false};
  return p;
}

// Many experts for few tokens, so that most get none; no shared expert, no dense layer.
ModelProfile sparse() {
  ModelProfile p = odd();
  p.name = "sparse";
  p.dense_layers = 0;
  p.moe = {.experts = 48,
           .top_k = 1,
           .groups = 8,
           .kept_groups = 1,
           .shared_experts = 0,
           .intermediate = 9,
           .scoring = profiles::GateScoring::sigmoid,
           .renormalise = true,
           .routed_scale = 1.5,
           .correction_bias = true};
  return p;
}

std::vector<TokenId> draw_tokens(std::size_t n, std::int32_t vocab, std::uint64_t seed = 3) {
  Rng rng(seed, "prompt");
  std::vector<TokenId> tokens(n);
  for (TokenId& t : tokens) t = static_cast<TokenId>(rng.below(static_cast<std::uint64_t>(vocab)));
  return tokens;
}

// One sequence with blocks of its own.
struct Sequence {
  std::vector<TokenId> tokens;
  std::vector<std::int32_t> blocks;
  [[nodiscard]] StepItem item(std::int32_t start, std::int32_t count) const {
    return {
        .tokens = std::span(tokens).subspan(static_cast<std::size_t>(start), static_cast<std::size_t>(count)),
        .start = start,
        .blocks = blocks,
        .sample = true};
  }
};

class Bench {
 public:
  Bench(const ModelProfile& profile, int threads, std::int32_t block_size = 5,
        const KernelTable& table = kernels::cpu::kernels(), WeightType type = WeightType::fp32)
      : decoder(profile, DrawnWeights{11}, table, type),
        cache(profile.layers, 256, block_size, profile.latent_width()),
        pool(threads) {
    cache.fill(kNan);
  }
  std::vector<float> step(const std::vector<StepItem>& items) {
    StepBatch batch;
    batch.items = items;
    std::vector<float> logits;
    decoder.forward(batch, cache, pool, logits);
    return logits;
  }
  // Logits after each position, computed one token at a time.
  std::vector<float> one_by_one(const Sequence& s) {
    std::vector<float> all;
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(s.tokens.size()); ++i) {
      const std::vector<float> row = step({s.item(i, 1)});
      all.insert(all.end(), row.begin(), row.end());
    }
    return all;
  }
  Decoder decoder;
  LatentCache cache;
  ThreadPool pool;
};

// A table of blocks in no order, none shared between sequences of one test (there are 256 in a Bench).
std::vector<std::int32_t> scrambled(std::int32_t first, std::int32_t count) {
  std::vector<std::int32_t> blocks;
  for (std::int32_t i = 0; i < count; ++i) blocks.push_back((first + i) * 89 % 256);
  return blocks;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// ‖a − b‖ / ‖b‖ of one row.
template <class A>
double row_error(const A* a, const double* b, std::size_t n) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(a[i]) - b[i];
    difference += d * d;
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

// What a width costs against the unrounded model, in float64. A product's relative error, in root mean
// square:
//   bf16  a mantissa of 8 bits: ulp/√12, ulp between 2^-8 and 2^-7 of the weight: at most 0.23 %
//   int8  weights are uniform, step = max/127: (1/127)/√12 over 1/√3 = 0.39 %; rows of activations reach at
//   most
//         five standard deviations here: 5/127/√12 = 1.1 %
// A token goes through at most 6 products a layer one after the other, and the head; errors that know nothing
// of each other add in squares: √(6·layers + 1) of them. Three times that is asked, for the softmax and the
// norms, and that it costs something at all.
double width_bound(const ModelProfile& p, WeightType type) {
  const double product = type == WeightType::bf16 ? 0.0023 : std::sqrt(0.0039 * 0.0039 + 0.011 * 0.011);
  return 3 * product * std::sqrt(6 * p.layers + 1);
}

// The decoder against the float64 reference. Both it and the reference run in float are fp32 evaluations of
// the same function on the same rounded operands that differ in the order of their sums, so their errors are
// alike: the tolerance is 8 times what the float reference shows on this very input. For int8 an activation
// that lies in the middle between two steps may go to either side, and everything after it with it; that may
// cost half of what the width itself may (width_bound), and a small model's first quarter of positions must
// be free of it. Positions that rest on a choice of experts closer than the rounding is wide have no right
// answer and are left out; at least nine of ten must be left.
void expect_reference(const ModelProfile& profile, std::size_t length, const KernelTable& table,
                      WeightType type = WeightType::fp32) {
  const Sequence s{draw_tokens(length, profile.vocab), scrambled(0, 40)};
  const auto truth = reference_forward<double>(profile, DrawnWeights{11}, s.tokens, type);
  const auto rounded = reference_forward<float>(profile, DrawnWeights{11}, s.tokens, type);
  Bench bench(profile, 2, 5, table, type);
  const std::vector<float> logits = bench.one_by_one(s);
  const std::size_t vocab = static_cast<std::size_t>(profile.vocab);
  ASSERT_EQ(logits.size(), truth.logits.size());
  double tolerance = 0;
  std::size_t sure = 0;
  const double narrowest = type == WeightType::int8 ? 2e-3 : 2e-5;
  while (sure < length && truth.margins[sure] > narrowest) ++sure;  // margins only shrink along the sequence
  for (std::size_t i = 0; i < sure; ++i) {
    tolerance = std::max(
        tolerance, 8 * row_error(rounded.logits.data() + i * vocab, truth.logits.data() + i * vocab, vocab));
  }
  if (type == WeightType::int8) tolerance = std::max(tolerance, width_bound(profile, type) / 2);
  double worst = 0;
  std::vector<double> errors;
  for (std::size_t i = 0; i < sure; ++i) {
    const double error = row_error(logits.data() + i * vocab, truth.logits.data() + i * vocab, vocab);
    errors.push_back(error);
    ASSERT_TRUE(error <= tolerance) << table.name << ": position " << i << ": " << error << " above "
                                    << tolerance;
    worst = std::max(worst, error);
  }
  fmt::print(
      "{} in {} on {}: worst row error {:.2e}, tolerance {:.2e}, {} of {} positions sure, narrowest choice "
      "{:.1e}\n",
      profile.name, name_of(type), table.name, worst, tolerance, sure, length, truth.margins.back());
  EXPECT_GE(sure * 10, length * 9);
  if (type != WeightType::int8) {
    EXPECT_LT(tolerance, 1e-3);
  } else if (profile.hidden < 100) {
    std::sort(errors.begin(), errors.end());
    EXPECT_LT(errors[errors.size() / 4], 1e-5) << table.name;
  }
}

// Every expert for everybody, so that no choice between experts hangs on a rounding.
ModelProfile without_choice(ModelProfile p) {
  p.name += "-all-experts";
  p.moe.experts = p.moe.top_k = 3;
  p.moe.groups = p.moe.kept_groups = 1;
  return p;
}

TEST(Decoder, IsTheReferenceOnEveryInstructionSet) {
  for (const auto* table = kernels::cpu::all_kernels(); *table != nullptr; ++table) {
    for (const WeightType type : {WeightType::fp32, WeightType::bf16}) {
      expect_reference(odd(), 60, **table, type);
      expect_reference(odd_v2(), 60, **table, type);
      expect_reference(sparse(), 60, **table, type);
    }
    expect_reference(without_choice(odd()), 60, **table, WeightType::int8);
    expect_reference(without_choice(odd_v2()), 60, **table, WeightType::int8);
  }
}

TEST(Decoder, TinyIsTheReference) {
  expect_reference(tiny(), 150, kernels::cpu::kernels());
  expect_reference(without_choice(tiny()), 60, kernels::cpu::kernels(), WeightType::bf16);
  expect_reference(without_choice(tiny()), 60, kernels::cpu::kernels(), WeightType::int8);
}

TEST(Decoder, AWidthCostsWhatItMay) {
  for (const ModelProfile& p : {without_choice(odd()), without_choice(odd_v2()), without_choice(tiny())}) {
    const Sequence s{draw_tokens(40, p.vocab), scrambled(0, 40)};
    const auto truth = reference_forward<double>(p, DrawnWeights{11}, s.tokens);
    const auto vocab = static_cast<std::size_t>(p.vocab);
    for (const WeightType type : {WeightType::bf16, WeightType::int8}) {
      Bench bench(p, 1, 5, kernels::cpu::kernels(), type);
      const std::vector<float> logits = bench.one_by_one(s);
      const double error = row_error(logits.data(), truth.logits.data(), logits.size());
      const double bound = width_bound(p, type);
      fmt::print("{} in {}: {:.2e} off the unrounded model, bound {:.2e}\n", p.name, name_of(type), error,
                 bound);
      EXPECT_LT(error, bound);
      EXPECT_GT(error, bound / 300);
      EXPECT_EQ(logits.size(), vocab * 40);
    }
  }
}

// Routers and norms are fp32; the rest has the bytes of its type (and what padding to whole panels takes).
TEST(Decoder, KeepsWeightsInTheirType) {
  const ModelProfile p = tiny();
  std::int64_t before = 0;
  for (const auto& [type, least, most] : {std::tuple{WeightType::int8, 1.0, 1.25},
                                          {WeightType::bf16, 2.0, 2.2},
                                          {WeightType::fp32, 4.0, 4.2}}) {
    const Decoder decoder(p, DrawnWeights{11}, kernels::cpu::kernels(), type);
    const auto count = static_cast<double>(count_parameters(p).total());
    const double each = static_cast<double>(decoder.weight_bytes()) / count;
    EXPECT_GE(each, least);
    EXPECT_LE(each, most);
    EXPECT_GT(decoder.weight_bytes(), before);
    before = decoder.weight_bytes();
    const std::int64_t bill = memory_bill(p, type, 1, 16).weights.count();
    EXPECT_LE(bill, decoder.weight_bytes()) << "the bill leaves out the padding";
    EXPECT_GE(bill * 103 / 100, decoder.weight_bytes());
    EXPECT_EQ(decoder.weight_type(), type);
  }
}

// The reference must not be the decoder's twin in error: it depends on what it should.
TEST(Decoder, EveryPartOfTheModelMatters) {
  const auto tokens = draw_tokens(30, 61);
  const auto base = reference_forward<double>(odd(), DrawnWeights{11}, tokens);
  const std::size_t vocab = 61;
  const auto differs = [&](ModelProfile changed) {
    const auto other = reference_forward<double>(changed, DrawnWeights{11}, tokens);
    return row_error(other.logits.data() + 29 * vocab, base.logits.data() + 29 * vocab, vocab) > 1e-4;
  };
  ModelProfile p = odd();
  p.yarn.factor = 1;
  EXPECT_TRUE(differs(p)) << "YaRN";
  p = odd();
  p.yarn.mscale_all_dim = 0.707;
  EXPECT_TRUE(differs(p)) << "mscale";
  p = odd();
  p.rope_theta = 500;
  EXPECT_TRUE(differs(p)) << "rotary base";
  p = odd();
  p.moe.routed_scale = 1;
  EXPECT_TRUE(differs(p)) << "routed scale";
  p = odd();
  p.moe.kept_groups = 3;
  EXPECT_TRUE(differs(p)) << "groups";
  p = odd();
  p.moe.correction_bias = false;
  EXPECT_TRUE(differs(p)) << "correction bias";
  p = odd();
  p.moe.renormalise = false;
  EXPECT_TRUE(differs(p)) << "renormalisation";
  p = odd();
  p.moe.shared_experts = 0;
  EXPECT_TRUE(differs(p)) << "shared expert";
  EXPECT_NE(reference_forward<double>(odd(), DrawnWeights{12}, tokens).logits, base.logits) << "seed";
}

// Experts are grouped over the batch: who chooses the same experts shares their reading.
TEST(Decoder, ReadsATouchedExpertOnceAStep) {
  const ModelProfile p = tiny();
  for (const WeightType type : {WeightType::fp32, WeightType::bf16, WeightType::int8}) {
    Bench bench(p, 2, 5, kernels::cpu::kernels(), type);
    const auto read_by = [&](int batch, bool same) {
      std::vector<Sequence> sequences;
      for (int i = 0; i < batch; ++i) {
        sequences.push_back(
            {draw_tokens(1, p.vocab, same ? 5U : static_cast<std::uint64_t>(50 + i)), scrambled(i, 1)});
      }
      std::vector<StepItem> items;
      for (const Sequence& s : sequences) items.push_back(s.item(0, 1));
      bench.step(items);
      return bench.decoder.bytes_read();
    };
    const std::int64_t one = read_by(1, true);
    EXPECT_EQ(read_by(16, true), one) << "sixteen that choose alike read what one does";
    const std::int64_t many = read_by(64, false);
    EXPECT_GT(many, one);
    EXPECT_LT(many, bench.decoder.weight_bytes()) << "never more than there is: the embedding is looked up";
    EXPECT_LT(one, many * 2 / 3) << "one token takes 4 of 16 experts";
  }
}

struct ExactCase {
  ModelProfile profile;
  WeightType type;
};

class Exactness : public ::testing::TestWithParam<ExactCase> {};

TEST_P(Exactness, ChunkedPrefillIsWhole) {
  const auto& [p, type] = GetParam();
  const Sequence s{draw_tokens(61, p.vocab), scrambled(0, 13)};
  std::vector<float> whole;
  for (const int threads : {1, 3}) {
    for (const std::int32_t chunk : {61, 1, 2, 7, 8, 9, 16, 33}) {
      Bench bench(p, threads, 5, kernels::cpu::kernels(), type);
      std::vector<float> last;
      for (std::int32_t at = 0; at < 61; at += chunk)
        last = bench.step({s.item(at, std::min(chunk, 61 - at))});
      ASSERT_EQ(last.size(), static_cast<std::size_t>(p.vocab));
      for (const float l : last) ASSERT_TRUE(std::isfinite(l));
      if (whole.empty()) whole = last;
      EXPECT_TRUE(same_bits(last, whole)) << "chunks of " << chunk << ", " << threads << " threads";
    }
  }
}

TEST_P(Exactness, BatchedIsOneByOne) {
  const auto& [p, type] = GetParam();
  constexpr int kSequences = 11;
  std::vector<Sequence> sequences;
  std::vector<std::vector<float>> alone;
  for (int i = 0; i < kSequences; ++i) {
    sequences.push_back(
        {draw_tokens(static_cast<std::size_t>(20 + 3 * i), p.vocab, static_cast<std::uint64_t>(100 + i)),
         scrambled(11 * i, 11)});
    Bench bench(p, 1, 5, kernels::cpu::kernels(), type);
    alone.push_back(bench.one_by_one(sequences.back()));
  }
  // All of them together: each step carries some decodes and some chunks of prefill, in turns.
  Bench bench(p, 2, 5, kernels::cpu::kernels(), type);
  std::vector<std::int32_t> done(kSequences, 0);
  const auto vocab = static_cast<std::size_t>(p.vocab);
  for (int step = 0;; ++step) {
    std::vector<StepItem> items;
    std::vector<std::size_t> who;
    for (std::size_t i = 0; i < kSequences; ++i) {
      const std::int32_t left = static_cast<std::int32_t>(sequences[i].tokens.size()) - done[i];
      if (left == 0 || (static_cast<std::size_t>(step) + i) % 4 == 0) continue;
      const std::int32_t count = std::min(left, done[i] < 12 ? static_cast<std::int32_t>(1 + i) : 1);
      items.push_back(sequences[i].item(done[i], count));
      items.back().sample = (static_cast<std::size_t>(step) + i) % 3 != 0;
      who.push_back(i);
      done[i] += count;
    }
    const std::vector<float> logits = bench.step(items);
    std::size_t row = 0;
    for (std::size_t j = 0; j < items.size(); ++j) {
      if (!items[j].sample) continue;
      const auto at = static_cast<std::size_t>(done[who[j]] - 1);
      ASSERT_TRUE(same_bits(std::span(logits).subspan(row++ * vocab, vocab),
                            std::span(alone[who[j]]).subspan(at * vocab, vocab)))
          << "step " << step << " sequence " << who[j];
    }
    ASSERT_EQ(logits.size(), row * vocab);
    bool all = true;
    for (std::size_t i = 0; i < kSequences; ++i)
      all = all && done[i] == static_cast<std::int32_t>(sequences[i].tokens.size());
    if (all) break;
  }
}

TEST_P(Exactness, BlocksDoNotMatter) {
  const auto& [p, type] = GetParam();
  const std::vector<TokenId> tokens = draw_tokens(47, p.vocab);
  std::vector<float> first;
  for (const std::int32_t block_size : {1, 5, 16, 47}) {
    Bench bench(p, 1, block_size, kernels::cpu::kernels(), type);
    const Sequence s{tokens, scrambled(3, 47 / block_size + 1)};
    bench.step({s.item(0, 46)});
    const std::vector<float> logits = bench.step({s.item(46, 1)});
    if (first.empty()) first = logits;
    EXPECT_TRUE(same_bits(first, logits)) << "blocks of " << block_size;
  }
}

std::vector<ExactCase> exact_cases() {
  std::vector<ExactCase> cases;
  for (const WeightType type : {WeightType::fp32, WeightType::bf16, WeightType::int8}) {
    for (const ModelProfile& p : {odd(), odd_v2(), sparse()}) cases.push_back({p, type});
  }
  cases.push_back({tiny(), WeightType::fp32});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Shapes, Exactness, ::testing::ValuesIn(exact_cases()), [](const auto& shape) {
  std::string name = shape.param.profile.name;
  std::erase(name, '-');
  return fmt::format("{}_{}", name, name_of(shape.param.type));
});

TEST(Decoder, FusedInstructionSetsAgreeBitForBit) {
  const ModelProfile p = odd();
  const Sequence s{draw_tokens(150, p.vocab), scrambled(0, 30)};
  for (const WeightType type : {WeightType::fp32, WeightType::bf16, WeightType::int8}) {
    std::vector<std::pair<std::string, std::vector<float>>> results;
    for (const auto* table = kernels::cpu::all_kernels(); *table != nullptr; ++table) {
      if (std::string_view((*table)->name) == "baseline") continue;
      Bench bench(p, 1, 5, **table, type);
      results.emplace_back((*table)->name, bench.one_by_one(s));
    }
    if (results.size() < 2) GTEST_SKIP() << "this processor runs fewer than two fused tables";
    for (std::size_t i = 1; i < results.size(); ++i) {
      EXPECT_TRUE(same_bits(results[0].second, results[i].second))
          << results[0].first << " and " << results[i].first << " in " << name_of(type);
    }
  }
}

TEST(Decoder, ComputesNoLogitsThatNobodyAskedFor) {
  const ModelProfile p = odd();
  Bench bench(p, 1);
  Sequence s{draw_tokens(20, p.vocab), scrambled(0, 4)};
  StepItem quiet = s.item(0, 19);
  quiet.sample = false;
  EXPECT_TRUE(bench.step({quiet}).empty());
  EXPECT_EQ(bench.step({s.item(19, 1)}).size(), static_cast<std::size_t>(p.vocab));
}

// ---- sampling
// -------------------------------------------------------------------------------------------------------

TEST(Sampling, GreedyTakesTheFirstOfTheLargest) {
  const std::vector<float> logits{1, 3, 2, 3};
  EXPECT_EQ(sample_token(logits, 0, 1, 0), 1);
  EXPECT_EQ(sample_token(logits, 1e-4F, 1, 0), sample_token(logits, 1e-4F, 1, 0));
}

TEST(Sampling, FollowsTheSoftmaxAndDependsOnSeedAndPosition) {
  const std::vector<float> logits{std::log(.1F), std::log(.2F), std::log(.3F), std::log(.4F)};
  std::vector<int> counts(4);
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(sample_token(logits, 1, 5, i))];
  for (std::size_t i = 0; i < 4; ++i) {
    const double expected = 0.1 * static_cast<double>(i + 1);
    // Five standard deviations of a binomial; the draws are fixed by the seed.
    EXPECT_NEAR(counts[i] / double{kDraws}, expected, 5 * std::sqrt(expected * (1 - expected) / kDraws));
  }
  std::set<std::vector<TokenId>> streams;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    std::vector<TokenId> stream;
    for (int i = 0; i < 40; ++i) stream.push_back(sample_token(logits, 1, seed, i));
    streams.insert(stream);
  }
  EXPECT_EQ(streams.size(), 5U);
}

}  // namespace
}  // namespace dsbench::engine
