#include "loadgen/virtual_runner.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace dsbench::loadgen {
namespace {

// A target that names the same instant again and again without anything happening would hold the loop for
// ever.
constexpr int most_idle_turns = 1'000'000;

class VirtualRunner final : public Runner {
 public:
  VirtualRunner(VirtualTarget& target, ClientPolicies policies, SharedSource source, std::uint64_t seed,
                results::RecordSink& sink, std::atomic<bool>& stop)
      : target_{target}, machine_{std::move(policies), std::move(source), seed, 0, sink}, stop_{stop} {}

  [[nodiscard]] Nanos now() const override { return now_; }

  Result<void> offer(std::span<const Arrival> arrivals, Nanos until) override {
    machine_.wake_sessions(now_);
    machine_.add(arrivals);
    for (;;) {
      if (stop_.load(std::memory_order_relaxed)) {
        const std::size_t forgotten = machine_.pending();
        machine_.drop_arrivals();
        return fail(ErrorKind::interrupted,
                    "interrupted at {:.3f} s of virtual time; {} arrivals were not offered", to_seconds(now_),
                    forgotten);
      }
      const auto next = next_instant();
      if (!next || *next > until) break;
      DSBENCH_CHECK(turn(*next));
    }
    now_ = std::max(now_, until);
    return {};
  }

  Result<std::size_t> drain(Nanos deadline) override {
    machine_.rest_sessions(now_);
    while (machine_.in_flight() > 0) {
      const auto next = next_instant();
      if (!next || *next > deadline) {
        now_ = std::max(now_, deadline);
        break;
      }
      DSBENCH_CHECK(turn(*next));
    }
    return machine_.in_flight();
  }

  void abandon() override {
    machine_.abandon(now_, actions_);
    carry_out();
  }

  [[nodiscard]] std::size_t in_flight() const override { return machine_.in_flight(); }

  [[nodiscard]] GeneratorHealth health() override {
    GeneratorHealth health;
    health.unsent = machine_.unsent() - unsent_before_;
    unsent_before_ = machine_.unsent();
    return health;
  }

 private:
  [[nodiscard]] std::optional<Nanos> next_instant() const {
    std::optional<Nanos> next = machine_.next_deadline();
    if (const auto event = target_.next_event(); event && (!next || *event < *next)) next = event;
    if (next) next = std::max(*next, now_);
    return next;
  }

  Result<void> turn(Nanos at) {
    idle_turns_ = at > now_ ? 0 : idle_turns_ + 1;
    now_ = at;
    if (const auto event = target_.next_event(); event && *event <= now_) {
      events_.clear();
      target_.advance(now_, events_);
      for (const TargetEvent& e : events_) machine_.on_event(e, actions_);
      if (!events_.empty()) idle_turns_ = 0;
      carry_out();
    }
    machine_.on_time(now_, actions_);
    if (!actions_.empty()) idle_turns_ = 0;
    carry_out();
    if (idle_turns_ > most_idle_turns) {
      return fail(ErrorKind::internal,
                  "the virtual target announces an event at {} ns again and again, and none comes",
                  now_.count());
    }
    return {};
  }

  void carry_out() {
    // The machine answers a `sent` with no action, so nothing is appended while we read.
    for (const Action& action : actions_) {
      if (action.kind == Action::Kind::cancel) {
        target_.cancel(action.attempt.request, action.attempt.attempt, now_);
        continue;
      }
      target_.submit(action.attempt, now_);
      TargetEvent sent;
      sent.request = action.attempt.request;
      sent.attempt = action.attempt.attempt;
      sent.kind = EventKind::sent;
      sent.at = now_;
      machine_.on_event(sent, none_);
    }
    actions_.clear();
  }

  VirtualTarget& target_;
  LoadMachine machine_;
  std::atomic<bool>& stop_;
  Nanos now_{0};
  std::uint64_t unsent_before_ = 0;
  int idle_turns_ = 0;
  std::vector<Action> actions_;
  std::vector<Action> none_;
  std::vector<TargetEvent> events_;
};

}  // namespace

std::unique_ptr<Runner> make_virtual_runner(VirtualTarget& target, ClientPolicies policies,
                                            SharedSource source, std::uint64_t seed,
                                            results::RecordSink& sink, std::atomic<bool>& stop) {
  return std::make_unique<VirtualRunner>(target, std::move(policies), std::move(source), seed, sink, stop);
}

}  // namespace dsbench::loadgen
