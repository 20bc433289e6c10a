#include "engine/engine.h"

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/scheduler/scheduler.h"
#include "engine/step_log.h"

namespace dsbench::engine {
namespace {

// The one lock guards the scheduler, which anybody may add to and cancel from at any time; its step is out to
// the executor without the lock. What happened to sequences is collected in events_ and told to the listeners
// on the engine's thread only, without the lock too.
class ThreadedEngine final : public Engine {
 public:
  ThreadedEngine(const SchedulerConfig& config, std::unique_ptr<Executor> executor, Clock& clock,
                 std::optional<StepLog> step_log)
      : scheduler_{config},
        config_{config},
        executor_{std::move(executor)},
        clock_{clock},
        step_log_{std::move(step_log)},
        thread_{[this] { run(); }} {}

  ~ThreadedEngine() override {
    {
      const std::scoped_lock lock{mutex_};
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  ThreadedEngine(const ThreadedEngine&) = delete;
  ThreadedEngine& operator=(const ThreadedEngine&) = delete;

  Submitted submit(GenerateRequest request, std::shared_ptr<RequestListener> listener) override {
    const Nanos now = clock_.now();
    Submitted submitted;
    {
      const std::scoped_lock lock{mutex_};
      if (stopping_) return {SubmitStatus::shutting_down, 0, "the engine is shutting down"};
      submitted = scheduler_.add(std::move(request), 0, now);
      if (submitted.status != SubmitStatus::accepted) return submitted;
      listeners_.emplace(submitted.id, std::move(listener));
    }
    wake_.notify_one();
    return submitted;
  }

  void cancel(SequenceId id) override {
    {
      const std::scoped_lock lock{mutex_};
      scheduler_.cancel(id, events_);
    }
    wake_.notify_one();
  }

  void withhold_blocks(std::int32_t blocks) override {
    const std::scoped_lock lock{mutex_};
    scheduler_.withhold_blocks(blocks);
  }

  void drop_cache() override {
    const std::scoped_lock lock{mutex_};
    scheduler_.drop_cache();
  }

  EngineStats stats() const override {
    const std::scoped_lock lock{mutex_};
    EngineStats stats = scheduler_.stats();
    stats.busy = busy_;
    stats.expert_imbalance = expert_imbalance_;
    stats.expert_steps = expert_steps_;
    stats.acceptance_set = config_.spec.acceptance_set;
    return stats;
  }

  const SchedulerConfig& config() const override { return config_; }

 private:
  void run() {
    std::unique_lock lock{mutex_};
    for (;;) {
      // Whoever waits can always be scheduled sooner or later, so without work nobody waits, and no queue
      // timeout can be due.
      wake_.wait(lock, [&] { return stopping_ || !events_.empty() || scheduler_.has_work(); });
      if (stopping_) break;
      scheduler_.expire(clock_.now(), events_);
      const EngineStats before = scheduler_.stats();
      const StepBatch& batch = scheduler_.schedule(events_);
      StepRecord record;
      record.preemptions = scheduler_.stats().preemptions - before.preemptions;
      record.waiting = scheduler_.stats().waiting;
      record.blocks_used = scheduler_.stats().blocks_used;
      tell(lock, "");
      if (scheduler_.step_out()) step(lock, batch, record, before);
    }
    for (const SequenceId id : scheduler_.unfinished()) scheduler_.cancel(id, events_);
    tell(lock, "");
  }

  void step(std::unique_lock<std::mutex>& lock, const StepBatch& batch, StepRecord& record,
            const EngineStats& before) {
    lock.unlock();
    record.start = clock_.now();
    sampled_.assign(batch.items.size(), TokenId{0});
    const Result<Nanos> took = execute(batch);
    record.duration = took.value_or(clock_.now() - record.start);
    record.prefill_tokens = batch.prefill_tokens;
    record.decode_tokens = batch.decode_tokens;
    record.kv_tokens = batch.kv_tokens;
    record.sequences = static_cast<std::int64_t>(batch.items.size());
    lock.lock();
    scheduler_.step_took(record.duration);
    if (took) {
      const StepReport& report = executor_->report();
      scheduler_.complete(sampled_, events_, report.drafts);
      record.expert_imbalance = report.expert_imbalance;
      if (report.expert_imbalance > 0) {
        expert_imbalance_ += report.expert_imbalance;
        ++expert_steps_;
      }
    } else {
      scheduler_.fail_step(events_);
    }
    busy_ += record.duration;
    const EngineStats& after = scheduler_.stats();
    record.step = after.steps;
    record.recomputed_tokens = after.recomputed_tokens - before.recomputed_tokens;
    record.cached_tokens = after.prefix_hits - before.prefix_hits + after.recompute_avoided_tokens -
                           before.recompute_avoided_tokens;
    record.expired_tokens = after.expired_tokens - before.expired_tokens;
    record.draft_tokens = after.draft_tokens - before.draft_tokens;
    record.accepted_drafts = after.accepted_drafts - before.accepted_drafts;
    record.tried_drafts = after.tried_drafts - before.tried_drafts;
    record.acceptance_set = config_.spec.acceptance_set;
    record.abandoned_tokens = after.abandoned_tokens - logged_.abandoned_tokens;
    record.attempts = after.attempts - logged_.attempts;
    record.retries = after.retries - logged_.retries;
    if (step_log_ && took) {
      step_log_->write(record);
      logged_ = after;
    }
    tell(lock, took ? std::string_view{} : std::string_view{took.error().message});
  }

  // An executor's allocation that fails is one failed step, not the end of the engine.
  Result<Nanos> execute(const StepBatch& batch) {
    try {
      return executor_->execute(batch, sampled_);
    } catch (const std::exception& e) {
      return fail(ErrorKind::internal, "the executor threw: {}", e.what());
    }
  }

  // What fails without a failed step is what the scheduler cannot run.
  static std::string message_of(FinishReason reason, std::string_view failure) {
    if (reason != FinishReason::failed) return {};
    return failure.empty() ? "the KV cache was cut, and what is left of it is too small for this request"
                           : std::string(failure);
  }

  // Hands what happened to the listeners; leaves the lock for it. `failure` goes with those that failed.
  void tell(std::unique_lock<std::mutex>& lock, std::string_view failure) {
    if (events_.empty()) return;
    telling_.clear();
    for (const SequenceEvent& event : events_) {
      const auto it = listeners_.find(event.sequence);
      if (it == listeners_.end()) continue;
      if (event.kind == SequenceEvent::Kind::finished) {
        telling_.emplace_back(event, std::move(it->second));
        listeners_.erase(it);
      } else {
        telling_.emplace_back(event, it->second);
      }
    }
    events_.clear();
    lock.unlock();
    for (const auto& [event, listener] : telling_) {
      switch (event.kind) {
        case SequenceEvent::Kind::started:
          listener->started();
          break;
        case SequenceEvent::Kind::token:
          listener->generated(std::span{&event.token, 1});
          break;
        case SequenceEvent::Kind::finished:
          listener->finished({event.reason, event.prompt_tokens, event.output_tokens, event.cached_tokens,
                              message_of(event.reason, failure)});
          break;
      }
    }
    telling_.clear();  // a listener may end here: without the lock
    lock.lock();
  }

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  Scheduler scheduler_;
  std::unordered_map<SequenceId, std::shared_ptr<RequestListener>> listeners_;
  std::vector<SequenceEvent> events_;
  Nanos busy_{0};
  double expert_imbalance_ = 0;  // see EngineStats
  std::int64_t expert_steps_ = 0;

  // Of the engine's thread alone.
  const SchedulerConfig config_;
  std::unique_ptr<Executor> executor_;
  Clock& clock_;
  std::optional<StepLog> step_log_;
  EngineStats logged_;  // as of its last line
  std::vector<TokenId> sampled_;
  std::vector<std::pair<SequenceEvent, std::shared_ptr<RequestListener>>> telling_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace

Result<std::unique_ptr<Engine>> start_engine(const SchedulerConfig& config,
                                             std::unique_ptr<Executor> executor, Clock& clock,
                                             const std::string& step_log) {
  DSBENCH_CHECK(check_config(config));
  std::optional<StepLog> log;
  if (!step_log.empty()) {
    DSBENCH_TRY(log, StepLog::open(step_log));
  }
  return std::make_unique<ThreadedEngine>(config, std::move(executor), clock, std::move(log));
}

}  // namespace dsbench::engine
