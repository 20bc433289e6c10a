#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/worker_identity.h"
#include "core/units.h"

namespace dsbench::cli {

// One of several processes: which, and when they begin.
struct WorkerFlags {
  std::string worker;
  std::optional<std::int32_t> workers;
  std::string start_at, rendezvous;
  Nanos patience{60'000'000'000};
  Nanos margin{3'000'000'000};
  std::string print_launcher, plan;
};

void add_worker_flags(CLI::App& verb, WorkerFlags& flags);

// The environment of this process.
[[nodiscard]] Environment own_environment();

// The run directory of a worker: every one has its own below the one that was named.
[[nodiscard]] std::string worker_directory(const std::string& out, const Worker& worker);

}  // namespace dsbench::cli
