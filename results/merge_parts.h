#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "results/merge.h"
#include "results/record.h"
#include "results/recorder.h"

// What the parts of the merge share: nothing outside of results/merge*.cc needs it.
namespace dsbench::results {

using WorkerRuns = std::vector<WorkerRun>;  // sorted by worker, once they have been checked

inline const WorkerShare& share_of(const WorkerRun& run) {
  return *run.summary.worker;
}
inline bool is_complete(const WorkerRun& run) {
  return run.summary.ended == "complete";
}
// "worker 2 ('run/worker-2')".
[[nodiscard]] std::string name_of(const WorkerRun& run);

// How the runs lie in time.
struct Alignment {
  std::vector<Nanos> shift;       // by run: what its times must be moved by
  std::vector<StageInfo> stages;  // of the merged run
  bool cut = false;               // some worker ended early, and with it the stages
};

// Which requests of the schedule have come.
class Seen {
 public:
  // False: it has come before.
  bool mark(std::uint64_t number) {
    if (number >= bits_.size()) bits_.resize(std::max<std::size_t>(2 * bits_.size(), number + 1));
    if (bits_[number]) return false;
    return bits_[number] = true;
  }
  [[nodiscard]] std::int64_t missing(std::uint64_t index, std::uint64_t count, std::int64_t scheduled) const {
    std::int64_t n = 0;
    for (std::uint64_t i = index; i < static_cast<std::uint64_t>(scheduled); i += count)
      n += i < bits_.size() && bits_[i] ? 0 : 1;
    return n;
  }

 private:
  std::vector<bool> bits_;
};

// ---- merge_refusals.cc: what must hold before anything is made of them

[[nodiscard]] Result<void> check_each(const WorkerRuns& runs);
// Of runs that are sorted by worker.
[[nodiscard]] Result<void> check_together(const WorkerRuns& runs);

// ---- merge_account.cc: what is said of the whole

// Everything but stages, timeline and counts: who, what, when, the workers, and what they say of themselves.
void describe_whole(const WorkerRuns& runs, RunSummary& merged);
// The target's own account, or the sum of the simulated fleets'.
void take_accounts(const WorkerRuns& runs, const Alignment& alignment, RunSummary& merged);
// Why the whole is no valid load: shares that were not offered, workers that began apart, requests of which
// nobody knows.
void judge_missing(const WorkerRuns& runs, const std::vector<std::string>& unusable,
                   const MergeOptions& options, RunSummary& merged);
void judge_start(const WorkerRuns& runs, RunSummary& merged);
void judge_missing_records(const WorkerRuns& runs, const Seen& seen, RunSummary& merged);

}  // namespace dsbench::results
