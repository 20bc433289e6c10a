// gate.json read back, and the page that is made of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "results/gate/outcome_file.h"
#include "results/gate/outcome_page.h"
#include "results/gate/outputs.h"
#include "tests/fakes/xml_check.h"

namespace dsbench::results::gate {
namespace {

using testing::HasSubstr;
using testing::Not;

Outcome sample() {
  const double inf = std::numeric_limits<double>::infinity();
  Outcome o;
  o.kind = "load";
  o.baseline = {"g/base-001", "g/base-002", "g/base-003", "g/base-004"};
  o.candidate = {"g/cand-001", "g/cand-002", "g/cand-003", "g/cand-004"};
  o.looks = {{4, 0.02}, {8, 0.05}};
  o.judgement.metrics.push_back(
      judge_values({"p50 ttft"}, {0.1, 0.101, 0.102, 0.103}, {0.12, 0.121, 0.122, 0.123}, 0.05, 0.05));
  o.judgement.metrics.push_back(
      judge_values({"good_rate", Better::higher, Unit::per_second}, {4, 4, 4, 4}, {4, 4, 4, 4}, 0.05, 0.05));
  o.judgement.metrics.push_back(judge_values({"p99 ttft"}, {1, 2, 3, 4}, {inf, inf, inf, inf}, 0.05, 0.05));
  o.judgement.metrics.push_back(
      judge_values({"<b>&\"x\"'", Better::lower, Unit::plain}, {1, 2, 3, 4}, {2, 3, 4, 5}, 0.05, 0.05));
  o.judgement.metrics.back().clock_ratio = 0.98;
  o.requirements = {{"p99 ttft < 2s", "met in 4 of 4 runs", StepVerdict::good},
                    {"<i>", "\"no\"", StepVerdict::bad}};
  o.mismatches = {{"model", {"a"}, {"b"}, true}};
  o.notes = {"a <note>"};
  o.dsbench_version = "1.2";
  conclude(o);
  return o;
}

SideView side(std::string name) {
  return {.name = std::move(name),
          .spectrum = {{1, 0.1}, {10, 0.2}, {100, 0.4}},
          .over_time = {{0, 0.1}, {5, 0.12}},
          .typical = {}};
}

TEST(GateFile, WhatIsWrittenIsReadBack) {
  const std::string text = render_json(sample());
  const auto again = parse_outcome(text, "gate.json");
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(render_json(*again), text);
  EXPECT_EQ(render_text(*again, false), render_text(sample(), false));
  EXPECT_EQ(render_junit(*again), render_junit(sample()));
}

TEST(GateFile, WhatIsSomethingElseIsRefused) {
  const auto refused = [](const std::string& text) {
    const auto o = parse_outcome(text, "x.json");
    return o ? std::string{} : o.error().message;
  };
  EXPECT_THAT(refused("hello"), HasSubstr("x.json: no outcome of dsbench gate"));
  EXPECT_THAT(refused("{}"), HasSubstr("accepted: gate.json of `dsbench gate run`"));
  EXPECT_THAT(refused(R"({"schema": "dsbench.gate/2"})"),
              HasSubstr("schema \"dsbench.gate/2\"; accepted: dsbench.gate/1"));
  auto json = nlohmann::json::parse(render_json(sample()));
  json["metrics"][0]["verdict"] = "FINE";
  EXPECT_THAT(refused(json.dump()), HasSubstr("unknown verdict 'FINE'"));
  json = nlohmann::json::parse(render_json(sample()));
  json["metrics"][0].erase("p_holm");
  EXPECT_THAT(refused(json.dump()), HasSubstr("p_holm"));
}

TEST(GatePage, IsWellFormedOfflineAndSaysWhatTheTableSays) {
  const std::string page = render_page(sample(), side("baseline"), side("candidate"));
  EXPECT_EQ(tests::xml_complaint(page), "");
  EXPECT_THAT(page, HasSubstr("<h1>REGRESSED</h1>"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
  EXPECT_THAT(page, Not(HasSubstr("<i>&quot;no")));
  EXPECT_THAT(page, Not(HasSubstr("<script>")));
  for (const char* said :
       {"+19.7 %", "p50 ttft, run by run", "Both sides over each other", "allowed to differ: model",
        "a &lt;note&gt;", "Percentile spectrum of TTFT, baseline and candidate",
        "dsbench gate check --baseline g/base-001"})
    EXPECT_THAT(page, HasSubstr(said));
  EXPECT_EQ(page, render_page(sample(), side("baseline"), side("candidate"))) << "the same bytes each time";
}

TEST(GatePage, NeedsNoRuns) {
  Outcome o = sample();
  const SideView a = view_side(o, false, "/nowhere"), b = view_side(o, true, "/nowhere");
  EXPECT_TRUE(a.spectrum.empty());
  EXPECT_EQ(a.typical, nullptr);
  const std::string page = render_page(o, a, b);
  EXPECT_EQ(tests::xml_complaint(page), "");
  EXPECT_THAT(page, Not(HasSubstr("Both sides over each other")));
  o.judgement.metrics.clear();
  o.invalid = {"base-001: the generator lagged"};
  conclude(o);
  const std::string invalid = render_page(o, a, b);
  EXPECT_EQ(tests::xml_complaint(invalid), "");
  EXPECT_THAT(invalid, HasSubstr("Runs that are no evidence"));
}

TEST(GatePage, StaysSmallWithThousandsOfKernels) {
  Outcome o = sample();
  o.kind = "kernels";
  for (int i = 0; i < 1500; ++i) {
    MetricJudgement m = o.judgement.metrics[1];
    m.metric.name = "BM_kernel/shape:" + std::to_string(i);
    o.judgement.metrics.push_back(m);
  }
  EXPECT_LE(render_page(o, {}, {}).size(), 700'000U);
  o.judgement.metrics.resize(600);
  EXPECT_LE(render_page(o, {}, {}).size(), 500'000U);
}

}  // namespace
}  // namespace dsbench::results::gate
