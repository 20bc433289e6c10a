#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/engine_options.h"
#include "cli/event_flags.h"
#include "core/units.h"

namespace dsbench::cli {

// What every verb that offers load asks: at what, with what, and where to write.
struct ExperimentOptions {
  std::vector<std::string> targets{"embedded"};
  std::string target = "embedded";  // all of them, for messages and files
  std::string route = "ordered";
  bool sticky = false;
  std::vector<std::string> faults;
  EventOptions events;
  Nanos recovery_objective{30'000'000'000};
  EngineOptions engine;
  std::string model;  // to ask for; empty: the first that /v1/models names
  std::string api = "chat";
  bool stream = true;
  bool exact_lengths = true;
  bool caller_headers = true;
  std::vector<std::string> api_keys;  // sources, never values; with several targets one for each
  std::string ca_file;
  bool insecure = false;
  std::string wire = "automatic", http = "1.1", proxy, unix_socket;
  std::string proxy_auth;  // a source, never the value
  bool resolve_each = false, calibrate_tokens = false;
  std::string tokenizer;  // a tokenizer.json or a folder that has one; empty: none
  bool compressed = false;
  std::int32_t threads = 1;
  std::string workload, slo, client;  // empty: the target's default
  std::uint64_t seed = 1;
  std::string out;
  bool json = false;
  bool quiet = false;
  bool summary = true;               // on stdout, at the end
  std::vector<std::string> command;  // argv, less --out
};

// What was named, or the target's default.
[[nodiscard]] std::string workload_name(const ExperimentOptions& options);
[[nodiscard]] std::string slo_name(const ExperimentOptions& options);

inline constexpr std::string_view sim_prefix = "sim:";
[[nodiscard]] bool is_url(std::string_view target);
[[nodiscard]] bool is_sim(std::string_view target);

void add_experiment_flags(CLI::App& app, ExperimentOptions& options, const std::string& default_client);

// argv as the run file keeps it: --out names the folder the file is in, and would make equal runs differ.
[[nodiscard]] std::vector<std::string> recorded_command(int argc, const char* const* argv);

}  // namespace dsbench::cli
