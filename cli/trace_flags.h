#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/traces/load_trace.h"

namespace dsbench::cli {

// The flags with which a trace is read, as texts.
struct TraceFlags {
  std::string prefix = "--";  // of the flags' names
  std::string format = "auto";
  std::string window;  // FROM..TO
  double time_scale = 1, rate_scale = 1;
  std::vector<std::string> tenants;
  std::string dequantise = "auto";
  double most_bad = 0.01;
  std::int32_t block_tokens = 0;  // 0: as the source shows
  std::string time_unit = "auto";
  std::string labels;  // timestamp=…,input_length=…
};

// `prefix`: "--trace-" makes --trace-window of --window. A verb that scales traces by flags of its own
// (--compress,
// --rate-scale) has those left out, and sets them. An empty group is the verb's own.
enum class TraceScaling { flags, verbs_own };
void add_trace_flags(CLI::App& app, TraceFlags& flags, const std::string& prefix = "--",
                     TraceScaling scaling = TraceScaling::flags, const std::string& group = {});

// Errors: usage, with the flag's name.
[[nodiscard]] Result<loadgen::TraceOptions> trace_options_of(const TraceFlags& flags, std::uint64_t seed);

}  // namespace dsbench::cli
