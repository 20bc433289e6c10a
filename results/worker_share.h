#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/units.h"

namespace dsbench::results {

// One process of several that send one schedule together: which share is its own, and how it began.
struct WorkerShare {
  std::uint32_t index = 0, count = 1;  // of all requests those whose number is `index` modulo `count`
  std::string found;                   // what said so: "--worker 2/4", "SLURM_PROCID and SLURM_NTASKS"
  std::string start;                   // how they agreed on it: "at once", "--start-at", "rendezvous"
  std::optional<Nanos> start_at;       // what was agreed, by worker 0's clock, since the Unix epoch
  Nanos began_at{0};  // the instant that its schedule's times count from; by worker 0's clock where the
                      // offset to it is known, else by its own
  std::optional<Nanos> lateness;      // how long after that instant the process woke up
  std::optional<Nanos> clock_offset;  // worker 0's clock less this worker's
  std::optional<Nanos> round_trip;    // of the ping that says so; the offset is right to half of it
  std::string plan_digest;            // of traffic, workload, SLO, client and seed
  std::string schedule_digest;        // of every due instant of the whole schedule, as it was drawn
  std::int64_t scheduled = 0;         // requests in the whole schedule, all workers together
};

// What one of them came to, in a run that was merged.
struct WorkerSummary {
  WorkerShare share;
  std::string ended;  // as in RunSummary
  bool valid = true;
  std::int64_t requests = 0, attempts = 0, completed = 0, good = 0;  // warm-up included
  std::optional<Nanos> send_lag_p99, send_lag_max;                   // of all its stages, where measured
  std::string cpu_model;
};

}  // namespace dsbench::results
