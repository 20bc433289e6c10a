#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "loadgen/guards.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::AttemptRecord;
using results::Reason;
using results::RequestRecord;
using ::testing::HasSubstr;

TEST(GuardText, PrintsWhatItParses) {
  const std::string text =
      "burn(14.4,60s,5s) collapse(10s) failed(12.5%,30s) refused(20) tokens(5000000) cost(2.5) "
      "generator(10s)";
  const auto rules = parse_guards(text);
  ASSERT_TRUE(rules) << rules.error().message;
  std::string again;
  for (const GuardRule& rule : *rules) again += (again.empty() ? "" : " ") + print_guard(rule);
  EXPECT_EQ(again, text);
}

TEST(GuardText, ErrorsSayWhatIsAccepted) {
  const std::pair<const char*, const char*> rows[] = {
      {"bur(1,2s,1s)", "'bur' is no stop rule; accepted: burn(14.4,60s,5s)"},
      {"burn", "stop rule 'burn' has no values in parentheses"},
      {"burn(14.4)", "stop rule 'burn(14.4)': it takes 3 values, found 1"},
      {"burn(0,60s,5s)", "'0' is no number above 0"},
      {"burn(2,5s,60s)", "the second window must not be longer than the first"},
      {"failed(10,5s)", "'10' is no share; write it as in 10%"},
      {"failed(10%,5)", "'5' is not a duration"},
      {"collapse(2h)", "a window of 7200s; accepted: 1s to 30m"},
      {"refused(0)", "'0' is no whole number from 1 on"},
      {"tokens(1.5)", "'1.5' is no whole number"},
  };
  for (const auto& [text, message] : rows) {
    const auto rules = parse_guards(text);
    ASSERT_FALSE(rules) << text;
    EXPECT_THAT(rules.error().message, HasSubstr(message));
  }
  EXPECT_THAT(parse_guards("bur(1,2s,1s)").error().message, HasSubstr("did you mean 'burn'?"));
}

struct Nobody final : results::RecordSink {
  void attempt(const AttemptRecord&) override { ++attempts; }
  void request(const RequestRecord&) override { ++requests; }
  int attempts = 0, requests = 0;
};

class GuardsTest : public ::testing::Test {
 protected:
  void open(const std::string& rules) {
    GuardConfig config;
    config.rules = *parse_guards(rules);
    config.slos = {{.ttft = 1s, .tpot = {}, .e2e = 2s}};
    config.prices = {1, 0.1, 2};
    guards.emplace(config, stop);
    sink = &guards->watch(kept);
  }
  // A second of traffic: `good` good ones of `n`, the others failed in this way; at the second's start.
  void second(std::int64_t s, int n, int good, Reason other = Reason::http_503, Nanos lag = 0ns) {
    for (int i = 0; i < n; ++i) {
      const Nanos due = std::chrono::seconds{s};
      guards->offered(due);
      const Reason reason = i < good ? Reason::ok : other;
      AttemptRecord a;
      a.due = due;
      a.sent = reason == Reason::connect_failed ? results::never : due + lag;
      a.first_byte = a.sent == results::never ? results::never : a.sent;
      a.done = due + 500ms;
      a.prompt_tokens = 100;
      a.output_tokens = 10;
      a.reason = reason;
      sink->attempt(a);
      RequestRecord r;
      r.due = r.sent = r.final_sent = due;
      r.first_token = r.last_token = r.done = due + 500ms;
      r.reason = reason;
      sink->request(r);
    }
    guards->on_second(std::chrono::seconds{s + 1});
  }
  std::string sentence() { return guards->tripped() ? guards->tripped()->sentence : ""; }

  std::atomic<bool> stop{false};
  Nobody kept;
  std::optional<Guards> guards;
  results::RecordSink* sink = nullptr;
};

TEST_F(GuardsTest, PassesOnWhatItSees) {
  open("refused(3)");
  second(0, 5, 4);
  EXPECT_EQ(kept.attempts, 5);
  EXPECT_EQ(kept.requests, 5);
  EXPECT_FALSE(stop);
}

TEST_F(GuardsTest, BurnNeedsBothWindows) {
  open("burn(10,20s,3s)");
  std::int64_t s = 0;
  for (; s < 30; ++s) second(s, 10, 10);
  for (; s < 32; ++s) second(s, 10, 0);
  EXPECT_FALSE(stop) << "20 of the 220 of 22 s (a window and a deadline): 9.1 times the budget";
  second(s++, 10, 0);
  EXPECT_TRUE(stop);
  EXPECT_THAT(sentence(), HasSubstr("the error budget burns at 13.6 times its rate over 20"));
}

TEST_F(GuardsTest, ABurnThatIsOverDoesNotStop) {
  open("burn(10,20s,3s)");
  std::int64_t s = 0;
  for (; s < 30; ++s) second(s, 10, 10);
  second(s++, 15, 0);
  for (; s < 60; ++s) second(s, 10, 10);
  EXPECT_FALSE(stop) << sentence();
}

TEST_F(GuardsTest, WhatHangsBurnsToo) {
  open("burn(10,20s,3s)");
  for (std::int64_t s = 0; s < 30; ++s) {
    for (int i = 0; i < 10; ++i) guards->offered(std::chrono::seconds{s});
    guards->on_second(std::chrono::seconds{s + 1});
  }
  EXPECT_TRUE(stop);
}

TEST_F(GuardsTest, CollapseIsLessGoodAtNoLessOffered) {
  open("collapse(5s)");
  std::int64_t s = 0;
  for (; s < 20; ++s) second(s, 100, 100);
  for (; s < 40; ++s) second(s, 50, 50);  // less is offered: no collapse
  EXPECT_FALSE(stop) << sentence();
  for (; s < 60 && !stop; ++s) second(s, 150, 40);
  EXPECT_TRUE(stop);
  EXPECT_THAT(sentence(), HasSubstr("collapse: "));
  EXPECT_THAT(sentence(), HasSubstr("after 100.0/s good at 100.0/s"));
}

TEST_F(GuardsTest, FailedShare) {
  open("failed(10%,5s)");
  std::int64_t s = 0;
  for (; s < 20; ++s) second(s, 20, 18);
  EXPECT_FALSE(stop) << sentence();
  second(s++, 20, 10);
  EXPECT_TRUE(stop);
  EXPECT_THAT(sentence(), HasSubstr("the limit is 10 %"));
}

TEST_F(GuardsTest, RefusalsInARowStopAtOnce) {
  open("refused(5)");
  second(0, 8, 4, Reason::connect_failed);  // 4 good, 4 refused
  EXPECT_FALSE(stop);
  second(1, 4, 4);
  second(2, 4, 0, Reason::connect_failed);
  EXPECT_FALSE(stop);
  second(3, 1, 0, Reason::connect_failed);
  EXPECT_TRUE(stop);
  EXPECT_EQ(sentence(), "5 attempts in a row found no connection: the target is probably down");
}

TEST_F(GuardsTest, TokensAndCost) {
  open("tokens(10000)");
  second(0, 90, 90);  // 90 · 110 = 9,900
  EXPECT_FALSE(stop);
  second(1, 1, 1);
  EXPECT_TRUE(stop);
  EXPECT_EQ(guards->tokens(), 10'010);
  EXPECT_NEAR(guards->cost(), 91 * (100 * 1 + 10 * 2) / 1e6, 1e-12);
  EXPECT_DOUBLE_EQ(cost_of({1, 0.1, 2}, 1'000'000, 400'000, 500'000), 0.6 + 0.04 + 1.0);
}

TEST_F(GuardsTest, ALateGeneratorIsOursToAnswerFor) {
  open("generator(5s)");
  second(0, 200, 200, Reason::ok, 99ms);
  EXPECT_FALSE(stop);
  second(1, 10, 10, Reason::ok, 101ms);
  EXPECT_TRUE(stop);
  EXPECT_TRUE(guards->tripped()->generator);
}

TEST_F(GuardsTest, TheRingComesRound) {
  open("failed(10%,5s)");
  second(0, 40, 0);
  EXPECT_TRUE(stop);
  open("failed(10%,5s)");
  stop = false;
  for (std::int64_t s = 0; s < 9000; ++s) second(s, 4, 4);
  EXPECT_FALSE(stop) << sentence();
}

}  // namespace
}  // namespace dsbench::loadgen
