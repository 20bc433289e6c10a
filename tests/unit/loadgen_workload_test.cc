#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "loadgen/load_machine.h"
#include "loadgen/virtual_runner.h"
#include "loadgen/workload.h"
#include "tests/fakes/fifo_target.h"
#include "tests/fakes/kept_records.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using results::Reason;
using Role = PromptPart::Role;

profiles::WorkloadProfile workload_of(const std::string& inside) {
  const auto profile =
      profiles::parse_workload(R"({"schema": "dsbench.workload/1", )" + inside + "}", "w.json");
  EXPECT_TRUE(profile) << (profile ? "" : profile.error().message);
  return profile ? *profile : profiles::WorkloadProfile{};
}

results::RequestRecord outcome(const Attempt& attempt, Reason reason = Reason::ok,
                               std::int32_t output_tokens = 7) {
  results::RequestRecord record;
  record.request = attempt.request;
  record.reason = reason;
  record.output_tokens = output_tokens;
  return record;
}
std::vector<FollowUp> next_of(const SharedSource& source, const Attempt& attempt, Reason reason = Reason::ok,
                              std::int32_t output_tokens = 7) {
  std::vector<FollowUp> follow_ups;
  source.next(attempt, outcome(attempt, reason, output_tokens), follow_ups);
  return follow_ups;
}

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

constexpr const char* agent = R"("prompt_tokens":50,"output_tokens":20,"system_prompt_tokens":30,
    "agent":{"period":"60s","steps":2,"tool_pause":"1s","tool_tokens":7,"fan_out":3,"branch_tokens":11,
             "max_context_tokens":300})";

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

// ---- through the machine, in virtual time

class Offered final : public results::RecordSink {
 public:
  void attempt(const results::AttemptRecord& r) override { attempts.push_back(r); }
  void request(const results::RequestRecord& r) override { requests.push_back(r); }
  void offered(std::uint32_t stage, std::uint64_t request, Nanos due) override {
    EXPECT_TRUE(offers.emplace(request, due).second) << "a request is offered once";
    stages[request] = stage;
  }
  std::uint32_t stage_at(Nanos due, std::uint32_t) override { return due < 10s ? 0 : 1; }
  std::vector<results::AttemptRecord> attempts;
  std::vector<results::RequestRecord> requests;
  std::map<std::uint64_t, Nanos> offers;
  std::map<std::uint64_t, std::uint32_t> stages;
};

struct World {
  explicit World(const profiles::WorkloadProfile& workload, const fakes::FifoConfig& config = {})
      : target{config},
        runner{make_virtual_runner(target, policies_of(workload, {}), make_source(workload, 1), 1, sink,
                                   stop)} {}
  fakes::FifoTarget target;
  Offered sink;
  std::atomic<bool> stop{false};
  std::unique_ptr<Runner> runner;
};

TEST(Sessions, TheNextTurnIsDueAThinkTimeAfterTheAnswerAndBelongsToTheStageItFallsIn) {
  World w{workload_of(R"("prompt_tokens":10,"output_tokens":3,
      "session":{"turns":4,"think_time":"4s","user_tokens":4})")};
  const Arrival arrivals[] = {{0, 1s, 0}, {1, 1500ms, 0}};
  ASSERT_TRUE(w.runner->offer(arrivals, 30s));
  ASSERT_TRUE(w.runner->drain(40s));
  ASSERT_EQ(w.sink.requests.size(), 8u);
  ASSERT_EQ(w.sink.offers.size(), 6u) << "what was not scheduled";
  std::map<std::uint64_t, results::RequestRecord> by_number;
  for (const auto& r : w.sink.requests) by_number[r.request] = r;
  for (std::uint64_t session = 0; session < 2; ++session) {
    for (std::uint64_t turn = 0; turn < 4; ++turn) {
      const std::uint64_t number = session | turn << results::turn_shift;
      ASSERT_TRUE(by_number.contains(number));
      const auto& r = by_number[number];
      EXPECT_EQ(r.turn, turn);
      EXPECT_EQ(r.sent, r.due) << "no lag in virtual time";
      EXPECT_EQ(r.stage, r.due < 10s ? 0u : 1u);
      if (turn == 0) continue;
      EXPECT_EQ(r.due, by_number[session | (turn - 1) << results::turn_shift].done + 4s);
      EXPECT_EQ(w.sink.offers[number], r.due);
      EXPECT_EQ(w.sink.stages[number], r.stage);
    }
  }
}

TEST(Sessions, RestWhileNothingIsOfferedAndGoOnAfterwards) {
  World w{workload_of(R"("prompt_tokens":10,"output_tokens":3,
      "session":{"turns":3,"think_time":"4s","user_tokens":4})")};
  const Arrival first[] = {{0, 1s, 0}};
  ASSERT_TRUE(w.runner->offer(first, 2s));
  const auto left = w.runner->drain(100s);
  ASSERT_TRUE(left);
  EXPECT_EQ(*left, 0u);
  EXPECT_EQ(w.runner->now(), 2s) << "a drain does not wait for people who think";
  ASSERT_TRUE(w.runner->drain(100s));
  // Half a minute of nothing, then another stage.
  ASSERT_EQ(w.sink.requests.size(), 1u);
  const Nanos answered = w.sink.requests[0].done;
  ASSERT_TRUE(w.runner->offer({}, 20s));
  EXPECT_EQ(w.sink.requests.size(), 3u);
  EXPECT_EQ(w.sink.requests[1].due, answered + 4s) << "no time passed while it rested";
  EXPECT_EQ(*w.runner->drain(100s), 0u);
}

TEST(Agents, GoOnForAsLongAsSomethingIsOfferedAndTheDrainEnds) {
  fakes::FifoConfig config;
  config.max_queued = 1;  // refuses most of those that come at once
  World w{workload_of(R"("prompt_tokens":5,"output_tokens":4,
    "agent":{"period":"1s","steps":2,"tool_pause":"0ms","tool_tokens":7,"max_context_tokens":100})"),
          config};
  std::vector<Arrival> burst;
  for (std::uint64_t i = 0; i < 20; ++i) burst.push_back({i, 1ms, 0});
  ASSERT_TRUE(w.runner->offer(burst, 60s));
  EXPECT_EQ(*w.runner->drain(70s), 0u);
  EXPECT_LT(w.runner->now(), 61s);
  std::map<std::uint64_t, int> of_session;
  std::set<Reason> reasons;
  for (const auto& r : w.sink.requests) {
    ++of_session[results::session_of(r.request)];
    reasons.insert(r.reason);
  }
  ASSERT_EQ(of_session.size(), 20u);
  for (const auto& [session, n] : of_session)
    EXPECT_GT(n, 60) << "a second per task of two steps, refused or not";
  EXPECT_TRUE(reasons.contains(Reason::http_429));
  EXPECT_TRUE(reasons.contains(Reason::ok));
}

TEST(Agents, ACancelledRequestEndsAtTheTokenThatSufficedAndIsGood) {
  World w{workload_of(R"("prompt_tokens":5,"output_tokens":20,
    "agent":{"period":"1s","steps":1,"tool_pause":"1s","tool_tokens":7,"cancel_share":1,"endless":false})")};
  const Arrival one[] = {{0, 1s, 0}};
  ASSERT_TRUE(w.runner->offer(one, 5s));
  ASSERT_EQ(w.sink.requests.size(), 1u);
  const auto& r = w.sink.requests[0];
  EXPECT_EQ(r.reason, Reason::cancelled);
  EXPECT_EQ(r.output_tokens, 20) << "this target says everything after the first token in one chunk";
  EXPECT_EQ(r.attempts, 1u) << "and is not tried again";
  EXPECT_EQ(r.done, r.last_token);
  results::Slo slo;
  slo.e2e = 1s;
  EXPECT_TRUE(results::is_good(r, slo));
  slo.e2e = 1ms;
  EXPECT_FALSE(results::is_good(r, slo)) << "but only when it met the bounds";
}

TEST(Agents, HangUpAtTheChunkThatSuffices) {
  Offered sink;
  LoadMachine machine{{},
                      [](std::uint64_t) {
                        Attempt a;
                        a.output_tokens = 20;
                        a.stop_after_tokens = 10;
                        return a;
                      },
                      1,
                      0,
                      sink};
  const Arrival one[] = {{5, 1s, 0}};
  machine.add(one);
  std::vector<Action> actions;
  machine.on_time(1s, actions);
  ASSERT_EQ(actions.size(), 1u);
  TargetEvent e;
  e.request = 5;
  e.at = 1s;
  machine.on_event(e, actions);
  e.kind = EventKind::tokens;
  e.tokens = 4;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(sink.requests.empty());
    e.at += 1s;
    machine.on_event(e, actions);
  }
  ASSERT_EQ(sink.requests.size(), 1u);
  EXPECT_EQ(sink.requests[0].output_tokens, 12);
  EXPECT_EQ(sink.requests[0].done, Nanos{4s});
  ASSERT_EQ(actions.size(), 2u);
  EXPECT_EQ(actions[1].kind, Action::Kind::cancel);
  EXPECT_EQ(machine.in_flight(), 0u);
}

TEST(Tenants, HaveAPatienceOfTheirOwn) {
  World w{workload_of(R"("classes":[
     {"name":"calm","prompt_tokens":5,"output_tokens":4},
     {"name":"hasty","prompt_tokens":5,"output_tokens":4,"client":{"total_timeout":"1ms"}}])")};
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 40; ++i) arrivals.push_back({i, i * 100ms, 0});
  ASSERT_TRUE(w.runner->offer(arrivals, 5s));
  ASSERT_EQ(w.sink.requests.size(), 40u);
  int hasty = 0;
  for (const auto& r : w.sink.requests) {
    EXPECT_EQ(r.reason, r.tenant == 0 ? Reason::ok : Reason::total_timeout);
    hasty += r.tenant;
  }
  EXPECT_GT(hasty, 5);
  EXPECT_LT(hasty, 35);
}

TEST(Sessions, TheSameSeedGivesTheSameRun) {
  const auto workload = workload_of(R"("classes":[
     {"name":"chat","prompt_tokens":{"law":"uniform","min":5,"max":50},"output_tokens":{"law":"uniform","min":1,"max":9},
      "session":{"turns":{"law":"uniform","min":1,"max":5},"think_time":{"law":"uniform","min":"10ms","max":"2s"},
                 "user_tokens":{"law":"uniform","min":1,"max":9}}},
     {"name":"agents","prompt_tokens":5,"output_tokens":4,"agent":{"period":"1s","steps":3,"tool_pause":"10ms",
      "tool_tokens":7,"fan_out":{"law":"uniform","min":0,"max":3},"branch_tokens":4,"cancel_share":0.2,
      "max_context_tokens":200}}])");
  const auto run = [&] {
    World w{workload};
    std::vector<Arrival> arrivals;
    for (std::uint64_t i = 0; i < 60; ++i) arrivals.push_back({i, i * 150ms, 0});
    EXPECT_TRUE(w.runner->offer(arrivals, 20s));
    (void)w.runner->drain(30s);
    std::string all;
    for (const auto& r : w.sink.requests)
      all += std::to_string(r.request) + " " + std::to_string(r.due.count()) + " " +
             std::to_string(r.done.count()) + " " + std::to_string(r.prompt_tokens) + "\n";
    EXPECT_GT(w.sink.requests.size(), 300u);
    EXPECT_EQ(w.sink.offers.size() + 60, w.sink.requests.size());
    return all;
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace dsbench::loadgen
