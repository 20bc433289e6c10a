#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "loadgen/workload.h"
#include "tests/fakes/small_workload.h"

// What follows a request, by its outcome: the turns of sessions and the steps of agents.
namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::Reason;
using Role = PromptPart::Role;

TEST(Sessions, ATurnSendsTheHistoryAsItReallyWas) {
  const SharedSource source =
      make_source(workload_of(R"("prompt_tokens":10,"output_tokens":20,"system_prompt_tokens":5,
      "session":{"turns":3,"think_time":"2s","user_tokens":4})"),
                  1);
  const Attempt first = source(7);
  auto follow = next_of(source, first, Reason::ok, 13);
  ASSERT_EQ(follow.size(), 1u);
  EXPECT_EQ(follow[0].after, Nanos{2s});
  Attempt second = follow[0].attempt;
  EXPECT_EQ(second.turn, 1u);
  EXPECT_EQ(second.prompt_tokens, 5 + 10 + 13 + 4);
  ASSERT_EQ(second.parts->size(), 4u);
  EXPECT_TRUE(std::equal(first.parts->begin(), first.parts->end(), second.parts->begin()))
      << "what was said stays as it was said";
  EXPECT_EQ((*second.parts)[2].role, Role::assistant);
  follow = next_of(source, second, Reason::ok, 1);
  ASSERT_EQ(follow.size(), 1u);
  EXPECT_EQ(follow[0].attempt.prompt_tokens, 32 + 1 + 4);
  EXPECT_TRUE(next_of(source, follow[0].attempt).empty()) << "three turns, no more";
  // Another asker gets the same, turn by turn.
  EXPECT_EQ(*next_of(source, source(7), Reason::ok, 13)[0].attempt.parts, *second.parts);
}

TEST(Sessions, AFailureEndsContinuesOrRepeats) {
  const auto with = [](const std::string& what) {
    return make_source(workload_of(R"("prompt_tokens":10,"output_tokens":20,
      "session":{"turns":2,"think_time":"2s","user_tokens":4,"on_failure":")" +
                                   what + "\"}"),
                       1);
  };
  EXPECT_TRUE(next_of(with("stop"), with("stop")(0), Reason::http_503).empty());
  const auto on = next_of(with("continue"), with("continue")(0), Reason::http_503);
  ASSERT_EQ(on.size(), 1u);
  EXPECT_EQ(on[0].attempt.prompt_tokens, 14) << "without an answer in between";
  const SharedSource again = with("retry_turn");
  Attempt attempt = again(0);
  const PromptParts asked = *attempt.parts;
  for (std::uint32_t i = 1; i < 5; ++i) {
    const auto follow = next_of(again, attempt, Reason::http_503);
    ASSERT_EQ(follow.size(), 1u);
    attempt = follow[0].attempt;
    EXPECT_EQ(attempt.turn, i) << "a request of its own";
    EXPECT_EQ(*attempt.parts, asked);
  }
  EXPECT_EQ(next_of(again, attempt).size(), 1u) << "repeats do not use up turns";
}

TEST(Sessions, AFullContextEndsIt) {
  const SharedSource source = make_source(workload_of(R"("prompt_tokens":10,"output_tokens":20,
      "session":{"turns":100,"think_time":"1s","user_tokens":10,"max_context_tokens":100})"),
                                          1);
  Attempt attempt = source(0);
  int turns = 1;
  for (auto f = next_of(source, attempt, Reason::ok, 20); !f.empty();
       f = next_of(source, attempt, Reason::ok, 20)) {
    attempt = f[0].attempt;
    EXPECT_LE(attempt.prompt_tokens + attempt.output_tokens, 100);
    ++turns;
  }
  EXPECT_EQ(turns, 3);  // 10+20, 40+20, 70+20; then 100+20
}

TEST(Sessions, ATurnGapCountsFromWhenTheTurnBeforeWasDue) {
  const SharedSource source = make_source(workload_of(R"("prompt_tokens":10,"output_tokens":20,
      "session":{"turns":3,"turn_gap":"30s","user_tokens":4})"),
                                          1);
  const auto after = [&](Nanos done) {
    results::RequestRecord ended = outcome(source(0));
    ended.due = Nanos{100s};
    ended.done = done;
    std::vector<FollowUp> follow;
    source.next(source(0), ended, follow);
    return follow.at(0).after;
  };
  EXPECT_EQ(after(Nanos{108s}), Nanos{22s});
  EXPECT_EQ(after(Nanos{130s}), Nanos{0});
  EXPECT_EQ(after(Nanos{150s}), Nanos{0}) << "not before the answer has come";
}

TEST(Sessions, AHistoryMayBeWithoutAnswersAndLaterOnesHaveALawOfTheirOwn) {
  const SharedSource source = make_source(workload_of(R"("prompt_tokens":10,"output_tokens":20,
      "session":{"turns":3,"think_time":"2s","user_tokens":4,"output_tokens":99,"keeps_answers":false})"),
                                          1);
  EXPECT_EQ(source(0).output_tokens, 20);
  const auto follow = next_of(source, source(0), Reason::ok, 13);
  ASSERT_EQ(follow.size(), 1u);
  EXPECT_EQ(follow[0].attempt.prompt_tokens, 14);
  EXPECT_EQ(follow[0].attempt.output_tokens, 99);
  EXPECT_EQ(follow[0].attempt.parts->at(0), source(0).parts->at(0));
}

TEST(Sessions, ForksShareTheHistoryAndGoTheirOwnWays) {
  const SharedSource source = make_source(workload_of(R"("prompt_tokens":10,"output_tokens":20,
      "session":{"turns":3,"think_time":"2s","user_tokens":4,"forks":{"share":0.999,"turns":1}})"),
                                          1);
  const auto follow = next_of(source, source(0), Reason::ok, 13);
  ASSERT_EQ(follow.size(), 2u);
  const PromptParts &main = *follow[0].attempt.parts, &fork = *follow[1].attempt.parts;
  ASSERT_EQ(main.size(), 3u);
  ASSERT_EQ(fork.size(), 3u);
  EXPECT_TRUE(std::equal(main.begin(), main.begin() + 2, fork.begin())) << "prompt and answer";
  EXPECT_NE(main[2], fork[2]);
  EXPECT_NE(follow[0].attempt.turn, follow[1].attempt.turn) << "a request number of its own";
  EXPECT_TRUE(next_of(source, follow[1].attempt).empty()) << "a fork of one turn";
  const auto last = next_of(source, follow[0].attempt);
  ASSERT_EQ(last.size(), 2u);
  EXPECT_EQ(last[0].attempt.prompt_tokens, 10 + 13 + 4 + 7 + 4);
  EXPECT_TRUE(next_of(source, last[0].attempt).empty()) << "what does not go on does not fork";
  EXPECT_TRUE(next_of(source, source(1), Reason::http_503).empty());
}

TEST(Agents, BranchOutJoinAndStartAfreshWhenFull) {
  const SharedSource source = make_source(workload_of(agent), 1);
  Attempt main = source(0);
  std::uint32_t most_turn = 0;
  int fresh = 0;
  for (int step = 1; step <= 12; ++step) {
    auto branches = next_of(source, main, Reason::ok, 20);
    ASSERT_EQ(branches.size(), 3u);
    std::vector<FollowUp> joined;
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(joined.empty()) << "the next step waits for the last branch";
      const Attempt& b = branches[i].attempt;
      EXPECT_EQ(branches[i].after, 0ns);
      EXPECT_EQ(b.prompt_tokens, 30 + 11) << "a context of its own";
      EXPECT_EQ(b.turn, most_turn + 1 + i);
      joined = next_of(source, b, i == 1 ? Reason::http_503 : Reason::ok, 5);
    }
    ASSERT_EQ(joined.size(), 1u);
    most_turn = joined[0].attempt.turn;
    EXPECT_EQ(joined[0].after, step % 2 == 1 ? Nanos{1s} : Nanos{60s}) << "a task has two steps";
    const std::int32_t grown = main.prompt_tokens + 20 + 2 * 5 + (step % 2 == 1 ? 7 : 50);
    main = joined[0].attempt;
    if (main.prompt_tokens == grown) {
      EXPECT_LE(main.prompt_tokens + main.output_tokens, 300);
    } else {
      EXPECT_GT(grown + 20, 300);
      EXPECT_EQ(main.prompt_tokens, 30 + 50);
      ++fresh;
    }
  }
  EXPECT_GE(fresh, 2);
}

TEST(Agents, SomeRequestsAreCutShort) {
  const SharedSource source = make_source(workload_of(R"("prompt_tokens":5,"output_tokens":20,
    "agent":{"period":"1s","steps":1,"tool_pause":"1s","tool_tokens":7,"cancel_share":0.25,"keeps_context":false})"),
                                          1);
  int cut = 0;
  for (std::uint64_t i = 0; i < 4'000; ++i) {
    const Attempt a = source(i);
    EXPECT_TRUE(a.stop_after_tokens == 0 || a.stop_after_tokens == 10);
    cut += a.stop_after_tokens > 0 ? 1 : 0;
  }
  EXPECT_NEAR(cut, 1'000, 110);
}

}  // namespace
}  // namespace dsbench::loadgen
