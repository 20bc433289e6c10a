#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "profiles/catalog.h"
#include "profiles/workload_profile.h"

namespace dsbench::profiles {
namespace {

using Kind = LengthLaw::Kind;

Result<WorkloadProfile> read(const std::string& inside) {
  return parse_workload(R"({"schema": "dsbench.workload/1", )" + inside + "}", "w.json");
}
LengthLaw law_of(const std::string& json) {
  const auto profile = read(R"("prompt_tokens": )" + json + R"(, "output_tokens": 1)");
  EXPECT_TRUE(profile) << (profile ? "" : profile.error().message);
  return profile ? profile->prompt_tokens : LengthLaw{};
}
std::string complaint_of(const std::string& json) {
  const auto profile = read(R"("prompt_tokens": )" + json + R"(, "output_tokens": 1)");
  return profile ? "accepted" : profile.error().message;
}

// The share of evenly spread u whose length is at most n: the law's CDF, by its inverse.
double cdf(const LengthLaw& law, double n, int points = 20'000) {
  int below = 0;
  for (int i = 0; i < points; ++i) below += length_at(law, (i + 0.5) / points) <= n ? 1 : 0;
  return static_cast<double>(below) / points;
}

TEST(WorkloadProfile, ReadsAndWritesImages) {
  const auto profile = parse_workload(
      R"({"schema":"dsbench.workload/1","prompt_tokens":5,"output_tokens":5,
          "images":{"count":2,"bytes":{"law":"uniform","min":128,"max":4096},"pool":9,"tokens":85,"detail":"low"}})",
      "test");
  ASSERT_TRUE(profile) << profile.error().message;
  ASSERT_TRUE(profile->images);
  EXPECT_EQ(profile->images->count.max, 2);
  EXPECT_EQ(profile->images->bytes.max, 4'096);
  EXPECT_EQ(profile->images->pool, 9);
  EXPECT_EQ(profile->images->tokens, 85);
  EXPECT_EQ(profile->images->detail, ImageShape::Detail::low);
  const auto again = parse_workload(to_json(*profile), "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->images, profile->images);
  const auto wrong = parse_workload(
      R"({"schema":"dsbench.workload/1","prompt_tokens":5,"output_tokens":5,
          "images":{"count":2,"bytes":100,"detail":"sharp"}})",
      "test");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("128"), std::string::npos) << wrong.error().message;
  EXPECT_NE(wrong.error().message.find("low"), std::string::npos) << wrong.error().message;
}

TEST(LengthLaw, EachHasTheDistributionItNames) {
  const LengthLaw normal = law_of(R"({"law":"normal","mean":100,"deviation":20,"min":1,"max":1000})");
  EXPECT_NEAR(mean_of(normal), 100, 0.1);
  EXPECT_NEAR(cdf(normal, 120), 0.8470, 0.001);  // Φ(1.025): rounding takes what is below 120.5
  const LengthLaw gamma = law_of(R"({"law":"gamma","mean":200,"cv":1,"min":1,"max":100000})");
  EXPECT_NEAR(cdf(gamma, 200), 1 - std::exp(-1.0025), 0.001);  // cv 1 is exponential
  EXPECT_NEAR(mean_of(gamma), 200, 1);
  const LengthLaw empirical = law_of(R"({"law":"empirical","values":[10,20,40],"weights":[1,2,1]})");
  EXPECT_EQ(length_at(empirical, 0.2), 10);
  EXPECT_EQ(length_at(empirical, 0.3), 20);
  EXPECT_EQ(length_at(empirical, 0.74), 20);
  EXPECT_EQ(length_at(empirical, 0.76), 40);
  const LengthLaw quantiles = law_of(R"({"law":"quantiles","quantiles":[10,20,100]})");
  EXPECT_EQ(length_at(quantiles, 0.25), 15);
  EXPECT_EQ(length_at(quantiles, 0.75), 60);
  EXPECT_EQ(law_of("77"), (law_of(R"({"law":"constant","value":77})")));
}

TEST(LengthLaw, TruncationOfTheNormalKeepsItsShape) {
  // Cut at both sides of the mean alike: no heap of samples at the ends, and still symmetric.
  const LengthLaw law = law_of(R"({"law":"normal","mean":50,"deviation":40,"min":1,"max":99})");
  EXPECT_LT(cdf(law, 1), 0.01);
  EXPECT_NEAR(mean_of(law), 50, 0.1);
}

TEST(LengthLaw, ZipfIsExact) {
  for (const double s : {0.0, 0.5, 1.0, 1.2, 3.0}) {
    for (const std::int64_t count : {1, 5, 32, 33, 1'000, 20'000}) {
      std::vector<double> reached;
      double sum = 0;
      for (std::int64_t k = 1; k <= count; ++k) reached.push_back(sum += std::pow(k, -s));
      for (const double u : {1e-9, 0.1, 0.37, 0.5, 0.731, 0.9, 0.999, 1 - 1e-9}) {
        const std::int64_t k = zipf_at(count, s, u);
        ASSERT_GE(k, 1);
        ASSERT_LE(k, count);
        // u lies between the CDF below k and at k, to a hair.
        EXPECT_GE(reached[static_cast<std::size_t>(k - 1)] / sum, u - 1e-6) << s << " " << count << " " << u;
        if (k > 1) {
          EXPECT_LE(reached[static_cast<std::size_t>(k - 2)] / sum, u + 1e-6) << s << " " << count;
        }
      }
    }
  }
  EXPECT_EQ(length_at(law_of(R"({"law":"zipf","exponent":1,"min":3,"max":4})"), 0.58),
            4);  // 1/3 ÷ 7/12 = 4/7
  EXPECT_EQ(length_at(law_of(R"({"law":"zipf","exponent":1,"min":3,"max":4})"), 0.57), 3);
}

TEST(LengthLaw, SaysWhatIsWrong) {
  EXPECT_EQ(complaint_of(R"({"law":"normal","mean":5,"deviation":-1,"min":10,"max":20})"),
            "w.json: prompt_tokens.mean: found 5; accepted: from min 10 to max 20\n"
            "w.json: prompt_tokens.deviation: found -1; accepted: nought or more");
  EXPECT_EQ(complaint_of(R"({"law":"gamma","mean":15,"cv":0,"min":10,"max":20})"),
            "w.json: prompt_tokens.cv: found 0; accepted: 0.01 to 100 (the standard deviation divided by the "
            "mean)");
  EXPECT_EQ(complaint_of(R"({"law":"empirical","values":[3,2]})"),
            "w.json: prompt_tokens.values: found 2 after 3; accepted: ascending figures");
  EXPECT_EQ(
      complaint_of(R"({"law":"empirical","values":[2,3],"weights":[1]})"),
      "w.json: prompt_tokens.weights: found 1 weights; accepted: one above nought for each of the 2 values");
  EXPECT_EQ(complaint_of(R"({"law":"quantiles","quantiles":[2]})"),
            "w.json: prompt_tokens.quantiles: found 1 figures; accepted: 2 or more");
  EXPECT_EQ(complaint_of("1.5"),
            "w.json: prompt_tokens: found 1.5; accepted: 1 to 16777216 (a whole number)");
  EXPECT_EQ(complaint_of(R"({"law":"pareto","value":3})"),
            "w.json: prompt_tokens.law: found the string \"pareto\"; accepted: constant, uniform, lognormal, "
            "normal, "
            "gamma, zipf, empirical, quantiles");
}

TEST(Workload, RefusesWhatContradictsItself) {
  const auto both = read(R"("prompt_tokens":1,"output_tokens":1,
      "lengths":{"bins":[{"prompt_from":1,"prompt_to":9,"output_quantiles":[1,2]},
                         {"prompt_from":5,"prompt_to":20,"output_quantiles":[3,2]}]})");
  ASSERT_FALSE(both);
  EXPECT_NE(both.error().message.find("prompt_tokens: is given beside lengths"), std::string::npos);
  EXPECT_NE(both.error().message.find(
                "lengths.bins[1].prompt_from: found 5, inside the bin before, which goes to 9"),
            std::string::npos);
  EXPECT_NE(both.error().message.find("lengths.bins[1].output_quantiles: accepted: two or more ascending"),
            std::string::npos);
  const auto agent = read(R"("prompt_tokens":1,"output_tokens":1,
      "agent":{"period":"1s","steps":3,"tool_pause":"1s","tool_tokens":5})");
  ASSERT_FALSE(agent);
  EXPECT_NE(agent.error().message.find("agent.max_context_tokens: required of an endless agent"),
            std::string::npos);
  const auto classes =
      read(R"("classes":[{"name":"a","weight":0,"prompt_tokens":1,"output_tokens":1,"slo":"nonesuch"},
                                          {"name":"a","weight":0,"prompt_tokens":1,"output_tokens":1}])");
  ASSERT_FALSE(classes);
  EXPECT_NE(classes.error().message.find("classes[1].name: 'a' is given twice"), std::string::npos);
  EXPECT_NE(classes.error().message.find("all weights are nought"), std::string::npos);
  EXPECT_NE(classes.error().message.find("classes[0].slo: no slo profile 'nonesuch'"), std::string::npos);
}

TEST(Workload, SaysWhatIsWrongWithASession) {
  const auto session = [](const std::string& more) {
    return read(R"("prompt_tokens":7,"output_tokens":8,"session":{"turns":2,"user_tokens":4,)" + more + "}");
  };
  EXPECT_TRUE(session(R"("turn_gap":"3s")"));
  EXPECT_NE(session(R"("turn_gap":"3s","think_time":"1s")")
                .error()
                .message.find("session.turn_gap: is given beside think_time; accepted: one of the two"),
            std::string::npos);
  EXPECT_NE(
      session(R"("turn_gap":"3s","forks":{"share":0.5,"turns":2})")
          .error()
          .message.find(
              "session.forks.share: found 0.5, with forks of 2 turns; accepted: from 0, and share times the "
              "mean of turns below 1, or forks of forks would never end"),
      std::string::npos);
}

TEST(Workload, WhatIsWrittenReadsBackTheSame) {
  const std::string everything = R"("classes":[
    {"name":"people","weight":3,"prompt_tokens":{"law":"gamma","mean":300,"cv":1.5,"min":1,"max":4000},
     "output_tokens":{"law":"zipf","exponent":1.1,"min":1,"max":500},"rank_correlation":0.25,"system_prompt_tokens":40,
     "session":{"turns":{"law":"empirical","values":[1,4],"weights":[3,1]},
                "think_time":{"law":"lognormal","median":"20s","sigma":1,"min":"500ms","max":"10m"},
                "user_tokens":{"law":"normal","mean":30,"deviation":9,"min":1,"max":90},"on_failure":"retry_turn",
                "max_context_tokens":8000},
     "slo":{"ttft":"2s"},"client":"openai-sdk"},
    {"name":"agents","prompt_tokens":{"law":"quantiles","quantiles":[5,7.5,9]},"output_tokens":8,"reasoning_share":0.7,
     "prefix_pools":[{"count":9,"tokens":{"law":"uniform","min":3,"max":5},"zipf":0.8,"share":0.5}],
     "agent":{"period":{"law":"quantiles","quantiles":[1,2.5,60]},"steps":2,"tool_pause":{"law":"empirical","values":[0.3,1.1]},"tool_tokens":11,
              "fan_out":{"law":"uniform","min":0,"max":3},"branch_tokens":6,"cancel_share":0.1,"max_context_tokens":900}},
    {"name":"replayed","prompt_tokens":7,"output_tokens":8,
     "session":{"turns":{"law":"uniform","min":1,"max":3},"turn_gap":{"law":"quantiles","quantiles":[1,2.5,60]},
                "user_tokens":4,"output_tokens":{"law":"quantiles","quantiles":[5,9]},"keeps_answers":false,
                "forks":{"share":0.2,"turns":{"law":"uniform","min":1,"max":2}}}},
    {"name":"batch","lengths":{"bins":[{"prompt_from":1,"prompt_to":9,"output_quantiles":[1,2,7]},
                                       {"prompt_from":10,"prompt_to":20,"output_quantiles":[3,4],"weight":2}]}}])";
  const auto profile = read(everything);
  ASSERT_TRUE(profile) << profile.error().message;
  const auto again = parse_workload(to_json(*profile), "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(to_json(*again), to_json(*profile));
  ASSERT_EQ(again->classes.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(static_cast<const RequestShape&>(again->classes[i]), profile->classes[i]) << i;
    EXPECT_EQ(again->classes[i].weight, profile->classes[i].weight);
  }
  EXPECT_EQ(again->classes[0].slo->ttft, Nanos{2'000'000'000});
  EXPECT_EQ(again->classes[0].client->max_retries, 2);
  EXPECT_EQ(time_at(again->classes[1].agent->period, 0.25), Nanos{1'750'000'000});
}

TEST(Workload, EveryShippedOneIsReadAndSaysWhereItsFiguresCameFrom) {
  for (const std::string_view name : shipped_names("workload")) {
    const auto profile = load_workload(name);
    ASSERT_TRUE(profile) << profile.error().message;
    EXPECT_GT(profile->description.size(), 60u) << name;
    const auto again = parse_workload(to_json(*profile), "again");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(to_json(*again), to_json(*profile)) << name;
  }
}

}  // namespace
}  // namespace dsbench::profiles
