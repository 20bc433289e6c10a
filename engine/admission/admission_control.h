#pragma once

#include <cstdint>
#include <optional>

#include "core/units.h"
#include "engine/admission/account_limits.h"
#include "engine/admission/gradient_limit.h"
#include "engine/admission/overload_config.h"
#include "engine/admission/refusal_cause.h"
#include "engine/admission/wait_predictor.h"
#include "engine/request.h"

namespace dsbench::engine {

// Whose request it is, in the form that the scheduler keeps.
struct Caller {
  std::uint64_t account = 0;  // a hash of the name
  std::int32_t priority = 0;
  std::uint8_t tenant = 0;  // index into OverloadConfig::tenants
  Nanos expiry = Nanos::max();
};

// The one place that decides who is let in. A pure state machine, like the scheduler that owns it: time comes
// in with the calls.
class AdmissionControl {
 public:
  // `ceiling`: the most that could ever be of use in flight, for the adaptive limit.
  AdmissionControl(const OverloadConfig& config, std::optional<std::int32_t> max_queued,
                   std::int32_t ceiling);

  // The state that a decision rests on.
  struct Load {
    std::int64_t running = 0;         // admitted: running or preempted
    std::int64_t waiting = 0;         // not admitted yet
    std::int64_t waiting_tokens = 0;  // their prompts
    std::int64_t ahead = 0;           // of the waiting, those that would go before the caller
    std::int64_t backlog_tokens = 0;  // prompt tokens that are not computed yet, of those and of the admitted
  };
  struct Refusal {
    RefusalCause cause = RefusalCause::queue_requests;
    Submitted submitted;
  };
  // Nothing when it may come in; it is in from then on, until left().
  [[nodiscard]] std::optional<Refusal> enter(const Caller& caller, std::int32_t prompt_tokens,
                                             std::int32_t max_tokens, const Load& load, Nanos now);
  void left(const Caller& caller);

  // A step took `time`.
  struct StepSeen {
    std::int64_t prompt_tokens = 0;
    std::int64_t decode_tokens = 0;
    std::int64_t admitted = 0;  // requests that were let in for it, for the first time
  };
  void step(Nanos time, const StepSeen& step, const Load& load);

  // How many may run: the adaptive limit where there is one.
  [[nodiscard]] std::optional<std::int32_t> running_limit() const;
  [[nodiscard]] bool wants_steps() const { return predictor_ || gradient_; }

 private:
  [[nodiscard]] std::optional<Refusal> judge(const Caller& caller, std::int32_t prompt_tokens,
                                             std::int32_t max_tokens, const Load& load, Nanos now) const;
  OverloadConfig config_;
  std::optional<std::int32_t> max_queued_;
  std::optional<AccountTable> accounts_;
  std::optional<WaitPredictor> predictor_;
  std::optional<GradientLimit> gradient_;
};

}  // namespace dsbench::engine
