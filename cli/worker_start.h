#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/progress.h"
#include "cli/worker_flags.h"
#include "cli/worker_identity.h"
#include "core/result.h"
#include "core/units.h"
#include "loadgen/wire/rendezvous.h"
#include "loadgen/wire/start_time.h"
#include "results/run_summary.h"

namespace dsbench::cli {

// From this on a late worker makes the run invalid; before it starts, it sends nothing at all.
inline constexpr Nanos most_lateness{100'000'000};

// When a run begins: at once, at an instant that was named, or at one that the workers agree on.
class WorkerStart {
 public:
  // Errors: usage, for what cannot be, and for an instant that has passed.
  [[nodiscard]] static Result<std::unique_ptr<WorkerStart>> plan(const WorkerFlags& flags,
                                                                 const Worker& worker, bool simulated);

  // Everything is ready but the issuers: agrees with the others, who must be about to send the same plan,
  // and waits until a second before the start. Returns where the run's time begins on CLOCK_MONOTONIC, so
  // that the start is at its first second; nothing: at once.
  [[nodiscard]] Result<std::optional<Nanos>> wait(const std::string& plan_digest,
                                                  const std::atomic<bool>& stop, Progress& progress);

  // When the schedule begins, since the start of the run; nothing: as soon as it can.
  [[nodiscard]] std::optional<Nanos> run_time() const;

  // Writes into `share` how this worker began; `began_at` is for one that agreed on nothing.
  void tell(results::WorkerShare& share, Nanos began_at) const;

 private:
  WorkerStart() = default;
  loadgen::RendezvousConfig meeting_;
  bool meets_ = false;
  std::optional<Nanos> at_;  // by worker 0's clock
  std::optional<loadgen::Agreement> agreement_;
  std::unique_ptr<loadgen::StartWatch> watch_;
};

// What a late start, or a clock that is not known well, does to a run: a warning, or a cause that makes it
// invalid. `mean_gap` is that of the whole schedule.
void judge_start(const results::WorkerShare& share, Nanos mean_gap, results::RunSummary& summary);

// A worker that is not ready at the start has sent nothing: what was due since would leave as one burst. What
// is said of it, or nothing when it is in time.
[[nodiscard]] std::optional<std::string> too_late_to_start(const Worker& worker, Nanos late);

}  // namespace dsbench::cli
