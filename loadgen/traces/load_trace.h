#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "loadgen/traces/trace.h"
#include "loadgen/traces/trace_transform.h"

namespace dsbench::loadgen {

enum class Dequantise : std::uint8_t { automatic, yes, no };

struct TraceOptions {
  std::optional<TraceFormat> format;  // none: by content
  std::uint64_t seed = 1;
  TraceWindow
      window;        // on the trace's clock, whose zero is its first request (ServeGen: the start of its day)
  double speed = 1;  // of the trace's clock
  double rate_scale = 1;
  std::vector<std::string> tenants;               // none: all
  Dequantise dequantise = Dequantise::automatic;  // automatic: when the source's clock was coarse
  double most_bad = 0.01;                         // share of records that may be unreadable
  // Of JSON lines, when the source does not say: tokens per hash; seconds per unit of the timestamp; field
  // names.
  std::optional<std::int32_t> block_tokens;
  std::optional<double> seconds_per_unit;
  std::string timestamp_label = "timestamp", input_label = "input_length", output_label = "output_length",
              hashes_label = "hash_ids";
};

// Reads a trace and does to it what the options say, in this order: read, window, tenants, dequantise, rate,
// time. A function of (file, options) alone. Memory: 40 bytes a request, and 16 + 8 for each hash where there
// are hashes; never the text. Errors: io; usage for a file of another kind, for too many bad records (the
// first few of them are shown), and when nothing is left to send.
[[nodiscard]] Result<Trace> load_trace(const std::filesystem::path& path, const TraceOptions& options = {});

// What a person wants to know before it is replayed: a few lines, each ending with a newline.
[[nodiscard]] std::string describe(const Trace& trace);

}  // namespace dsbench::loadgen
