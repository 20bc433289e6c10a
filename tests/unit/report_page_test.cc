#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <sstream>

#include "results/report/escape.h"
#include "results/report/report.h"
#include "results/report/words.h"
#include "tests/fakes/sample_runs.h"
#include "tests/fakes/xml_check.h"

namespace dsbench::results::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using tests::Sample;
using tests::sample_run;

std::string golden(const std::string& name) {
  std::ifstream file(std::string(DSBENCH_SOURCE_DIR) + "/tests/golden/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(Escape, LeavesNoMarkup) {
  EXPECT_EQ(xml_escape("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
  EXPECT_EQ(xml_escape("a\x1b[31m\x01"
                       "b\nc"),
            "a[31mb\nc");
  EXPECT_EQ(xml_escape("caf\xc3\xa9 \xff \xe2\x82"), "café \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(xml_escape("\xc0\x80 \xed\xa0\x80"),
            "\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(xml_escape("a\xe2\x80\xae"
                       "b"),
            "ab")
      << "no turning of the reading direction";
  EXPECT_EQ(json_string("</script>\"\\\n"), "\"\\u003c/script\\u003e\\\"\\\\\\u000a\"");
  EXPECT_EQ(markdown_escape("a|b\n<i>`*"), "a\\|b &lt;i&gt;\\`\\*");
  EXPECT_EQ(terminal_escape("\x1b[2J done"), "?[2J done");
}

TEST(Words, PercentilesSayWhyTheyAreMissing) {
  LatencySummary l;
  l.percentiles = {{.q = 0.5, .needs = 11, .value = Nanos{340'000'000}},
                   {.q = 0.99, .needs = 662, .value = {}},
                   {.q = 0.999, .needs = 6636, .value = {}, .infinite = true}};
  EXPECT_EQ(percentile_text(l, 0.5), "340 ms");
  EXPECT_EQ(percentile_text(l, 0.99), "n/a (needs 662)");
  EXPECT_EQ(percentile_text(l, 0.999), "∞ (failed)");
  EXPECT_EQ(percentile_text(l, 0.9), "n/a");
}

TEST(Words, SharesAreNeverRoundedToAllOrNothing) {
  EXPECT_EQ(share_text(1), "100 %");
  EXPECT_EQ(share_text(0.99996), "> 99.9 %");
  EXPECT_EQ(share_text(0.00001), "< 0.1 %");
  EXPECT_EQ(share_text(0.9931), "99.3 %");
  EXPECT_EQ(count_text(-1234567), "-1,234,567");
  EXPECT_EQ(shell_line({"dsbench", "--x", "it's", ""}), "dsbench --x 'it'\\''s' ''");
}

TEST(Labels, AreWhatTellsTheCommandsApart) {
  const RunSummary a = sample_run(Sample::collapsed);
  const RunSummary b = sample_run(Sample::bounded);
  const std::array<const RunSummary*, 2> differ{&a, &b};
  EXPECT_THAT(labels_of(differ), ElementsAre("without engine-max-queued", "engine-max-queued 64"));
  const std::array<const RunSummary*, 2> same{&a, &a};
  EXPECT_THAT(labels_of(same), ElementsAre("run 1", "run 2"));
}

TEST(Text, IsTheSameByteForByte) {
  EXPECT_EQ(render_text(sample_run(Sample::bounded)), golden("report_bounded.txt"));
  EXPECT_EQ(render_text(sample_run(Sample::single_stage)), golden("report_single_stage.txt"));
}

TEST(Text, WhatWasCancelledOnPurposeHasNotFailed) {
  RunSummary run = sample_run(Sample::single_stage);
  auto& by_reason = run.stages.front().attempts_by_reason;
  by_reason.fill(0);
  by_reason[static_cast<std::size_t>(Reason::ok)] = 200;
  by_reason[static_cast<std::size_t>(Reason::cancelled)] = 16;
  EXPECT_THAT(render_text(run), Not(HasSubstr("failed ")));
  const std::string page = render_html(run);
  const std::size_t table = page.find("Failed attempts by class");
  ASSERT_NE(table, std::string::npos);
  const std::string rows = page.substr(table, page.find("</table>", table) - table);
  EXPECT_THAT(rows, HasSubstr("cancelled"));
  EXPECT_THAT(rows, Not(HasSubstr("7.4 %"))) << "16 of 216";
  run.requests = run.attempts = 0;
  EXPECT_THAT(render_text(run), HasSubstr("0 attempts for 0 requests (nothing was sent)"));
}

TEST(Answers, ATargetThatFailedByItselfIsAFaultToo) {
  RunSummary run = sample_run(Sample::single_stage);
  EXPECT_THAT(render_html(run), HasSubstr("No fault was injected."));
  run.failover.emplace();
  run.failover->incidents.emplace_back();
  run.failover->sentence = "target 0 (a): found by the clients at 3.93 s.";
  const std::string page = render_html(run);
  EXPECT_THAT(page, Not(HasSubstr("No fault was injected.")));
  EXPECT_THAT(page, HasSubstr("under load?</th><td>target 0 (a): found by the clients at 3.93 s."));
  run.failover.reset();
  run.events.push_back({Nanos{1}, Nanos{2}, "crash", 0});
  EXPECT_THAT(render_html(run), HasSubstr("1 fault was made; the timeline shows it."));
}

TEST(Text, ColourIsAskedFor) {
  EXPECT_THAT(render_text(sample_run(Sample::collapsed)), Not(HasSubstr("\x1b")));
  EXPECT_THAT(render_text(sample_run(Sample::hostile)), Not(HasSubstr("\x1b")));
  EXPECT_THAT(render_text(sample_run(Sample::collapsed), {.colour = true}),
              HasSubstr("\x1b[1;31m✕ NOT READY\x1b[0m"));
}

TEST(Markdown, IsTheSameByteForByte) {
  EXPECT_EQ(render_markdown(sample_run(Sample::nothing_good)), golden("report_nothing_good.md"));
  const std::string hostile = render_markdown(sample_run(Sample::hostile));
  EXPECT_THAT(hostile.substr(0, hostile.find("```\n")), Not(HasSubstr("<img"))) << "but in the code block";
}

class EverySample : public testing::TestWithParam<Sample> {};
TEST_P(EverySample, MakesOneSmallWellFormedOfflinePage) {
  const std::string html = render_html(sample_run(GetParam()));
  EXPECT_EQ(tests::xml_complaint(html), "");
  EXPECT_LE(html.size(), 500'000U);
  EXPECT_THAT(
      html,
      HasSubstr("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"));
  // dygraphs carries one picture, as a data: address.
  EXPECT_EQ(count(html, "src=\""), count(html, "src=\"data:"));
  for (const char* outside : {"<link", "@import", "url(", "sourceMappingURL"}) {
    EXPECT_EQ(count(html, outside), 0U) << outside << ": nothing may be fetched";
  }
  EXPECT_EQ(html, render_html(sample_run(GetParam()))) << "the same bytes each time";
}
INSTANTIATE_TEST_SUITE_P(Page, EverySample, testing::ValuesIn(tests::all_samples),
                         [](const auto& param) { return std::string(tests::name_of(param.param)); });

TEST(Page, SaysTheVerdictFirstAndThenTheRestInOrder) {
  const std::string html = render_html(sample_run(Sample::collapsed));
  std::size_t last = 0;
  for (const char* part :
       {"<h1>NOT READY</h1>", "class=\"criteria\"", "id=\"answers\"", "id=\"capacity\"", "id=\"latency\"",
        "id=\"recovery\"", "id=\"errors\"", "id=\"health\"", "id=\"waste\"", "id=\"stages\"",
        "id=\"timeline\"", "id=\"system\"", "id=\"reproduce\"", "id=\"method\""}) {
    const std::size_t at = html.find(part);
    ASSERT_NE(at, std::string::npos) << part;
    EXPECT_GT(at, last) << part;
    last = at;
  }
  EXPECT_THAT(html, Not(HasSubstr(">simulated</span>")));
  EXPECT_THAT(render_html(sample_run(Sample::many_stages)), HasSubstr(">simulated</span>"));
}

TEST(Page, MarkupInARunIsHarmless) {
  const std::string plain = render_html(sample_run(Sample::collapsed));
  const std::string hostile = render_html(sample_run(Sample::hostile));
  EXPECT_EQ(count(hostile, "<script"), count(plain, "<script"));
  EXPECT_EQ(count(hostile, "</script"), count(plain, "</script"));
  EXPECT_THAT(hostile, Not(HasSubstr("<img")));
  EXPECT_THAT(hostile, HasSubstr("http://h/&lt;/script&gt;&lt;script&gt;alert(1)"));
}

TEST(Page, MissingAndInfinitePercentilesAreWords) {
  EXPECT_THAT(render_html(sample_run(Sample::single_stage)), HasSubstr("n/a (needs 662)"));
  EXPECT_THAT(render_html(sample_run(Sample::nothing_good)), HasSubstr("∞ (failed)"));
}

// A day, with all that can be in it: every second, a heat map without an empty cell, sixty stages, an outage.
TEST(Page, ADayIsHalfAMegabyteAtMost) {
  RunSummary run = sample_run(Sample::many_stages);
  run.duration = std::chrono::hours{24};
  const TimelinePoint point = run.timeline.at(run.timeline.size() / 2);
  run.timeline.clear();
  for (std::int64_t s = 0; s < 86'400; ++s) {
    TimelinePoint p = point;
    p.second = s;
    p.offered += s % 97;
    p.completed += s % 89;
    p.good = s > 40'000 && s < 43'000 ? 0 : p.good + s % 83;
    p.in_flight += s % 1009;
    p.ttft_max = p.ttft_max.value_or(Nanos{1'000'000}) + Nanos{s * 1'237'911 % 900'000'000};
    run.timeline.push_back(p);
  }
  LatencyPicture picture;
  picture.bin_s = 720;
  for (int i = 0; i <= 36; ++i) picture.edges_s.push_back(0.01 * std::pow(1.3, i));
  for (std::int64_t c = 0; c < 120; ++c) {
    picture.columns.emplace_back(36);
    for (std::int64_t r = 0; r < 36; ++r)
      picture.columns.back()[static_cast<std::size_t>(r)] = 1 + (c * 7919 + r * 104'729) % 5000;
    picture.failed.push_back(c % 3);
  }
  const std::string html = render_html(run, {.pictures = {picture}});
  EXPECT_EQ(tests::xml_complaint(html), "");
  EXPECT_LE(html.size(), 500'000U);
  EXPECT_THAT(html, HasSubstr("id=\"heat-narrow-t\""));
}

TEST(Page, SeveralRunsShareOnePicture) {
  const RunSummary a = sample_run(Sample::collapsed);
  const RunSummary b = sample_run(Sample::bounded);
  const std::array<const RunSummary*, 2> both{&a, &b};
  const std::string html = render_html(both);
  EXPECT_EQ(tests::xml_complaint(html), "");
  EXPECT_LE(html.size(), 500'000U);
  const std::size_t from = html.find("id=\"all-capacity-wide-t\"");
  ASSERT_NE(from, std::string::npos);
  const std::string svg = html.substr(from, html.find("</svg>", from) - from);
  EXPECT_THAT(svg, HasSubstr("c-r0"));
  EXPECT_THAT(svg, HasSubstr("c-r1"));
  EXPECT_THAT(svg, HasSubstr("(1) without engine-max-queued"));
  EXPECT_THAT(svg, HasSubstr("(2) engine-max-queued 64"));
  const std::array<const RunSummary*, 6> six{&a, &b, &a, &b, &a, &b};
  const std::string many =
      render_html(six, {.labels = {"one", "two", "three", "four", "five", "six"}, .title = {}});
  EXPECT_EQ(tests::xml_complaint(many), "");
  EXPECT_LE(many.size(), 500'000U);
  EXPECT_THAT(many, HasSubstr("(6) six"));
}

}  // namespace
}  // namespace dsbench::results::report
