#include "results/gate/outputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "tests/fakes/xml_check.h"

namespace dsbench::results::gate {
namespace {

using testing::HasSubstr;
using testing::Not;

// The checker knows elements; a declaration is ours to check.
std::string problem(const std::string& xml) {
  const std::string declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  return xml.starts_with(declaration) ? tests::xml_complaint(xml.substr(declaration.size()))
                                      : "no declaration";
}

const std::string nasty = "p50 <b>&\"x\"|::50%\n,'y'";

Outcome sample() {
  Outcome o;
  o.kind = "load";
  o.baseline = {"a1", "a2", "a3", "a4"};
  o.candidate = {"b1", "b2", "b3", "b4"};
  o.looks = {{4, 0.05}};
  o.judgement.metrics.push_back(
      judge_values({"p50 ttft"}, {0.1, 0.101, 0.102, 0.103}, {0.12, 0.121, 0.122, 0.123}, 0.05, 0.05));
  o.judgement.metrics.push_back(
      judge_values({"good_rate", Better::higher, Unit::per_second}, {4, 4, 4, 4}, {4, 4, 4, 4}, 0.05, 0.05));
  o.judgement.metrics.push_back(judge_values({nasty}, {1, 2, 3, 4}, {2, 3, 4, 5}, 0.05, 0.05));
  o.requirements = {{"p99 ttft < 2s", "met in 4 of 4 runs", StepVerdict::good},
                    {"<&>", "\"no\"", StepVerdict::bad}};
  conclude(o);
  return o;
}

TEST(GateOutputs, junit_is_xml_with_a_case_for_each_metric_and_bound) {
  Outcome o = sample();
  o.inconclusive_fails = false;
  const std::string xml = render_junit(o);
  EXPECT_EQ(problem(xml), "") << xml;
  EXPECT_THAT(xml, HasSubstr("tests=\"5\" failures=\"2\" errors=\"0\" skipped=\"1\""));
  EXPECT_THAT(xml, HasSubstr("<failure type=\"REGRESSED\""));
  EXPECT_THAT(xml, HasSubstr("<skipped message="));
  EXPECT_THAT(xml, HasSubstr("<property name=\"change\" value=\"+19.7 %\"/>"));
  EXPECT_THAT(xml, Not(HasSubstr("<b>")));
  o.inconclusive_fails = true;
  EXPECT_THAT(render_junit(o), HasSubstr("failures=\"3\" errors=\"0\" skipped=\"0\""));
  o.invalid = {"run <1>: lag"};
  conclude(o);
  const std::string broken = render_junit(o);
  EXPECT_EQ(problem(broken), "") << broken;
  EXPECT_THAT(broken, HasSubstr("<error type=\"INVALID\""));
}

TEST(GateOutputs, markdown_is_escaped_worst_first_and_cut_to_size) {
  Outcome o = sample();
  const std::string text = render_markdown(o);
  EXPECT_THAT(text, HasSubstr("### dsbench gate: REGRESSED"));
  EXPECT_THAT(text, Not(HasSubstr("<b>")));
  EXPECT_LT(text.find("| p50 ttft |"), text.find("good\\_rate")) << text;
  for (int i = 0; i < 3000; ++i) {
    MetricJudgement m = o.judgement.metrics[1];
    m.metric.name = "metric " + std::to_string(i);
    o.judgement.metrics.push_back(m);
    o.notes.push_back("a note about metric " + std::to_string(i));
  }
  for (const std::size_t limit : {std::size_t{4'000}, std::size_t{60'000}}) {
    const std::string cut = render_markdown(o, limit);
    EXPECT_LE(cut.size(), limit);
    EXPECT_THAT(cut, HasSubstr("| p50 ttft |")) << "the worst stays";
    EXPECT_THAT(cut, testing::ContainsRegex("… and [0-9]+ metrics more"));
  }
}

TEST(GateOutputs, annotations_are_escaped_and_at_most_ten) {
  Outcome o = sample();
  EXPECT_EQ(annotation_escape("50%\r\n"), "50%25%0D%0A");
  EXPECT_EQ(annotation_property_escape("a:b,c"), "a%3Ab%2Cc");
  const std::string few = render_annotations(o);
  EXPECT_TRUE(few.starts_with("::error title=gate%3A REGRESSED p50 ttft::p50 ttft REGRESSED: 100 ms") ||
              few.starts_with("::error title=gate%3A REGRESSED p50 ttft::"))
      << few;
  EXPECT_EQ(std::count(few.begin(), few.end(), '\n'), 3) << few;
  for (int i = 0; i < 30; ++i) {
    MetricJudgement m = o.judgement.metrics[0];
    m.metric.name = "m" + std::to_string(i);
    o.judgement.metrics.push_back(m);
  }
  const std::string many = render_annotations(o);
  EXPECT_EQ(std::count(many.begin(), many.end(), '\n'), 10);
  EXPECT_THAT(many, HasSubstr("::warning title=gate::and 24 more"));
}

TEST(GateOutputs, json_reads_back_and_keeps_infinity_as_a_word) {
  Outcome o = sample();
  const double inf = std::numeric_limits<double>::infinity();
  o.judgement.metrics.push_back(judge_values({"p99 ttft"}, {1, 2, 3, 4}, {inf, inf, inf, inf}, 0.05, 0.05));
  o.judgement.metrics[2].metric.name = "broken \xff utf-8";
  const auto json = nlohmann::json::parse(render_json(o));
  EXPECT_EQ(json["schema"], "dsbench.gate/1");
  EXPECT_EQ(json["verdict"], "REGRESSED");
  EXPECT_EQ(json["metrics"][0]["verdict"], "REGRESSED");
  EXPECT_EQ(json["metrics"][3]["candidate"], "infinite");
  EXPECT_EQ(json["metrics"][0]["candidate_values"].size(), 4U);
  EXPECT_NEAR(json["metrics"][0]["ratio"].get<double>(), 0.1215 / 0.1015, 1e-12);
}

TEST(GateOutputs, bencher_and_github_benchmark_take_what_they_can) {
  const Outcome o = sample();
  const auto bmf = nlohmann::json::parse(render_bmf(o));
  EXPECT_NEAR(bmf["dsbench load"]["p50-ttft-seconds"]["value"].get<double>(), 0.1215, 1e-12);
  EXPECT_NEAR(bmf["dsbench load"]["p50-ttft-seconds"]["lower_value"].get<double>(), 0.12, 1e-12);
  const auto smaller = nlohmann::json::parse(render_github_benchmark(o, Better::lower));
  const auto bigger = nlohmann::json::parse(render_github_benchmark(o, Better::higher));
  EXPECT_EQ(smaller.size(), 2U);
  EXPECT_EQ(smaller[0]["name"], "p50 ttft");
  EXPECT_EQ(smaller[0]["unit"], "s");
  ASSERT_EQ(bigger.size(), 1U);
  EXPECT_EQ(bigger[0]["name"], "good_rate");
  Outcome kernels = sample();
  kernels.kind = "kernels";
  const auto of_kernels = nlohmann::json::parse(render_bmf(kernels));
  EXPECT_NEAR(of_kernels["p50 ttft"]["latency"]["value"].get<double>(), 0.1215e9, 1)
      << "Bencher's latency is in ns";
}

TEST(GateOutputs, text_has_no_control_characters_of_others_and_colour_only_when_asked) {
  Outcome o = sample();
  o.notes = {"a note \x1b[31m from outside"};
  const std::string plain = render_text(o, false);
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  EXPECT_THAT(plain, HasSubstr("REGRESSED  The candidate is worse: p50 ttft (+19.7 %)."));
  EXPECT_THAT(plain, HasSubstr("MISSED  <&>"));
  EXPECT_THAT(render_text(o, true), HasSubstr("\x1b[1;31mREGRESSED"));
}

}  // namespace
}  // namespace dsbench::results::gate
