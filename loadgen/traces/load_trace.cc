#include "loadgen/traces/load_trace.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"
#include "loadgen/traces/byte_source.h"
#include "loadgen/traces/servegen.h"
#include "loadgen/traces/text_source.h"
#include "loadgen/traces/trace_reader.h"
#include "results/record.h"
#include "results/record_reader.h"

namespace dsbench::loadgen {
namespace {

constexpr std::size_t most_examples = 5;

tl::unexpected<Error> too_many(const std::string& name) {
  return fail(ErrorKind::usage, "{}: more than {} requests; give a shorter window", name,
              TraceBuilder::most_requests);
}

Result<void> check_bad(const TraceNotes& notes, const TraceOptions& options, const std::string& name,
                       TraceFormat format) {
  if (notes.records == 0) return fail(ErrorKind::usage, "{} holds no records of {}", name, to_word(format));
  const double share = static_cast<double>(notes.bad) / static_cast<double>(notes.records);
  if (share <= options.most_bad) return {};
  return fail(
      ErrorKind::usage,
      "{}: {} of {} records ({:.3g} %) cannot be read as {}; accepted: at most {:.3g} %. The first:\n  {}",
      name, notes.bad, notes.records, share * 100, to_word(format), options.most_bad * 100,
      fmt::join(notes.examples, "\n  "));
}

Result<Trace> load_text(const std::filesystem::path& path, const Detected& kind,
                        const TraceOptions& options) {
  ReaderOptions reading;
  reading.timestamp_label = options.timestamp_label;
  reading.input_label = options.input_label;
  reading.output_label = options.output_label;
  reading.hashes_label = options.hashes_label;
  reading.seconds_per_unit =
      options.seconds_per_unit.value_or(kind.format == TraceFormat::mooncake ? 1e-3 : 1.0);
  const std::unique_ptr<TraceReader> reader = make_reader(kind.format, reading);
  const std::int32_t block =
      kind.format == TraceFormat::sharegpt
          ? sharegpt_block_tokens
          : options.block_tokens.value_or(kind.block_tokens.value_or(usual_block(kind.format)));
  TraceBuilder builder{path.filename().string(), kind.format, block, options.seed};
  TraceNotes notes;
  DSBENCH_TRY(TextSource source, TextSource::open(path, kind.framing));
  const TraceSink sink = [&](const TraceRequest& request) { builder.add(request); };
  for (;;) {
    DSBENCH_TRY(const auto record, source.next());
    if (!record) break;
    ++notes.records;
    const auto read = record->cut ? fail(ErrorKind::usage, "the file ends {}",
                                         record->text.empty() ? "within an array" : "within it")
                                  : reader->read(record->text, sink);
    if (!read) {
      ++notes.bad;
      if (notes.examples.size() < most_examples)
        notes.examples.push_back(fmt::format(
            "{}line {}: {}", kind.framing == Framing::lines ? "" : fmt::format("record {}, ", notes.records),
            record->line, read.error().message));
    }
    if (builder.full()) return too_many(path.string());
  }
  notes.records -= reader->headers();
  notes.skipped = reader->skipped();
  notes.timed = kind.format != TraceFormat::sharegpt;
  notes.estimated_tokens = kind.format == TraceFormat::sharegpt;
  DSBENCH_CHECK(check_bad(notes, options, path.string(), kind.format));
  return builder.finish(std::move(notes));
}

Result<Trace> load_servegen(const std::filesystem::path& path, const TraceOptions& options) {
  DSBENCH_TRY(const ServeGen source, ServeGen::read(path));
  TraceNotes notes;
  notes.records = source.records;
  notes.bad = source.bad;
  notes.examples = source.examples;
  notes.generated = true;
  DSBENCH_CHECK(check_bad(notes, options, path.string(), TraceFormat::servegen));
  const Nanos length = from_seconds(source.length_s);
  const Nanos from = options.window.from;
  const Nanos to = std::min(options.window.to.value_or(length), length);
  const double expected = source.expected(from, to);
  if (expected > 0.9 * static_cast<double>(TraceBuilder::most_requests)) {
    return fail(ErrorKind::usage,
                "{}: about {:.3g} requests in {}; give a shorter window (at most {} are accepted)",
                path.string(), expected, format_duration(to - from), TraceBuilder::most_requests);
  }
  TraceBuilder builder{(path.has_filename() ? path : path.parent_path()).filename().string(),
                       TraceFormat::servegen, 0, options.seed};
  source.draw(options.seed, from, to, [&](const TraceRequest& request) { builder.add(request); });
  if (builder.full()) return too_many(path.string());
  Trace trace = builder.finish(std::move(notes), true, length);
  trace.notes.out_of_order = 0;  // drawn client by client
  return trace;
}

Result<Trace> load_records(const std::filesystem::path& path, const TraceOptions& options) {
  std::error_code ec;
  const auto file = std::filesystem::is_directory(path, ec) ? path / "records.sqlite" : path;
  DSBENCH_TRY(ByteSource bytes, ByteSource::open(file));
  if (bytes.packed()) {
    return fail(ErrorKind::usage,
                "'{}' is a gzip of a records.sqlite, which is read in place; unpack it first (gunzip)",
                file.string());
  }
  TraceBuilder builder{path.filename().string(), TraceFormat::records, 0, options.seed};
  TraceNotes notes;
  TraceRequest request;
  DSBENCH_CHECK(results::read_recorded_requests(file, [&](const results::RecordedRequest& recorded) {
    ++notes.records;
    if (builder.full()) return;
    request.at = recorded.due;
    request.input_tokens = recorded.prompt_tokens;
    request.output_tokens = recorded.output_tokens_asked;
    request.failed = recorded.reason != "ok";
    request.session = std::to_string(results::session_of(recorded.request) + 1);
    request.tenant = recorded.tenant == 0 ? "" : fmt::format("class {}", recorded.tenant);
    request.reasoning_share.reset();
    if (recorded.reasoning_tokens >= 0 && recorded.output_tokens > 0) {
      request.reasoning_share =
          std::min(1.0, static_cast<double>(recorded.reasoning_tokens) / recorded.output_tokens);
    }
    builder.add(request);
  }));
  if (builder.full()) return too_many(path.string());
  if (notes.records == 0) return fail(ErrorKind::usage, "{} holds no attempts", file.string());
  Trace trace = builder.finish(std::move(notes));
  trace.notes.out_of_order = 0;  // rows stand in the order in which they ended
  return trace;
}

Result<void> check(const TraceOptions& options) {
  if (!(options.speed > 0 && options.speed <= 1e6))
    return fail(ErrorKind::usage, "time scale {}; accepted: above 0, at most 1,000,000", options.speed);
  if (!(options.rate_scale > 0 && options.rate_scale <= 1000))
    return fail(ErrorKind::usage, "rate scale {}; accepted: above 0, at most 1000", options.rate_scale);
  if (!(options.most_bad >= 0 && options.most_bad <= 1))
    return fail(ErrorKind::usage, "a share of {} bad records; accepted: 0 to 1", options.most_bad);
  if (options.block_tokens && (*options.block_tokens < 1 || *options.block_tokens > 65536))
    return fail(ErrorKind::usage, "blocks of {} tokens; accepted: 1 to 65536", *options.block_tokens);
  if (options.seconds_per_unit && !(*options.seconds_per_unit > 0))
    return fail(ErrorKind::usage, "{} seconds per unit of time; accepted: above 0",
                *options.seconds_per_unit);
  if (options.window.from < Nanos{0} || (options.window.to && *options.window.to <= options.window.from)) {
    return fail(ErrorKind::usage, "a window from {} to {}; accepted: from 0, and an end after the beginning",
                print_duration(options.window.from),
                options.window.to ? print_duration(*options.window.to) : "the end");
  }
  return {};
}

}  // namespace

Result<Trace> load_trace(const std::filesystem::path& path, const TraceOptions& options) {
  DSBENCH_CHECK(check(options));
  DSBENCH_TRY(const Detected kind, detect_format(path, options.format));
  const auto load = [&]() -> Result<Trace> {
    if (kind.format == TraceFormat::servegen) return load_servegen(path, options);
    if (kind.format == TraceFormat::records) return load_records(path, options);
    return load_text(path, kind, options);
  };
  DSBENCH_TRY(Trace trace, load());
  if (trace.rows.empty()) {
    return fail(ErrorKind::usage, "{} holds no request; it was read as {}{}", path.string(),
                to_word(kind.format),
                kind.format == TraceFormat::otel
                    ? fmt::format(": {} spans, and none with gen_ai.usage.input_tokens or output_tokens",
                                  trace.notes.skipped)
                : trace.notes.skipped > 0 ? fmt::format(": {} records without an answer", trace.notes.skipped)
                                          : "");
  }
  const Nanos whole = trace.length;
  if (trace.notes.timed) {
    trace.notes.batch = trace.notes.generated ? std::nullopt : find_batches(trace);
    if (options.window.from > Nanos{0} || options.window.to) cut_window(trace, options.window);
    DSBENCH_CHECK(trace.rows.empty() ? Result<void>{} : keep_tenants(trace, options.tenants));
    // A source without batches has nothing to spread, whatever was asked.
    if (trace.notes.batch && options.dequantise != Dequantise::no) dequantise(trace, *trace.notes.batch);
    scale_rate(trace, options.rate_scale);
    scale_time(trace, options.speed);
  } else {
    DSBENCH_CHECK(keep_tenants(trace, options.tenants));
  }
  if (trace.rows.empty()) {
    return fail(ErrorKind::usage, "{}: no request is left between {} and {} of {} at rate scale {}",
                path.string(), print_duration(options.window.from),
                options.window.to ? print_duration(*options.window.to) : "the end", format_duration(whole),
                options.rate_scale);
  }
  if (trace.rows.size() > TraceBuilder::most_requests) return too_many(path.string());
  return trace;
}

std::string describe(const Trace& trace) {
  const TraceNotes& notes = trace.notes;
  double input = 0, output = 0;
  std::size_t unasked = 0, unanswered = 0;
  for (const TraceRow& row : trace.rows) {
    input += row.input_tokens;
    output += row.output_tokens;
    unasked += row.input_tokens == 0 ? 1 : 0;
    unanswered += row.output_tokens == 0 ? 1 : 0;
  }
  const auto n = static_cast<double>(std::max<std::size_t>(trace.size(), 1));
  std::string out = fmt::format("{}: {}, {} request{}", trace.name, to_word(trace.format), trace.size(),
                                trace.size() == 1 ? "" : "s");
  if (notes.timed && notes.at_once) {
    out += " at one instant";
  } else if (notes.timed && trace.size() > 1) {
    out += fmt::format(" in {}, {}", format_duration(trace.length),
                       format_rate(Rate::per_second(n / std::max(to_seconds(trace.length), 1e-9))));
  }
  out += fmt::format("; {:.0f} input and {:.0f} output tokens each, {:.4g} and {:.4g} in all\n", input / n,
                     output / n, input, output);
  if (notes.generated) out += "  drawn with the seed from the source's description of its clients\n";
  if (notes.estimated_tokens) out += "  token counts are estimated: four bytes are taken for one\n";
  if (!notes.timed) out += "  the source has no times: a traffic profile must give them\n";
  if (trace.tenants.size() > 2) out += fmt::format("  {} tenants\n", trace.tenants.size() - 1);
  if (!trace.hashes.empty()) out += fmt::format("  prefix hashes of {} tokens\n", trace.block_tokens);
  if (notes.origin) out += fmt::format("  begins {}\n", format_utc(*notes.origin));
  if (notes.batch) {
    out += fmt::format("  arrivals come in batches every {}: the source's clock was coarse{}\n",
                       format_duration(*notes.batch),
                       notes.dequantised ? "; they were spread at random over that time" : "");
  }
  if (notes.bad > 0)
    out += fmt::format("  {} of {} records cannot be read: {}\n", notes.bad, notes.records,
                       fmt::join(notes.examples, "; "));
  if (notes.skipped > 0) out += fmt::format("  {} records are no request\n", notes.skipped);
  if (notes.out_of_order > 0)
    out += fmt::format("  {} requests came out of order and were sorted\n", notes.out_of_order);
  if (notes.failed > 0) {
    out += fmt::format(
        "  {} requests failed in the source{}\n", notes.failed,
        notes.filled > 0
            ? fmt::format("; {} without an output length ask for one drawn from the others", notes.filled)
            : "");
  }
  if (unasked > 0) out += fmt::format("  {} requests have no input tokens: 1 is sent\n", unasked);
  if (unanswered > 0) out += fmt::format("  {} requests have no output tokens: 1 is asked for\n", unanswered);
  if (notes.short_hashes > 0)
    out +=
        fmt::format("  {} requests have fewer or more hashes than their length needs\n", notes.short_hashes);
  return out;
}

}  // namespace dsbench::loadgen
