#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "core/clock.h"
#include "engine/executors/cost_model.h"
#include "engine/executors/executor.h"

namespace dsbench::engine {

struct CostExecutorOptions {
  // The chance of each token to be end-of-sequence; 0 never ends a request before its max_tokens.
  double end_probability = 0;
  TokenId end_token = -1;
  // Guesses a step, and the chance of each to be right.
  std::int32_t drafts = 0;
  double draft_acceptance = 0.7;
  // Steps take so many times as long as the law says; may change at any time, must outlive the executor.
  const std::atomic<double>* slowdown = nullptr;
};

// Computes nothing and takes as long as the cost model says, so that `serve` behaves like hardware that is
// not here. The tokens are lower-case letters, a function of (seed, position) like real sampled ones.
//
// Sleeping always ends late, and the scheduler takes its time between two steps; added to every step that
// would make the hardware slower than its law. So a step that follows the last one closely is timed from
// where the last one should have ended.
class CostExecutor final : public Executor {
 public:
  CostExecutor(const profiles::HardwareProfile& hardware, Clock& clock, CostExecutorOptions options = {});

  Result<Nanos> execute(const StepBatch& batch, std::span<TokenId> sampled) override;
  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] const StepReport& report() const override { return report_; }

  // Steps outside the measured range of the law so far. From any thread.
  [[nodiscard]] std::int64_t extrapolated_steps() const {
    return extrapolated_.load(std::memory_order_relaxed);
  }

 private:
  [[nodiscard]] TokenId token_at(std::uint64_t seed, std::int64_t position) const;
  void propose(const StepItem& item, std::int64_t position, DraftOutcome& outcome) const;

  CostModel model_;
  Clock& clock_;
  CostExecutorOptions options_;
  std::string name_;
  StepReport report_;
  Nanos last_end_{0};  // where the last step should have ended
  bool ran_ = false;
  std::atomic<std::int64_t> extrapolated_{0};
};

}  // namespace dsbench::engine
