#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "loadgen/workload.h"
#include "tests/fakes/small_workload.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using Role = PromptPart::Role;

// Ranks' correlation of two samples without ties to speak of.
double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  const auto ranks = [](const std::vector<double>& x) {
    std::vector<std::size_t> order(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](auto l, auto r) { return x[l] < x[r]; });
    std::vector<double> rank(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) rank[order[i]] = static_cast<double>(i);
    return rank;
  };
  const auto ra = ranks(a), rb = ranks(b);
  const double mean = (static_cast<double>(a.size()) - 1) / 2;
  double ab = 0, aa = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (ra[i] - mean) * (rb[i] - mean);
    aa += (ra[i] - mean) * (ra[i] - mean);
  }
  return ab / aa;
}

TEST(Workload, CopulaHasTheRankCorrelationThatWasAsked) {
  for (const double rho : {-0.6, 0.3, 0.9}) {
    const SharedSource source = make_source(
        workload_of(R"("prompt_tokens":{"law":"lognormal","median":10000,"sigma":1,"min":1,"max":10000000},
                       "output_tokens":{"law":"gamma","mean":100000,"cv":1,"min":1,"max":10000000},
                       "rank_correlation":)" +
                    std::to_string(rho)),
        5);
    std::vector<double> prompts, outputs;
    for (std::uint64_t i = 0; i < 20'000; ++i) {
      prompts.push_back(source(i).prompt_tokens);
      outputs.push_back(source(i).output_tokens);
    }
    EXPECT_NEAR(spearman(prompts, outputs), rho, 0.02);
  }
}

TEST(Workload, JointBinsKeepEachOutputWithItsPrompt) {
  const SharedSource source = make_source(
      workload_of(
          R"("lengths":{"bins":[{"prompt_from":1,"prompt_to":10,"output_quantiles":[100,200],"weight":3},
                                        {"prompt_from":1000,"prompt_to":1000,"output_quantiles":[5,5]}]})"),
      2);
  int large = 0, sum = 0;
  for (std::uint64_t i = 0; i < 8'000; ++i) {
    const Attempt a = source(i);
    if (a.prompt_tokens == 1000) {
      ++large;
      EXPECT_EQ(a.output_tokens, 5);
    } else {
      ASSERT_LE(a.prompt_tokens, 10);
      sum += a.prompt_tokens;
      EXPECT_GE(a.output_tokens, 100);
      EXPECT_LE(a.output_tokens, 200);
    }
  }
  EXPECT_NEAR(large, 2'000, 150);
  EXPECT_NEAR(static_cast<double>(sum) / (8'000 - large), 5.5, 0.15);
}

TEST(Workload, ImagesComeFromAPool) {
  const SharedSource source = make_source(
      workload_of(R"("prompt_tokens":10,"output_tokens":4,"images":{"count":{"law":"uniform","min":0,"max":2},
        "bytes":{"law":"uniform","min":1000,"max":2000},"pool":3,"tokens":85,"detail":"high"})"),
      4);
  std::map<std::uint64_t, std::int32_t> pictures;
  int images = 0;
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    const Attempt a = source(i);
    std::int64_t bytes = 0;
    int here = 0;
    for (const PromptPart& part : *a.parts) {
      if (part.image_bytes == 0) continue;
      EXPECT_EQ(part.tokens, 85);
      EXPECT_EQ(part.detail, ImageDetail::high);
      const auto [it, is_new] = pictures.emplace(part.seed, part.image_bytes);
      EXPECT_EQ(it->second, part.image_bytes) << "the same picture is the same bytes";
      bytes += part.image_bytes;
      ++here;
    }
    EXPECT_EQ(a.images, here);
    EXPECT_EQ(a.image_bytes, bytes);
    EXPECT_EQ(a.prompt_tokens, 10 + 85 * here);
    EXPECT_EQ(a.parts->back().image_bytes, 0) << "words come last";
    images += here;
  }
  EXPECT_EQ(pictures.size(), 3u);
  EXPECT_NEAR(images, 3'000, 150);
}

TEST(Workload, ASessionSendsItsImagesAgain) {
  const SharedSource source =
      make_source(workload_of(R"("prompt_tokens":10,"output_tokens":4,"images":{"count":1,"bytes":500},
        "session":{"turns":3,"think_time":"1s","user_tokens":5})"),
                  4);
  const Attempt first = source(0);
  EXPECT_EQ(first.images, 1);
  const auto next = next_of(source, first);
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].attempt.images, 2);
  EXPECT_EQ(next[0].attempt.image_bytes, 1'000);
}

TEST(Workload, PrefixesAreShared) {
  const SharedSource source =
      make_source(workload_of(R"("prompt_tokens":10,"output_tokens":4,"system_prompt_tokens":30,
        "prefix_pools":[{"count":50,"tokens":{"law":"uniform","min":100,"max":200},"zipf":1,"share":0.5}])"),
                  9);
  std::map<std::uint64_t, int> chosen;
  std::map<std::uint64_t, std::int32_t> length;
  std::set<std::uint64_t> own;
  int with = 0;
  for (std::uint64_t i = 0; i < 4'000; ++i) {
    const Attempt a = source(i);
    ASSERT_TRUE(a.parts);
    const PromptParts& parts = *a.parts;
    EXPECT_EQ(parts.front(), source(0).parts->front()) << "the system prompt is one text";
    EXPECT_EQ(parts.front().role, Role::system);
    std::int32_t sum = 0;
    for (const auto& p : parts) sum += p.tokens;
    EXPECT_EQ(sum, a.prompt_tokens);
    EXPECT_TRUE(own.insert(parts.back().seed).second) << "the user's words are nobody else's";
    if (parts.size() == 2) continue;
    ++with;
    const PromptPart& prefix = parts[1];
    ++chosen[prefix.seed];
    const auto [it, fresh] = length.emplace(prefix.seed, prefix.tokens);
    EXPECT_EQ(it->second, prefix.tokens) << "a prefix is as long whenever it comes";
  }
  EXPECT_NEAR(with, 2'000, 130);
  EXPECT_LE(chosen.size(), 50u);
  int most = 0;
  for (const auto& [seed, n] : chosen) most = std::max(most, n);
  EXPECT_NEAR(most, with / 4.499, 60) << "Zipf: the first of 50 has 1 in H(50)";
}

TEST(Workload, AMillionTokensOfContextAreOnePart) {
  const SharedSource source = make_source(
      workload_of(R"("prompt_tokens":20,"output_tokens":4,"prefix_pools":[{"count":3,"tokens":1000000}])"),
      1);
  const Attempt a = source(0);
  EXPECT_EQ(a.prompt_tokens, 1'000'020);
  EXPECT_EQ(a.parts->size(), 2u);
}

TEST(Workload, ClassesComeByWeightAndByMix) {
  const auto workload = workload_of(R"("classes":[{"name":"a","weight":3,"prompt_tokens":1,"output_tokens":1},
      {"name":"b","weight":1,"prompt_tokens":2,"output_tokens":2,"slo":{"ttft":"1s"},"client":{"total_timeout":"9s"}},
      {"name":"c","weight":0,"prompt_tokens":3,"output_tokens":3}])");
  const auto mix = mix_of(workload, {{"c", 1.0}});
  ASSERT_TRUE(mix);
  const SharedSource source = make_source(workload, 3, {*mix});
  int counts[3] = {};
  for (std::uint64_t i = 0; i < 8'000; ++i) {
    const Attempt a = source(i);
    ++counts[a.tenant];
    EXPECT_EQ(a.prompt_tokens, a.tenant + 1);
    EXPECT_EQ(source.first_of_mix(i, 1).tenant, 2);
  }
  EXPECT_NEAR(counts[0], 6'000, 150);
  EXPECT_EQ(counts[2], 0);
  EXPECT_EQ(mix_of(workload, {{"d", 1.0}}).error().message,
            "the mix names the class 'd'; workload 'w.json' has: a, b, c");
  EXPECT_EQ(mix_of(workload, {{"a", 0.0}}).error().message,
            "the mix has no weight above nought; accepted: at least one class");

  ClientPolicy of_run;
  of_run.total_timeout = 4s;
  results::Slo slo_of_run;
  slo_of_run.e2e = 8s;
  const ClientPolicies policies = policies_of(workload, of_run);
  EXPECT_EQ(policies.of(0).total_timeout, Nanos{4s});
  EXPECT_EQ(policies.of(1).total_timeout, Nanos{9s});
  const auto tenants = tenants_of(workload, slo_of_run);
  EXPECT_EQ(tenants[0].slo.e2e, Nanos{8s});
  EXPECT_EQ(tenants[1].slo.ttft, Nanos{1s});
  EXPECT_FALSE(tenants[1].slo.e2e) << "bounds of its own, not added to the run's";
}

}  // namespace
}  // namespace dsbench::loadgen
