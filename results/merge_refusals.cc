// Runs that are no one load are refused before anything is made of them.
#include <fmt/format.h>

#include "results/merge_parts.h"

namespace dsbench::results {

std::string name_of(const WorkerRun& run) {
  return fmt::format("worker {} ('{}')", share_of(run).index, run.directory.path.string());
}

namespace {

// What to do with a rehearsal that one generator is too small for.
std::string instead_of(const RunSummary& run) {
  const double knee = run.knee.offered ? run.knee.offered->per_second() : 0;
  const std::string staircase = knee > 0 ? fmt::format("steps({:.3g}/s..{:.3g}/s by {:.3g}/s,hold 2m)",
                                                       0.8 * knee, 1.5 * knee, 0.1 * knee)
                                         : std::string{"steps(R..R by R,hold 2m)"};
  return fmt::format(
      "confirm {} from several hosts with `dsbench load --traffic '{}' --worker K/N`, merge that, and lay "
      "both over each "
      "other with `dsbench report`",
      knee > 0 ? fmt::format("its knee of {:.3g}/s", knee) : std::string{"what it found"}, staircase);
}

}  // namespace

Result<void> check_each(const WorkerRuns& runs) {
  for (const WorkerRun& run : runs) {
    if (!run.summary.workers.empty())
      return fail(ErrorKind::usage, "'{}' has been merged already; give the folders of its workers",
                  run.directory.path.string());
    if (run.summary.kind != "load") {
      return fail(ErrorKind::usage,
                  "'{}' is a run of dsbench {}: what it offers next depends on what it has seen, so it "
                  "cannot be shared "
                  "among workers, and several of it are not one load; {}; accepted: runs of dsbench load "
                  "--worker K/N",
                  run.directory.path.string(), run.summary.kind, instead_of(run.summary));
    }
    if (!run.summary.worker) {
      return fail(ErrorKind::usage,
                  "'{}' is the run of one process and no worker's share; accepted: runs of dsbench load "
                  "--worker K/N",
                  run.directory.path.string());
    }
  }
  return {};
}

Result<void> check_together(const WorkerRuns& runs) {
  const WorkerRun& first = runs.front();
  for (const WorkerRun& run : runs) {
    const WorkerShare &a = share_of(first), &b = share_of(run);
    const auto differs = [&](std::string_view what, const auto& of_a, const auto& of_b) {
      return fail(ErrorKind::usage, "{} and {} are not of one load: {} {} and {}", name_of(first),
                  name_of(run), what, of_a, of_b);
    };
    if (a.count != b.count) return differs("numbers of workers", a.count, b.count);
    if (first.summary.seed != run.summary.seed) return differs("seeds", first.summary.seed, run.summary.seed);
    if (a.plan_digest != b.plan_digest || first.summary.profile_json != run.summary.profile_json)
      return differs("plans (traffic, workload, SLO, client)", a.plan_digest, b.plan_digest);
    if (first.summary.simulated != run.summary.simulated)
      return differs("worlds", first.summary.simulated ? "simulated" : "real",
                     run.summary.simulated ? "simulated" : "real");
  }
  // Of those that came to their end, because the others drew less of it.
  const WorkerRun* whole = nullptr;
  for (const WorkerRun& run : runs) {
    if (!is_complete(run)) continue;
    if (whole == nullptr) whole = &run;
    const WorkerShare &a = share_of(*whole), &b = share_of(run);
    if (a.schedule_digest != b.schedule_digest || a.scheduled != b.scheduled) {
      return fail(ErrorKind::usage,
                  "{} and {} drew different schedules ({} and {} requests): another build of dsbench, or a "
                  "rate that was changed by hand on one of them",
                  name_of(*whole), name_of(run), a.scheduled, b.scheduled);
    }
  }
  for (std::size_t i = 1; i < runs.size(); ++i) {
    if (share_of(runs[i - 1]).index == share_of(runs[i]).index)
      return fail(ErrorKind::usage, "{} and '{}' are the same worker; give each once", name_of(runs[i - 1]),
                  runs[i].directory.path.string());
  }
  return {};
}

}  // namespace dsbench::results
