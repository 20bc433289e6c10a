#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/fault_flags.h"
#include "cli/kv_flags.h"
#include "cli/manners_flags.h"
#include "cli/model_flags.h"
#include "cli/weights_flags.h"
#include "core/clock.h"
#include "core/result.h"
#include "engine/engine.h"
#include "engine/fixed/fixed_schedule.h"

namespace dsbench::engine {
struct EngineFaults;
}

namespace dsbench::cli {

// The engine as flags: `dsbench serve` has them bare, the verbs that start their own engine have them with
// "engine-" in front.
struct EngineOptions {
  std::string model = "tiny";
  std::string executor = "cpu";
  std::int32_t threads = 0;  // 0: one less than the cores, at least one
  std::uint64_t seed = 1;    // of the weights
  std::optional<std::int32_t> blocks, block_size, max_running, max_batched_tokens, max_model_len, max_queued;
  std::optional<Nanos> queue_timeout;
  KvOptions kv;
  engine::OverloadConfig overload;
  ModelOptions model_source;
  WeightsOptions weights;
  engine::FixedLaw fixed;  // of `--executor fixed`
  MannersOptions manners;
  FaultOptions faults;
  // The flags that were on the command line with their values, as written.
  std::vector<std::pair<std::string, std::string>> given;
};

void add_engine_flags(CLI::App& app, EngineOptions& options, const std::string& prefix);

// What was given, as arguments of `dsbench serve`: everything else has the same defaults there. `prefix` is
// that of add_engine_flags().
[[nodiscard]] std::vector<std::string> to_serve_arguments(const EngineOptions& options,
                                                          const std::string& prefix);

struct EngineParts {
  engine::SchedulerConfig config;
  std::unique_ptr<engine::Executor> executor;    // of an engine that goes in steps
  std::optional<engine::FixedLaw> fixed;         // of one that does not
  std::shared_ptr<engine::EngineFaults> faults;  // of the executor
  std::string model_name;
  std::string description;  // what runs, in a few words
  std::int32_t vocabulary = 256;
  std::shared_ptr<const engine::server::ModelText> text;  // null: a byte is a token
  std::string bill;                                       // the memory bill, in words
};

// Loads what the options name. The clock paces the cost executor. With `dry_run` no executor is made.
[[nodiscard]] Result<EngineParts> make_engine_parts(const EngineOptions& options, Clock& clock, bool dry_run);

// `step_log`: see engine::start_engine.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> start_engine(EngineParts parts, Clock& clock,
                                                                   const std::string& step_log);

}  // namespace dsbench::cli
