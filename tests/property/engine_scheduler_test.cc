#include "engine/scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "core/rng.h"
#include "core/units.h"

namespace dsbench::engine {
namespace {

// An executor whose KV slots hold the tokens themselves, and whose next token is a hash of the whole known
// prefix as read back through the block table. A block handed to two sequences, a position not recomputed, a
// table in the wrong order: each changes the tokens that come out.
class PrefixHash {
 public:
  explicit PrefixHash(const SchedulerConfig& config)
      : block_size_{config.block_size},
        kv_(static_cast<std::size_t>(config.blocks * config.block_size), -1) {}

  std::vector<TokenId> run(const StepBatch& batch) {
    std::vector<TokenId> sampled(batch.items.size(), -1);
    for (const StepItem& item : batch.items) {
      for (std::size_t i = 0; i < item.tokens.size(); ++i)
        at(item, item.start + static_cast<std::int32_t>(i)) = item.tokens[i];
    }
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      const StepItem& item = batch.items[i];
      if (!item.sample) continue;
      std::uint64_t hash = item.seed;
      const auto end = item.start + static_cast<std::int32_t>(item.tokens.size());
      for (std::int32_t p = 0; p < end; ++p)
        hash = (hash ^ static_cast<std::uint64_t>(at(item, p))) * 0x100000001B3ULL;
      sampled[i] = static_cast<TokenId>((hash >> 20) % 251);
    }
    return sampled;
  }

 private:
  TokenId& at(const StepItem& item, std::int32_t position) {
    const std::int32_t block = item.blocks[static_cast<std::size_t>(position / block_size_)];
    return kv_[static_cast<std::size_t>(block * block_size_ + position % block_size_)];
  }
  std::int32_t block_size_;
  std::vector<TokenId> kv_;
};

GenerateRequest draw_request(Rng& rng, std::int32_t longest) {
  GenerateRequest request;
  const auto prompt = 1 + rng.below(static_cast<std::uint64_t>(longest) / 2);
  for (std::uint64_t i = 0; i < prompt; ++i) request.prompt.push_back(static_cast<TokenId>(rng.below(251)));
  request.max_tokens = static_cast<std::int32_t>(1 + rng.below(static_cast<std::uint64_t>(longest) - prompt));
  request.min_tokens = static_cast<std::int32_t>(rng.below(4));
  request.ignore_eos = rng.below(2) == 0;
  request.seed = rng.next();
  return request;
}

using Outputs = std::map<std::uint64_t, std::vector<TokenId>>;  // by tag

Outputs run_all(const SchedulerConfig& config, const std::vector<GenerateRequest>& requests,
                EngineStats& stats) {
  Scheduler scheduler{config};
  PrefixHash executor{config};
  Outputs outputs;
  std::vector<SequenceEvent> events;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(scheduler.add(requests[i], i, Nanos{0}).status, SubmitStatus::accepted);
  }
  for (int step = 0; scheduler.has_work() && step < 1'000'000; ++step) {
    const StepBatch& batch = scheduler.schedule(events);
    if (batch.items.empty()) ADD_FAILURE() << "idle with work at hand";
    if (batch.items.empty()) break;
    scheduler.complete(executor.run(batch), events);
    for (const SequenceEvent& e : events) {
      if (e.kind == SequenceEvent::Kind::token) outputs[e.tag].push_back(e.token);
    }
    events.clear();
    const auto broken = scheduler.check();
    EXPECT_EQ(broken, "");
    if (!broken.empty()) break;
  }
  stats = scheduler.stats();
  return outputs;
}

TEST(SchedulerProperty, PreemptedAndResumedGivesTheTokensOfNeverPreempted) {
  std::int64_t preemptions = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Rng rng{seed, "test.requests"};
    SchedulerConfig small;
    small.block_size = static_cast<std::int32_t>(1 + rng.below(7));
    small.blocks = 60 / small.block_size + 1;
    small.max_running = static_cast<std::int32_t>(2 + rng.below(9));
    small.max_batched_tokens = static_cast<std::int32_t>(3 + rng.below(30));
    small.max_model_len = 60;
    small.eos_token = 17;
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 60; ++i) requests.push_back(draw_request(rng, 60));
    SchedulerConfig ample = small;
    ample.blocks = 10'000;
    ample.max_batched_tokens = 10'000;
    EngineStats pressed;
    EngineStats easy;
    const Outputs under_pressure = run_all(small, requests, pressed);
    const Outputs at_ease = run_all(ample, requests, easy);
    EXPECT_EQ(under_pressure, at_ease) << "seed " << seed;
    EXPECT_EQ(easy.preemptions, 0);
    EXPECT_EQ(easy.recomputed_tokens, 0);
    // The ledger: what was computed beyond the ample run was computed again.
    EXPECT_EQ(pressed.computed_tokens - pressed.recomputed_tokens, easy.computed_tokens) << "seed " << seed;
    EXPECT_EQ(pressed.prompt_tokens, easy.prompt_tokens);
    EXPECT_EQ(pressed.generated_tokens, easy.generated_tokens);
    preemptions += pressed.preemptions;
  }
  EXPECT_GT(preemptions, 100) << "the test must preempt to mean anything";
  RecordProperty("preemptions", std::to_string(preemptions));
}

// Anything may happen between any two calls, also while a step is out; every law holds after each.
TEST(SchedulerProperty, LawsHoldUnderRandomAddsCancelsTimeAndFailures) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng{seed, "test.chaos"};
    SchedulerConfig config;
    config.block_size = static_cast<std::int32_t>(1 + rng.below(5));
    config.blocks = static_cast<std::int32_t>(5 + rng.below(12));
    config.max_running = static_cast<std::int32_t>(1 + rng.below(6));
    config.max_batched_tokens = static_cast<std::int32_t>(1 + rng.below(20));
    config.max_model_len = 40;
    config.eos_token = 3;
    if (rng.below(2) == 0) config.max_queued = static_cast<std::int32_t>(1 + rng.below(8));
    if (rng.below(2) == 0) config.queue_timeout = Nanos{static_cast<std::int64_t>(20 + rng.below(200))};
    const std::int32_t longest = longest_sequence(config);
    Scheduler scheduler{config};
    PrefixHash executor{config};
    std::vector<SequenceEvent> events;
    std::vector<SequenceId> ids;
    std::int64_t accepted = 0;
    std::int64_t refused = 0;
    std::int64_t ended = 0;
    std::int64_t work = 0;
    Nanos now{0};
    const auto meddle = [&] {
      for (std::uint64_t n = rng.below(3); n > 0; --n) {
        now += Nanos{static_cast<std::int64_t>(rng.below(20))};
        if (rng.below(3) != 0 && scheduler.stats().waiting < 40) {
          const Submitted submitted = scheduler.add(draw_request(rng, longest), 0, now);
          if (submitted.status == SubmitStatus::accepted) {
            ++accepted;
            ids.push_back(submitted.id);
          } else {
            ASSERT_EQ(submitted.status, SubmitStatus::queue_full) << submitted.message;
            ++refused;
          }
        } else if (!ids.empty()) {
          scheduler.cancel(ids[rng.below(ids.size())], events);
        }
        if (rng.below(4) == 0) scheduler.expire(now, events);
        ASSERT_EQ(scheduler.check(), "") << "seed " << seed;
      }
    };
    for (int step = 0; step < 3000; ++step) {
      meddle();
      const StepBatch& batch = scheduler.schedule(events);
      ASSERT_EQ(scheduler.check(), "") << "seed " << seed << " step " << step;
      ASSERT_EQ(batch.items.empty(), !scheduler.has_work());
      if (batch.items.empty()) continue;
      std::int64_t tokens = 0;
      for (const StepItem& item : batch.items) tokens += static_cast<std::int64_t>(item.tokens.size());
      ASSERT_LE(tokens, config.max_batched_tokens);
      ASSERT_EQ(tokens, batch.prefill_tokens + batch.decode_tokens);
      meddle();
      if (rng.below(50) == 0) {
        scheduler.fail_step(events);
      } else {
        scheduler.complete(executor.run(batch), events);
        work += tokens;
      }
      ASSERT_EQ(scheduler.check(), "") << "seed " << seed << " step " << step;
      for (const SequenceEvent& e : events) ended += e.kind == SequenceEvent::Kind::finished ? 1 : 0;
      events.clear();
    }
    // Drain: everything ends, the pool is whole again.
    for (int step = 0; scheduler.has_work() && step < 100'000; ++step) {
      const StepBatch& batch = scheduler.schedule(events);
      for (const StepItem& item : batch.items) work += static_cast<std::int64_t>(item.tokens.size());
      scheduler.complete(executor.run(batch), events);
      ASSERT_EQ(scheduler.check(), "");
    }
    for (const SequenceEvent& e : events) ended += e.kind == SequenceEvent::Kind::finished ? 1 : 0;
    EXPECT_EQ(ended, accepted) << "each ends exactly once; seed " << seed;
    const EngineStats& stats = scheduler.stats();
    EXPECT_EQ(stats.requests_refused, refused);
    EXPECT_EQ(stats.blocks_used, 0);
    EXPECT_EQ(stats.computed_tokens, work);
    EXPECT_LE(stats.abandoned_tokens + stats.recomputed_tokens, 2 * stats.computed_tokens);
    EXPECT_GT(stats.requests_finished[static_cast<int>(FinishReason::length)], 0);
  }
}

}  // namespace
}  // namespace dsbench::engine
