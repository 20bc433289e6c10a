#include "cli/worker_flags.h"

#include <fmt/format.h>

#include <cstdlib>

#include "cli/flags.h"

namespace dsbench::cli {

void add_worker_flags(CLI::App& verb, WorkerFlags& flags) {
  const std::string group = "Several processes or hosts; docs/scale-out.md";
  verb.add_option("--worker", flags.worker,
                  "send only this share of the schedule, as in 2/4, counted from 0; auto: what Slurm, an MPI "
                  "launcher or a Kubernetes Indexed Job says. Writes to DIR/worker-K of --out DIR")
      ->type_name("K/N|auto")
      ->default_str("0/1")
      ->group(group);
  add_count(verb, "--workers", flags.workers, 1, static_cast<std::int32_t>(most_workers),
            "how many workers there are, where the launcher does not say", "what it says")
      ->group(group);
  verb.add_option("--start-at", flags.start_at,
                  "begin the load at this instant: UTC, as in 2026-11-22T18:00:00Z, or seconds since 1970")
      ->type_name("TIME")
      ->default_str("at once")
      ->group(group);
  verb.add_option("--rendezvous", flags.rendezvous,
                  "agree on the start at this address: worker 0 listens there, the others compare their "
                  "clocks with its")
      ->type_name("HOST:PORT")
      ->default_str("none")
      ->group(group);
  add_duration(verb, "--rendezvous-timeout", flags.patience, "how long to wait there for all workers")
      ->group(group);
  add_duration(verb, "--rendezvous-margin", flags.margin, "from the agreement to the start")->group(group);
  verb.add_option("--print-launcher", flags.print_launcher,
                  "print what starts --workers N of this on a cluster and merges them; send nothing")
      ->check(CLI::IsMember({"slurm", "mpi", "k8s"}))
      ->type_name("KIND")
      ->default_str("none")
      ->group(group);
  verb.add_option("--plan", flags.plan,
                  "with --dry-run: write each request of this worker there, as JSON lines; '-' is stdout")
      ->type_name("FILE")
      ->default_str("none")
      ->group(group);
}

Environment own_environment() {
  return [](const char* name) { return static_cast<const char*>(std::getenv(name)); };
}

std::string worker_directory(const std::string& out, const Worker& worker) {
  return fmt::format("{}{}worker-{}", out, out.ends_with('/') ? "" : "/", worker.index);
}

}  // namespace dsbench::cli
