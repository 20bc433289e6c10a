#include "engine/fixed/fixed_engine.h"

#include <unordered_map>
#include <utility>
#include <vector>

namespace dsbench::engine {
namespace {

class FixedEngine final : public Engine, private EngineDriver {
 public:
  FixedEngine(const FixedLaw& law, const SchedulerConfig& config, Clock& clock)
      : schedule_{law, config}, config_{config}, clock_{clock} {}

  ~FixedEngine() override {
    for (const SequenceId id : schedule_.unfinished()) schedule_.cancel(id, clock_.now(), events_);
    tell();
  }

  FixedEngine(const FixedEngine&) = delete;
  FixedEngine& operator=(const FixedEngine&) = delete;

  Submitted submit(GenerateRequest request, std::shared_ptr<RequestListener> listener) override {
    Submitted submitted = schedule_.add(request, clock_.now());
    if (submitted.status == SubmitStatus::accepted) listeners_.emplace(submitted.id, std::move(listener));
    return submitted;
  }

  void cancel(SequenceId id) override { schedule_.cancel(id, clock_.now(), events_); }
  EngineStats stats() const override { return schedule_.stats(); }
  const SchedulerConfig& config() const override { return config_; }
  EngineDriver* driver() override { return this; }

 private:
  std::optional<Nanos> next() const override { return events_.empty() ? schedule_.next() : Nanos{0}; }

  void advance() override {
    schedule_.advance(clock_.now(), events_);
    tell();
  }

  void tell() {
    telling_.swap(events_);  // a listener may submit or cancel
    for (const FixedEvent& event : telling_) {
      const auto it = listeners_.find(event.sequence);
      if (it == listeners_.end()) continue;
      switch (event.kind) {
        case FixedEvent::Kind::started:
          it->second->started();
          break;
        case FixedEvent::Kind::tokens:
          tokens_.clear();
          for (std::int32_t i = 0; i < event.count; ++i) tokens_.push_back(fixed_token(event.position + i));
          it->second->generated(tokens_);
          break;
        case FixedEvent::Kind::finished: {
          const auto listener = std::move(it->second);
          listeners_.erase(it);
          listener->finished(event.finish);
          break;
        }
      }
    }
    telling_.clear();
  }

  FixedSchedule schedule_;
  const SchedulerConfig config_;
  Clock& clock_;
  std::unordered_map<SequenceId, std::shared_ptr<RequestListener>> listeners_;
  std::vector<FixedEvent> events_;  // happened and not told
  std::vector<FixedEvent> telling_;
  std::vector<TokenId> tokens_;
};

}  // namespace

Result<std::unique_ptr<Engine>> make_fixed_engine(const FixedLaw& law, const SchedulerConfig& config,
                                                  Clock& clock) {
  DSBENCH_CHECK(check_law(law));
  DSBENCH_CHECK(check_config(config));
  return std::make_unique<FixedEngine>(law, config, clock);
}

}  // namespace dsbench::engine
