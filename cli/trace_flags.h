#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/traces/load_trace.h"

namespace dsbench::cli {

// The flags with which a trace is read, as texts.
struct TraceFlags {
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

void add_trace_flags(CLI::App& app, TraceFlags& flags);

// Errors: usage, with the flag's name.
[[nodiscard]] Result<loadgen::TraceOptions> trace_options_of(const TraceFlags& flags, std::uint64_t seed);

}  // namespace dsbench::cli
