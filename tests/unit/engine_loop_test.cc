#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/files.h"
#include "engine/engine.h"

// Threads here wait for each other by name and never for time: nothing depends on how fast the machine is.
namespace dsbench::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

SchedulerConfig tiny() {
  SchedulerConfig config;
  config.block_size = 4;
  config.blocks = 16;
  config.max_running = 4;
  config.max_batched_tokens = 16;
  config.max_model_len = 64;
  return config;
}

// A clock that several threads may read and the test moves.
class SharedClock final : public Clock {
 public:
  Nanos now() const override {
    const std::scoped_lock lock{mutex_};
    return now_;
  }
  void sleep_until(Nanos) override {}
  void set(Nanos now) {
    const std::scoped_lock lock{mutex_};
    now_ = now;
  }

 private:
  mutable std::mutex mutex_;
  Nanos now_{0};
};

// What the test and the fake executor share: how many steps may run, and what they do.
class Gate {
 public:
  void allow(int steps) {
    {
      const std::scoped_lock lock{mutex_};
      allowed_ += steps;
    }
    changed_.notify_all();
  }
  // By the executor, at the beginning of a step.
  int enter() {
    std::unique_lock lock{mutex_};
    ++entered_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return allowed_ >= entered_; });
    return entered_;
  }
  void wait_until_inside(int step) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return entered_ >= step; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int allowed_ = 0;
  int entered_ = 0;
};

constexpr int for_ever = 1'000'000;

// The successor of a token is the next letter; step number `fails_at` fails, `throws_at` throws.
class FakeExecutor final : public Executor {
 public:
  explicit FakeExecutor(std::shared_ptr<Gate> gate, int fails_at = -1, int throws_at = -1)
      : gate_{std::move(gate)}, fails_at_{fails_at}, throws_at_{throws_at} {}
  Result<Nanos> execute(const StepBatch& batch, std::span<TokenId> sampled) override {
    const int step = gate_->enter();
    if (step == fails_at_) return fail(ErrorKind::internal, "the device fell off the bus");
    if (step == throws_at_) throw std::runtime_error("out of luck");
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      if (batch.items[i].sample) sampled[i] = batch.items[i].tokens.back() + 1;
    }
    return Nanos{1000};
  }
  std::string describe() const override { return "fake"; }

 private:
  std::shared_ptr<Gate> gate_;
  int fails_at_;
  int throws_at_;
};

class Client final : public RequestListener {
 public:
  void started() override {
    note([&] { started_ = true; });
  }
  void generated(std::span<const TokenId> tokens) override {
    note([&] {
      EXPECT_FALSE(finish_) << "a token after the end";
      for (const TokenId t : tokens) text_.push_back(static_cast<char>(t));
    });
  }
  void finished(const Finish& finish) override {
    note([&] {
      EXPECT_FALSE(finish_) << "ended twice";
      finish_ = finish;
    });
  }
  Finish wait() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return finish_.has_value(); });
    return *finish_;
  }
  void wait_for_tokens(std::size_t n) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return text_.size() >= n; });
  }
  std::string text() {
    const std::scoped_lock lock{mutex_};
    return text_;
  }
  bool has_started() {
    const std::scoped_lock lock{mutex_};
    return started_;
  }

 private:
  void note(const std::function<void()>& f) {
    {
      const std::scoped_lock lock{mutex_};
      f();
    }
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;
  std::string text_;
  std::optional<Finish> finish_;
};

struct Bench {
  explicit Bench(SchedulerConfig config = tiny(), int fails_at = -1, int throws_at = -1,
                 const std::string& log = "")
      : gate{std::make_shared<Gate>()},
        engine{start_engine(config, std::make_unique<FakeExecutor>(gate, fails_at, throws_at), clock, log)
                   .value()} {}
  ~Bench() { gate->allow(for_ever); }

  std::shared_ptr<Client> submit(std::string_view prompt, std::int32_t max_tokens, SequenceId* id = nullptr) {
    auto client = std::make_shared<Client>();
    GenerateRequest request{.prompt = {prompt.begin(), prompt.end()}, .max_tokens = max_tokens};
    const Submitted submitted = engine->submit(std::move(request), client);
    EXPECT_EQ(submitted.status, SubmitStatus::accepted) << submitted.message;
    if (id != nullptr) *id = submitted.id;
    return client;
  }

  SharedClock clock;
  std::shared_ptr<Gate> gate;
  std::unique_ptr<Engine> engine;
};

TEST(Engine, StreamsWhatWasAskedFor) {
  Bench bench;
  bench.gate->allow(for_ever);
  const auto a = bench.submit("xa", 3);
  const auto b = bench.submit("m", 5);
  const Finish finish = a->wait();
  EXPECT_EQ(finish.reason, FinishReason::length);
  EXPECT_EQ(finish.prompt_tokens, 2);
  EXPECT_EQ(finish.output_tokens, 3);
  EXPECT_EQ(a->text(), "bcd");
  EXPECT_TRUE(a->has_started());
  (void)b->wait();
  EXPECT_EQ(b->text(), "nopqr");
  const EngineStats stats = bench.engine->stats();
  EXPECT_EQ(stats.generated_tokens, 8);
  EXPECT_EQ(stats.blocks_used, 0);
  EXPECT_EQ(stats.busy, stats.steps * Nanos{1000});
}

TEST(Engine, CancelInTheMiddleOfAStreamReturnsItsBlocks) {
  Bench bench;
  SequenceId id = 0;
  const auto client = bench.submit("a", 40, &id);
  bench.gate->allow(6);
  bench.gate->wait_until_inside(7);  // inside the seventh step
  EXPECT_EQ(bench.engine->stats().blocks_used, 2);
  bench.engine->cancel(id);
  bench.gate->allow(1);
  const Finish finish = client->wait();
  EXPECT_EQ(finish.reason, FinishReason::aborted);
  EXPECT_EQ(finish.output_tokens, 6);
  EXPECT_EQ(client->text(), "bcdefg");
  EXPECT_EQ(bench.engine->stats().blocks_used, 0);
  EXPECT_EQ(bench.engine->stats().abandoned_tokens, 7);
  bench.engine->cancel(id);  // ended: ignored
  bench.gate->allow(for_ever);
  EXPECT_EQ(bench.submit("a", 2)->wait().reason, FinishReason::length);
}

TEST(Engine, GoesOnAcceptingAndRefusingWhileAStepRuns) {
  SchedulerConfig config = tiny();
  config.max_queued = 2;
  Bench bench{config};
  const auto a = bench.submit("a", 2);
  bench.gate->wait_until_inside(1);
  const auto b = bench.submit("b", 2);
  const auto c = bench.submit("c", 2);
  const Submitted refused = bench.engine->submit({.prompt = {1}}, std::make_shared<Client>());
  EXPECT_EQ(refused.status, SubmitStatus::queue_full);
  EXPECT_EQ(bench.engine->submit({.prompt = {1}, .max_tokens = 64}, std::make_shared<Client>()).message,
            "asked for 1 prompt tokens + 64 max_tokens = 65; the longest sequence here is 64 tokens "
            "(max_model_len)");
  EXPECT_EQ(bench.engine->stats().waiting, 2);
  EXPECT_EQ(bench.engine->stats().requests_refused, 1);
  bench.gate->allow(for_ever);
  for (const auto& client : {a, b, c}) EXPECT_EQ(client->wait().reason, FinishReason::length);
}

TEST(Engine, AFailedStepFailsItsRequestsAndNoOther) {
  for (const bool throws : {false, true}) {
    SchedulerConfig config = tiny();
    config.max_running = 1;
    Bench bench{config, throws ? -1 : 2, throws ? 2 : -1};
    const auto victim = bench.submit("a", 5);
    const auto next = bench.submit("k", 2);
    bench.gate->allow(for_ever);
    const Finish finish = victim->wait();
    EXPECT_EQ(finish.reason, FinishReason::failed);
    EXPECT_EQ(finish.message, throws ? "the executor threw: out of luck" : "the device fell off the bus");
    EXPECT_EQ(victim->text(), "b");
    EXPECT_EQ(next->wait().reason, FinishReason::length);
    EXPECT_EQ(next->text(), "lm");
    EXPECT_EQ(bench.engine->stats().blocks_used, 0);
  }
}

TEST(Engine, AQueueTimeoutFiresAtTheEndOfALongStep) {
  SchedulerConfig config = tiny();
  config.max_running = 1;
  config.queue_timeout = Nanos{1'000};
  Bench bench{config};
  const auto runs = bench.submit("a", 3);
  bench.gate->wait_until_inside(1);
  const auto waits = bench.submit("b", 3);
  bench.clock.set(Nanos{2'000});
  bench.gate->allow(1);
  EXPECT_EQ(waits->wait().reason, FinishReason::queue_timeout);
  EXPECT_FALSE(waits->has_started());
  bench.gate->allow(for_ever);
  EXPECT_EQ(runs->wait().reason, FinishReason::length);
}

TEST(Engine, DestructionAbortsWhatIsLeft) {
  std::shared_ptr<Client> running;
  std::shared_ptr<Client> waiting;
  {
    SchedulerConfig config = tiny();
    config.max_running = 1;
    Bench bench{config};
    running = bench.submit("a", 50);
    waiting = bench.submit("b", 50);
    bench.gate->wait_until_inside(1);
    // The destructor has to wait for the step; let it go from another thread.
    std::thread opener{[gate = bench.gate] { gate->allow(for_ever); }};
    bench.engine.reset();
    opener.join();
  }
  // Either may have come to its natural end had the engine been quick; with 50 tokens asked it says which.
  for (const auto& client : {running, waiting}) {
    const FinishReason reason = client->wait().reason;
    EXPECT_TRUE(reason == FinishReason::aborted || reason == FinishReason::length);
  }
}

TEST(Engine, ManyThreadsSubmitAndCancel) {
  SchedulerConfig config = tiny();
  config.queue_timeout = Nanos{1'000'000};
  Bench bench{config};
  bench.gate->allow(for_ever);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&bench, t] {
      for (int i = 0; i < 200; ++i) {
        SequenceId id = 0;
        const auto client = bench.submit("abc", 1 + (i + t) % 9, &id);
        if (i % 3 == 0) bench.engine->cancel(id);
        (void)bench.engine->stats();
        const Finish finish = client->wait();
        EXPECT_TRUE(finish.reason == FinishReason::length || finish.reason == FinishReason::aborted);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const EngineStats stats = bench.engine->stats();
  EXPECT_EQ(stats.running + stats.waiting, 0);
  EXPECT_EQ(stats.blocks_used, 0);
  EXPECT_EQ(stats.requests_finished[1] + stats.requests_finished[2], 800);
}

TEST(Engine, WritesOneLineAStep) {
  const auto path = std::filesystem::path(testing::TempDir()) / "dsbench_engine_step_log.csv";
  {
    Bench bench{tiny(), -1, -1, path.string()};
    const auto client = bench.submit("abcde", 3);
    bench.gate->allow(for_ever);
    (void)client->wait();
  }
  EXPECT_EQ(read_file(path).value(),
            "step,start_ns,duration_ns,prefill_tokens,decode_tokens,kv_tokens,sequences,waiting,blocks_used,"
            "preemptions,recomputed_tokens,cached_tokens,expired_tokens,draft_tokens,accepted_drafts,"
            "expert_imbalance,tried_drafts,acceptance_set,abandoned_tokens,attempts,retries\n"
            "1,0,1000,5,0,5,1,0,2,0,0,0,0,0,0,0,0,,0,1,0\n"
            "2,0,1000,0,1,6,1,0,2,0,0,0,0,0,0,0,0,,0,0,0\n"
            "3,0,1000,0,1,7,1,0,2,0,0,0,0,0,0,0,0,,0,0,0\n");
  std::filesystem::remove(path);
}

TEST(Engine, RefusesToStartWithWhatCannotWork) {
  SharedClock clock;
  const auto gate = std::make_shared<Gate>();
  SchedulerConfig config = tiny();
  config.max_running = 0;
  const auto bad_config = start_engine(config, std::make_unique<FakeExecutor>(gate), clock);
  ASSERT_FALSE(bad_config);
  EXPECT_EQ(bad_config.error().message, "scheduler: max_running is 0; it must be at least 1");
  const auto bad_path =
      start_engine(tiny(), std::make_unique<FakeExecutor>(gate), clock, "/nowhere/at/all.csv");
  ASSERT_FALSE(bad_path);
  EXPECT_EQ(bad_path.error().message,
            "cannot write the step log '/nowhere/at/all.csv': No such file or directory");
}

}  // namespace
}  // namespace dsbench::engine
