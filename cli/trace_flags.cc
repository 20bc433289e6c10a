#include "cli/trace_flags.h"

#include <fmt/format.h>

#include <array>

#include "core/text.h"

namespace dsbench::cli {
namespace {

Result<loadgen::TraceWindow> parse_window(std::string_view text, const std::string& flag) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos)
    return fail(ErrorKind::usage, "{}: '{}' cannot be read; write it as 10m..1h, or 10m.. to the end", flag,
                text);
  loadgen::TraceWindow window;
  const std::string_view from = text.substr(0, dots), to = text.substr(dots + 2);
  if (!from.empty()) {
    const auto parsed = parse_duration(from);
    if (!parsed) return fail(ErrorKind::usage, "{}: {}", flag, parsed.error().message);
    window.from = *parsed;
  }
  if (!to.empty()) {
    const auto parsed = parse_duration(to);
    if (!parsed) return fail(ErrorKind::usage, "{}: {}", flag, parsed.error().message);
    window.to = *parsed;
  }
  return window;
}

Result<void> parse_labels(std::string_view text, const std::string& flag, loadgen::TraceOptions& options) {
  static constexpr std::array<std::string_view, 4> accepted{"timestamp", "input_length", "output_length",
                                                            "hash_ids"};
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find(','));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    const std::size_t equals = pair.find('=');
    const std::string_view key = pair.substr(0, equals);
    const std::string value{equals == std::string_view::npos ? "" : pair.substr(equals + 1)};
    std::string* const labels[] = {&options.timestamp_label, &options.input_label, &options.output_label,
                                   &options.hashes_label};
    const auto it = std::find(accepted.begin(), accepted.end(), key);
    if (it == accepted.end() || value.empty()) {
      return fail(ErrorKind::usage,
                  "{}: '{}' cannot be read; accepted: {} with the source's name for it, as in "
                  "timestamp=ts,input_length=prompt_len",
                  flag, pair, join(accepted));
    }
    *labels[it - accepted.begin()] = value;
  }
  return {};
}

}  // namespace

void add_trace_flags(CLI::App& app, TraceFlags& flags, const std::string& prefix, TraceScaling scaling,
                     const std::string& group) {
  flags.prefix = prefix;
  const auto add = [&](const char* name, auto& value, const std::string& help) {
    CLI::Option* const option = app.add_option(prefix + name, value, help);
    return group.empty() ? option : option->group(group);
  };
  add("format", flags.format,
      "of the trace: auto (by its content), or one of " + join(loadgen::trace_format_words()))
      ->capture_default_str();
  add("window", flags.window,
      "FROM..TO of the trace's own clock, as in 10m..1h; its zero is the first request (ServeGen: the start "
      "of "
      "the day). Default: all")
      ->type_name("FROM..TO");
  if (scaling == TraceScaling::flags) {
    add("time-scale", flags.time_scale,
        "run the trace's clock this many times as fast; every request stays, so that the rate rises as much")
        ->capture_default_str();
    add("rate-scale", flags.rate_scale,
        "times the rate, in the same shape: below 1 by leaving requests out (sessions whole), above 1 by "
        "laying "
        "further copies over it, of other users with other prompts")
        ->capture_default_str();
  }
  add("tenant", flags.tenants,
      "keep this tenant's requests only (client, model or kind of request, as the source has it; what stands "
      "before a '/' will do); may be given again. Default: all")
      ->type_name("NAME");
  add("dequantise", flags.dequantise,
      "spread batches of a coarse clock at random over the time between them: auto (where there are some), "
      "yes, "
      "no")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "yes", "no"}));
  add("max-bad", flags.most_bad, "share of records that may be unreadable")->capture_default_str();
  add("block-tokens", flags.block_tokens,
      "tokens per prefix hash; 0: the size that fits the lengths, else the format's own")
      ->capture_default_str();
  add("time-unit", flags.time_unit, "of timestamps in JSON lines: s, ms, us, or auto (the format's own)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "s", "ms", "us"}));
  add("labels", flags.labels,
      "other names of the fields of JSON lines, as in timestamp=ts,input_length=prompt_len. Default: "
      "timestamp, "
      "input_length, output_length, hash_ids")
      ->type_name("KEY=NAME,…");
}

Result<loadgen::TraceOptions> trace_options_of(const TraceFlags& flags, std::uint64_t seed) {
  loadgen::TraceOptions options;
  options.seed = seed;
  if (flags.format != "auto") {
    const auto format = loadgen::parse_trace_format(flags.format);
    if (!format) return fail(ErrorKind::usage, "{}format: {}", flags.prefix, format.error().message);
    options.format = *format;
  }
  if (!flags.window.empty()) {
    DSBENCH_TRY(options.window, parse_window(flags.window, flags.prefix + "window"));
  }
  options.speed = flags.time_scale;
  options.rate_scale = flags.rate_scale;
  options.tenants = flags.tenants;
  options.dequantise = flags.dequantise == "no"    ? loadgen::Dequantise::no
                       : flags.dequantise == "yes" ? loadgen::Dequantise::yes
                                                   : loadgen::Dequantise::automatic;
  options.most_bad = flags.most_bad;
  if (flags.block_tokens != 0) options.block_tokens = flags.block_tokens;
  if (flags.time_unit != "auto")
    options.seconds_per_unit = flags.time_unit == "s" ? 1.0 : flags.time_unit == "ms" ? 1e-3 : 1e-6;
  DSBENCH_CHECK(parse_labels(flags.labels, flags.prefix + "labels", options));
  return options;
}

}  // namespace dsbench::cli
