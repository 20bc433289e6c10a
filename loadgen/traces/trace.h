#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "loadgen/target.h"
#include "loadgen/traces/trace_format.h"
#include "loadgen/traces/trace_request.h"

namespace dsbench::loadgen {

// A request of a trace, packed: a trace of ten million rows lies in memory whole.
struct TraceRow {
  Nanos due{0};  // since the trace's zero
  std::int32_t input_tokens = 0, output_tokens = 0;
  float reasoning_share = -1;           // below nought: not told
  std::uint32_t tenant : 20 = 0;        // index into Trace::tenants
  std::uint32_t copy : 11 = 0;          // of a superposition; 0 is the source itself
  std::uint32_t failed : 1 = 0;         // in the source
  std::uint64_t session = 0;            // the source's number, or a hash of its word; 0 for none
  std::uint32_t parent = 0xFFFF'FFFFU;  // row of the request that this one follows; all ones for none
  std::uint32_t source = 0;  // number of the request in the source, from 0: what its randomness hangs on
};
static_assert(sizeof(TraceRow) == 40);
inline constexpr std::uint32_t no_parent = 0xFFFF'FFFFU;

// What was wrong or odd in a source.
struct TraceNotes {
  std::uint64_t records = 0;          // lines or array elements, without blank ones
  std::uint64_t bad = 0;              // that could not be read
  std::vector<std::string> examples;  // "line 17: …", the first few of them
  std::uint64_t skipped = 0;          // sound, but no request
  std::uint64_t out_of_order = 0;     // requests that came after a later one
  std::uint64_t failed = 0;           // requests that failed in the source
  std::uint64_t filled = 0;           // of these, without an output length: drawn from those that succeeded
  std::uint64_t short_hashes = 0;     // requests whose hashes do not match their length
  bool timed = true;                  // false: the source has no times (ShareGPT)
  bool at_once = false;               // all requests have the same time
  bool estimated_tokens = false;      // from bytes
  bool generated = false;             // sampled from a description of clients (ServeGen)
  std::optional<Nanos> origin;        // of absolute times: the zero since the Unix epoch
  std::optional<Nanos> batch;  // arrivals come in batches this far apart: the source's clock was coarse
  bool dequantised = false;    // and were spread over it
};

// What to send for a request.
struct TraceContent {
  std::int32_t input_tokens = 1, output_tokens = 1;  // at least 1
  std::optional<double> reasoning_share;
  PromptParts parts;          // their tokens add up to input_tokens; never empty
  std::uint64_t session = 0;  // 0 for none; copies of a superposition have sessions of their own
  std::string_view tenant;
  bool failed_in_source = false;
};

// Where a request's hashes lie.
struct HashSpan {
  std::uint64_t begin = 0;
  std::uint32_t count = 0;
};

// Requests in order of time.
struct Trace {
  std::string name;
  TraceFormat format = TraceFormat::mooncake;
  std::vector<TraceRow> rows;
  std::vector<HashSpan> spans;        // one a row; empty when no request has hashes
  std::vector<std::uint64_t> hashes;  // of all rows
  std::int32_t block_tokens = 0;      // tokens per hash
  std::vector<std::string> tenants;   // "" is the one of requests that name none
  std::uint64_t seed = 0;             // of everything drawn
  Nanos length{0};                    // of the window: no request is due at or after it
  TraceNotes notes;

  [[nodiscard]] std::size_t size() const { return rows.size(); }
  [[nodiscard]] std::span<const std::uint64_t> hashes_of(std::size_t row) const {
    if (spans.empty()) return {};
    return std::span<const std::uint64_t>{hashes}.subspan(spans[row].begin, spans[row].count);
  }
  // When each request is due, in order.
  [[nodiscard]] std::vector<Nanos> due() const;
  // What request `row` consists of: a function of (source, seed, its number in the source, its copy) alone.
  // Blocks of equal hash have equal text; the copies of a superposition share none with one another.
  [[nodiscard]] TraceContent content(std::size_t row) const;
};

// Collects requests in the order of a source, then puts them into order of time.
class TraceBuilder {
 public:
  // More than this would not fit into memory with what follows.
  static constexpr std::size_t most_requests = 100'000'000;

  TraceBuilder(std::string name, TraceFormat format, std::int32_t block_tokens, std::uint64_t seed);
  void add(const TraceRequest& request);
  [[nodiscard]] std::size_t size() const { return trace_.rows.size(); }
  [[nodiscard]] bool full() const { return trace_.rows.size() >= most_requests; }
  // Zero is the first request unless the source's own zero is meant; `length` is the last request and one
  // nanosecond, unless given.
  [[nodiscard]] Trace finish(TraceNotes notes, bool keep_zero = false,
                             std::optional<Nanos> length = std::nullopt);

 private:
  std::uint32_t tenant_of(const std::string& name);
  Trace trace_;
  std::vector<std::uint64_t> ids_, parents_;  // of sources that have them
  std::string former_tenant_;
  std::uint32_t former_tenant_index_ = 0;
};

}  // namespace dsbench::loadgen
