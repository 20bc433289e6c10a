#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "loadgen/traces/trace_format.h"
#include "loadgen/traces/trace_request.h"

namespace dsbench::loadgen {

// What a reader must be told because the records do not say it.
struct ReaderOptions {
  // Of JSON lines: the names of their fields.
  std::string timestamp_label = "timestamp", input_label = "input_length", output_label = "output_length",
              hashes_label = "hash_ids";
  double seconds_per_unit = 1e-3;  // of a timestamp in JSON lines
};

// Turns one record of a source (a line, or one element of a JSON array) into requests.
class TraceReader {
 public:
  virtual ~TraceReader() = default;
  // Gives the sink what the record holds, in order: nothing for a header. An error says what is wrong with
  // the record; the caller knows where it stands. The record gives nothing then.
  virtual Result<void> read(std::string_view record, const TraceSink& sink) = 0;
  // Records that were sound but are no request (spans of something else).
  [[nodiscard]] virtual std::uint64_t skipped() const { return 0; }
  // Lines that only name the columns.
  [[nodiscard]] virtual std::uint64_t headers() const { return 0; }
};

// For the formats that are texts: all but servegen and records.
[[nodiscard]] std::unique_ptr<TraceReader> make_reader(TraceFormat format, const ReaderOptions& options);

[[nodiscard]] std::unique_ptr<TraceReader> make_json_lines_reader(TraceFormat format,
                                                                  const ReaderOptions& options);
[[nodiscard]] std::unique_ptr<TraceReader> make_azure_reader();
[[nodiscard]] std::unique_ptr<TraceReader> make_burstgpt_reader();
[[nodiscard]] std::unique_ptr<TraceReader> make_sharegpt_reader();
[[nodiscard]] std::unique_ptr<TraceReader> make_otel_reader();

// What stands in ShareGPT's requests for a prompt's blocks, and how bytes are taken for tokens.
inline constexpr std::int32_t sharegpt_block_tokens = 64;
inline constexpr std::int32_t estimated_bytes_per_token = 4;

}  // namespace dsbench::loadgen
