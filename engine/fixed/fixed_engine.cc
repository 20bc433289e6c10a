#include "engine/fixed/fixed_engine.h"

#include <sys/prctl.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dsbench::engine {
namespace {

class FixedEngine final : public Engine {
 public:
  FixedEngine(const FixedLaw& law, const SchedulerConfig& config, SteadyClock& clock)
      : schedule_{law, config}, config_{config}, clock_{clock}, thread_{[this] { run(); }} {}

  ~FixedEngine() override {
    {
      const std::scoped_lock lock{mutex_};
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  FixedEngine(const FixedEngine&) = delete;
  FixedEngine& operator=(const FixedEngine&) = delete;

  Submitted submit(GenerateRequest request, std::shared_ptr<RequestListener> listener) override {
    const Nanos now = clock_.now();  // before the lock: a wait for it is no part of the law
    Submitted submitted;
    {
      const std::scoped_lock lock{mutex_};
      if (stopping_) return {SubmitStatus::shutting_down, 0, "the engine is shutting down"};
      submitted = schedule_.add(request, now);
      if (submitted.status != SubmitStatus::accepted) return submitted;
      listeners_.emplace(submitted.id, std::move(listener));
    }
    wake_.notify_one();
    return submitted;
  }

  void cancel(SequenceId id) override {
    {
      const std::scoped_lock lock{mutex_};
      schedule_.cancel(id, clock_.now(), events_);
    }
    wake_.notify_one();
  }

  EngineStats stats() const override {
    const std::scoped_lock lock{mutex_};
    return schedule_.stats();
  }

  const SchedulerConfig& config() const override { return config_; }

 private:
  void run() {
    // Without this the kernel may gather wake-ups for 50 µs. It concerns this thread only and cannot fail.
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    std::unique_lock lock{mutex_};
    while (!stopping_) {
      schedule_.advance(clock_.now(), events_);
      if (!events_.empty()) {
        tell(lock);
        continue;  // telling took time
      }
      if (const auto next = schedule_.next()) {
        // CLOCK_MONOTONIC is what libstdc++'s steady_clock counts.
        wake_.wait_until(lock, std::chrono::steady_clock::time_point{*next});
      } else {
        wake_.wait(lock);
      }
    }
    for (const SequenceId id : schedule_.unfinished()) schedule_.cancel(id, clock_.now(), events_);
    tell(lock);
  }

  // Hands what happened to the listeners; leaves the lock for it.
  void tell(std::unique_lock<std::mutex>& lock) {
    telling_.clear();
    for (FixedEvent& event : events_) {
      const auto it = listeners_.find(event.sequence);
      if (it == listeners_.end()) continue;
      if (event.kind == FixedEvent::Kind::finished) {
        telling_.emplace_back(std::move(event), std::move(it->second));
        listeners_.erase(it);
      } else {
        telling_.emplace_back(std::move(event), it->second);
      }
    }
    events_.clear();
    lock.unlock();
    for (const auto& [event, listener] : telling_) {
      switch (event.kind) {
        case FixedEvent::Kind::started:
          listener->started();
          break;
        case FixedEvent::Kind::tokens:
          tokens_.clear();
          for (std::int32_t i = 0; i < event.count; ++i) tokens_.push_back(fixed_token(event.position + i));
          listener->generated(tokens_);
          break;
        case FixedEvent::Kind::finished:
          listener->finished(event.finish);
          break;
      }
    }
    telling_.clear();  // a listener may end here: without the lock
    lock.lock();
  }

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  FixedSchedule schedule_;
  std::unordered_map<SequenceId, std::shared_ptr<RequestListener>> listeners_;
  std::vector<FixedEvent> events_;

  // Of the engine's thread alone.
  const SchedulerConfig config_;
  SteadyClock& clock_;
  std::vector<std::pair<FixedEvent, std::shared_ptr<RequestListener>>> telling_;
  std::vector<TokenId> tokens_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace

Result<std::unique_ptr<Engine>> start_fixed_engine(const FixedLaw& law, const SchedulerConfig& config,
                                                   SteadyClock& clock) {
  DSBENCH_CHECK(check_law(law));
  DSBENCH_CHECK(check_config(config));
  return std::make_unique<FixedEngine>(law, config, clock);
}

}  // namespace dsbench::engine
