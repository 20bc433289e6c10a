#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "core/rng.h"
#include "core/units.h"
#include "engine/scheduler/scheduler.h"

// What must hold whatever the KV policy, with and without a prefix cache and with drafts: the same tokens,
// every law of Scheduler::check() after every call, and progress.
namespace dsbench::engine {
namespace {

// An executor whose KV slots hold the tokens themselves, and whose next token is a hash of the whole known
// prefix as read back through the block table: a wrong block, wherever it came from, changes what comes out.
// It verifies drafts as a model would, and proposes right ones in so many of 100 cases.
class PrefixHash {
 public:
  PrefixHash(const SchedulerConfig& config, std::int32_t drafts, std::uint64_t right_of_100)
      : block_size_{config.block_size},
        drafts_{drafts},
        right_of_100_{right_of_100},
        kv_(static_cast<std::size_t>(config.blocks * config.block_size), -1) {}

  std::vector<TokenId> run(const StepBatch& batch) {
    std::vector<TokenId> sampled(batch.items.size(), -1);
    outcomes.assign(drafts_ > 0 ? batch.items.size() : 0, {});
    for (const StepItem& item : batch.items) {
      for (std::size_t i = 0; i < item.tokens.size(); ++i)
        at(item, item.start + static_cast<std::int32_t>(i)) = item.tokens[i];
    }
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      const StepItem& item = batch.items[i];
      EXPECT_EQ(item.before.size(), static_cast<std::size_t>(item.start));
      if (!item.sample) continue;
      const auto end = item.start + static_cast<std::int32_t>(item.tokens.size());
      std::int32_t known = end - item.drafts;
      std::uint64_t hash = item.seed;
      for (std::int32_t p = 0; p < known; ++p) hash = next(hash, at(item, p));
      std::int32_t accepted = 0;
      while (accepted < item.drafts && at(item, known) == token(hash)) {
        hash = next(hash, at(item, known++));
        ++accepted;
      }
      sampled[i] = token(hash);
      if (drafts_ == 0) continue;
      DraftOutcome& outcome = outcomes[i];
      outcome.accepted = accepted;
      outcome.proposed = static_cast<std::int32_t>(rng_.below(static_cast<std::uint64_t>(drafts_) + 1));
      for (TokenId& guess : outcome.tokens) {
        hash = next(hash, &guess == outcome.tokens.data() ? sampled[i] : *(&guess - 1));
        guess = rng_.below(100) < right_of_100_ ? token(hash) : 250 - token(hash);
      }
    }
    return sampled;
  }

  std::vector<DraftOutcome> outcomes;

 private:
  static std::uint64_t next(std::uint64_t hash, TokenId token) {
    return (hash ^ static_cast<std::uint64_t>(token)) * 0x100000001B3ULL;
  }
  static TokenId token(std::uint64_t hash) { return static_cast<TokenId>((hash >> 20) % 251); }
  TokenId& at(const StepItem& item, std::int32_t position) {
    const std::int32_t block = item.blocks[static_cast<std::size_t>(position / block_size_)];
    return kv_[static_cast<std::size_t>(block * block_size_ + position % block_size_)];
  }
  std::int32_t block_size_;
  std::int32_t drafts_;
  std::uint64_t right_of_100_;
  std::vector<TokenId> kv_;
  Rng rng_{1, "test.drafts"};
};

// Most begin like others do: with a part of one of three texts.
GenerateRequest draw_request(Rng& rng, std::int32_t longest) {
  GenerateRequest request;
  const auto prompt = 1 + rng.below(static_cast<std::uint64_t>(longest) * 2 / 3);
  const std::uint64_t text = rng.below(4);
  const std::uint64_t common = text == 3 ? 0 : rng.below(prompt + 1);
  Rng words{text, "test.text"};
  for (std::uint64_t i = 0; i < prompt; ++i) {
    request.prompt.push_back(static_cast<TokenId>(i < common ? words.below(251) : rng.below(251)));
  }
  request.max_tokens = static_cast<std::int32_t>(1 + rng.below(static_cast<std::uint64_t>(longest) - prompt));
  request.min_tokens = static_cast<std::int32_t>(rng.below(4));
  request.ignore_eos = rng.below(2) == 0;
  request.seed = rng.below(2);  // so that equal prompts may have equal outputs
  return request;
}

SchedulerConfig draw_config(Rng& rng, KvPolicy policy) {
  SchedulerConfig config;
  config.block_size = static_cast<std::int32_t>(1 + rng.below(7));
  config.blocks =
      static_cast<std::int32_t>(60 / config.block_size + 1 + static_cast<std::int32_t>(rng.below(8)));
  config.max_running = static_cast<std::int32_t>(2 + rng.below(9));
  config.max_batched_tokens = static_cast<std::int32_t>(3 + rng.below(30));
  config.max_model_len = 60;
  config.eos_token = 17;
  config.kv.policy = policy;
  config.kv.watermark = rng.below(2) == 0 ? 0 : 0.2;
  config.kv.whole_sequence = rng.below(2) == 0;
  config.kv.prefix_cache = rng.below(3) > 0;
  config.kv.prefix_hash_bits = rng.below(2) == 0 ? 64 : 2;  // nearly everything collides
  return config;
}

using Outputs = std::map<std::uint64_t, std::vector<TokenId>>;  // by tag

Outputs run_all(const SchedulerConfig& config, std::int32_t drafts,
                const std::vector<GenerateRequest>& requests, EngineStats& stats) {
  Scheduler scheduler{config};
  PrefixHash executor{config, drafts, 70};
  Outputs outputs;
  std::vector<SequenceEvent> events;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(scheduler.add(requests[i], i, Nanos{0}).status, SubmitStatus::accepted);
  }
  for (int step = 0; scheduler.has_work() && step < 200'000; ++step) {
    const StepBatch& batch = scheduler.schedule(events);
    if (batch.items.empty()) ADD_FAILURE() << "idle with work at hand";
    if (batch.items.empty()) break;
    const std::vector<TokenId> sampled = executor.run(batch);
    scheduler.complete(sampled, events, executor.outcomes);
    for (const SequenceEvent& e : events) {
      if (e.kind == SequenceEvent::Kind::token) outputs[e.tag].push_back(e.token);
    }
    events.clear();
    const auto broken = scheduler.check();
    EXPECT_EQ(broken, "");
    if (!broken.empty()) break;
  }
  EXPECT_FALSE(scheduler.has_work()) << "no progress";
  stats = scheduler.stats();
  return outputs;
}

class KvProperty : public testing::TestWithParam<KvPolicy> {};

TEST_P(KvProperty, TheSameTokensAsWithAmpleMemoryAndNoCacheAndNoDrafts) {
  std::int64_t preemptions = 0;
  std::int64_t hits = 0;
  std::int64_t avoided = 0;
  std::int64_t accepted = 0;
  std::int64_t rejected = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Rng rng{seed, "test.requests"};
    const SchedulerConfig config = draw_config(rng, GetParam());
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 50; ++i) requests.push_back(draw_request(rng, 60));
    SchedulerConfig ample;
    ample.block_size = config.block_size;
    ample.blocks = 10'000;
    ample.max_running = config.max_running;
    ample.max_batched_tokens = 10'000;
    ample.max_model_len = 60;
    ample.eos_token = 17;
    EngineStats pressed;
    EngineStats easy;
    const auto drafts = static_cast<std::int32_t>(rng.below(5));
    const Outputs under_pressure = run_all(config, drafts, requests, pressed);
    const Outputs at_ease = run_all(ample, 0, requests, easy);
    EXPECT_EQ(under_pressure, at_ease) << "seed " << seed;
    EXPECT_EQ(easy.preemptions, 0);
    EXPECT_EQ(pressed.generated_tokens, easy.generated_tokens);
    // The ledger closes: what was computed is what had to be and was not found, and what was computed again.
    if (!config.kv.prefix_cache && drafts == 0) {
      EXPECT_EQ(pressed.computed_tokens - pressed.recomputed_tokens, easy.computed_tokens) << "seed " << seed;
      EXPECT_EQ(pressed.prompt_tokens, easy.prompt_tokens);
    }
    if (config.kv.prefix_cache && drafts == 0) {
      // A preempted sequence may find more than it lost, computed by its like in the meantime.
      const std::int64_t first = pressed.computed_tokens - pressed.recomputed_tokens + pressed.prefix_hits;
      EXPECT_LE(first, easy.computed_tokens) << "seed " << seed;
      if (pressed.preemptions == 0) {
        EXPECT_EQ(first, easy.computed_tokens) << "seed " << seed;
      }
    }
    preemptions += pressed.preemptions;
    hits += pressed.prefix_hits;
    avoided += pressed.recompute_avoided_tokens;
    accepted += pressed.accepted_drafts;
    rejected += pressed.draft_tokens - pressed.accepted_drafts;
  }
  EXPECT_GT(hits, 1000);
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(rejected, 1000);
  if (GetParam() == KvPolicy::reserve) {
    EXPECT_EQ(preemptions, 0);
  } else {
    EXPECT_GT(preemptions, 20) << "the test must preempt to mean anything";
    EXPECT_GT(avoided, 20);
  }
}

// Anything may happen between any two calls, also while a step is out; every law holds after each.
TEST_P(KvProperty, LawsHoldAndWorkGetsDoneUnderRandomAddsCancelsCutsAndFailures) {
  std::int64_t cut_steps = 0;
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    Rng rng{seed, "test.chaos"};
    SchedulerConfig config = draw_config(rng, GetParam());
    config.max_model_len = 40;
    if (rng.below(2) == 0) config.max_queued = static_cast<std::int32_t>(1 + rng.below(8));
    if (rng.below(2) == 0) config.queue_timeout = Nanos{static_cast<std::int64_t>(20 + rng.below(200))};
    const std::int32_t longest = longest_sequence(config);
    Scheduler scheduler{config};
    PrefixHash executor{config, static_cast<std::int32_t>(rng.below(5)), 60};
    std::vector<SequenceEvent> events;
    std::vector<SequenceId> ids;
    std::int64_t accepted = 0;
    std::int64_t ended = 0;
    std::int64_t work = 0;
    Nanos now{0};
    const auto meddle = [&] {
      for (std::uint64_t n = rng.below(3); n > 0; --n) {
        now += Nanos{static_cast<std::int64_t>(rng.below(20))};
        if (rng.below(3) != 0 && scheduler.stats().waiting < 40) {
          GenerateRequest request = draw_request(rng, longest);
          request.expiry = now + Nanos{static_cast<std::int64_t>(rng.below(200))};
          const Submitted submitted = scheduler.add(std::move(request), 0, now);
          if (submitted.status == SubmitStatus::accepted) {
            ++accepted;
            ids.push_back(submitted.id);
          } else {
            ASSERT_EQ(submitted.status, SubmitStatus::queue_full) << submitted.message;
          }
        } else if (!ids.empty()) {
          scheduler.cancel(ids[rng.below(ids.size())], events);
        }
        if (rng.below(4) == 0) scheduler.expire(now, events);
        if (rng.below(30) == 0) scheduler.drop_cache();
        if (rng.below(30) == 0)
          scheduler.withhold_blocks(
              static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(config.blocks))));
        if (rng.below(15) == 0) scheduler.withhold_blocks(0);
        ASSERT_EQ(scheduler.check(), "") << "seed " << seed;
      }
    };
    for (int step = 0; step < 2000; ++step) {
      meddle();
      const StepBatch& batch = scheduler.schedule(events);
      ASSERT_EQ(scheduler.check(), "") << "seed " << seed << " step " << step;
      ASSERT_EQ(batch.items.empty(), !scheduler.has_work());
      if (batch.items.empty()) continue;
      if (scheduler.stats().blocks_withheld > 0) ++cut_steps;
      std::int64_t tokens = 0;
      for (const StepItem& item : batch.items) tokens += static_cast<std::int64_t>(item.tokens.size());
      ASSERT_LE(tokens, config.max_batched_tokens);
      ASSERT_EQ(tokens, batch.prefill_tokens + batch.decode_tokens);
      meddle();
      if (rng.below(50) == 0) {
        scheduler.fail_step(events);
      } else {
        const std::vector<TokenId> sampled = executor.run(batch);
        scheduler.complete(sampled, events, executor.outcomes);
        work += tokens;
      }
      ASSERT_EQ(scheduler.check(), "") << "seed " << seed << " step " << step;
      for (const SequenceEvent& e : events) ended += e.kind == SequenceEvent::Kind::finished ? 1 : 0;
      events.clear();
    }
    // Drain: everything ends, the pool is whole again.
    scheduler.withhold_blocks(0);
    for (int step = 0; scheduler.has_work() && step < 100'000; ++step) {
      const StepBatch& batch = scheduler.schedule(events);
      for (const StepItem& item : batch.items) work += static_cast<std::int64_t>(item.tokens.size());
      const std::vector<TokenId> sampled = executor.run(batch);
      scheduler.complete(sampled, events, executor.outcomes);
      ASSERT_EQ(scheduler.check(), "");
    }
    for (const SequenceEvent& e : events) ended += e.kind == SequenceEvent::Kind::finished ? 1 : 0;
    EXPECT_EQ(ended, accepted) << "each ends exactly once; seed " << seed;
    const EngineStats& stats = scheduler.stats();
    EXPECT_EQ(stats.blocks_used, 0);
    EXPECT_EQ(stats.blocks_withheld, 0);
    EXPECT_EQ(stats.computed_tokens, work);
    EXPECT_LE(stats.expired_tokens, stats.computed_tokens);
    EXPECT_LE(stats.abandoned_tokens, stats.computed_tokens);
    EXPECT_GT(stats.requests_finished[static_cast<int>(FinishReason::length)], 0);
  }
  EXPECT_GT(cut_steps, 100);
}

// Only lengths: the same laws, and exactly what was asked for.
TEST_P(KvProperty, LengthsOnlyEndsWithWhatWasAskedFor) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    Rng rng{seed, "test.lengths"};
    SchedulerConfig config = draw_config(rng, GetParam());
    config.spec.drafts = static_cast<std::int32_t>(rng.below(5));
    Scheduler scheduler{config};
    std::vector<SequenceEvent> events;
    std::int64_t asked = 0;
    for (std::uint64_t i = 0; i < 80; ++i) {
      Lengths lengths;
      lengths.prompt_tokens = static_cast<std::int32_t>(1 + rng.below(40));
      lengths.output_tokens = static_cast<std::int32_t>(1 + rng.below(20));
      lengths.report_every = static_cast<std::int32_t>(1 + rng.below(4));
      auto parts = std::make_shared<PrefixParts>();
      const auto system =
          static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(lengths.prompt_tokens)));
      parts->push_back({rng.below(3), system});
      parts->push_back({100 + i, lengths.prompt_tokens - system});
      lengths.parts = parts;
      asked += lengths.output_tokens;
      ASSERT_EQ(scheduler.add_lengths(lengths, i, Nanos{0}).status, SubmitStatus::accepted);
    }
    for (int step = 0; scheduler.has_work() && step < 100'000; ++step) {
      (void)scheduler.schedule(events);
      ASSERT_TRUE(scheduler.step_out());
      scheduler.complete({}, events);
      ASSERT_EQ(scheduler.check(), "") << "seed " << seed << " step " << step;
    }
    ASSERT_FALSE(scheduler.has_work());
    std::map<std::uint64_t, std::int32_t> last;
    for (const SequenceEvent& e : events) {
      if (e.kind == SequenceEvent::Kind::token) {
        ASSERT_LT(last[e.tag], e.output_tokens) << "token events go forward";
        last[e.tag] = e.output_tokens;
      } else if (e.kind == SequenceEvent::Kind::finished) {
        ASSERT_EQ(last[e.tag], e.output_tokens) << "the last token is told";
      }
    }
    EXPECT_EQ(scheduler.stats().generated_tokens, asked);
    EXPECT_EQ(scheduler.stats().requests_finished[static_cast<int>(FinishReason::length)], 80);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, KvProperty, testing::ValuesIn(kv_policies), [](const auto& policy) {
  std::string name{to_string(policy.param)};
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace dsbench::engine
