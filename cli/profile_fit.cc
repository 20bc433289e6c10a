#include "cli/profile_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/exit_codes.h"
#include "cli/flags.h"
#include "cli/refuse.h"
#include "cli/trace_flags.h"
#include "core/files.h"
#include "core/text.h"
#include "loadgen/traces/byte_source.h"
#include "loadgen/traces/demand_table.h"
#include "loadgen/traces/trace_fit.h"

namespace dsbench::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string trace, out_dir, name, source, bin, column, sessions = "auto";
  std::int32_t classes = 8, bins = 48;
  std::uint64_t seed = 1;
  bool json = false, force = false;
  TraceFlags reading;
};

// A name that a file and a flag can have.
std::string name_of(const Options& options) {
  if (!options.name.empty()) return options.name;
  std::filesystem::path path{options.trace};
  if (path.extension() == ".gz") path.replace_extension();
  std::string name = (path.has_filename() ? path : path.parent_path()).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == ' ' || c == '_'; }, '-');
  return name.empty() ? "fitted" : name;
}

std::string number(const std::optional<double>& value) {
  if (!value) return "-";
  return std::abs(*value) >= 1000 ? fmt::format("{:.0f}", *value) : fmt::format("{:.3g}", *value);
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", share * 100);
}

void print_lines(const std::vector<loadgen::FitLine>& lines) {
  fmt::print("  {:<44} {:>10} {:>10}  {}\n", "", "source", "fitted", "verdict");
  for (const loadgen::FitLine& line : lines) {
    fmt::print("  {:<44} {:>10} {:>10}  {} (good: {})\n", line.what, number(line.source), number(line.fitted),
               to_word(line.verdict), line.good_when);
  }
}

void print_sessions(const loadgen::TraceFit::Sessions& found, const loadgen::TraceFit& fit) {
  fmt::print("  conversations   {} of {} sessions go on; {} requests follow another\n", found.longer,
             found.sessions, found.requests);
  if (found.mean_turns > 0) {
    fmt::print("    turns         {:.3g} on average{}{}\n", found.mean_turns,
               found.gap_p50_s > 0
                   ? fmt::format(", {} from one to the next (median), as if the trace had not "
                                 "ended",
                                 format_duration(from_seconds(found.gap_p50_s)))
                   : "",
               found.fork_share > 0
                   ? fmt::format("; {} of turns with a next one have two", percent(found.fork_share))
                   : "");
    fmt::print("    each adds     {:.0f} tokens (median) {}\n", found.user_p50,
               found.keeps_answers ? "and the answer before it" : "in all: answers are not sent again");
  }
  fmt::print("    written as    {}: {}\n", fit.as_sessions ? "sessions" : "prefixes of pools", fit.why);
}

void print(const loadgen::Trace& trace, const loadgen::TraceFit& fit) {
  fmt::print("{}", loadgen::describe(trace));
  fmt::print("\nFitted\n");
  if (!fit.traffic_json.empty()) {
    fmt::print("  rate curve      {} points, bins of {}\n", fit.curve_points, loadgen::bin_text(fit.bin));
    fmt::print("  arrivals        CV {:.3f} of the gaps rescaled by the local rate ({:.3f} as they are)\n",
               fit.cv, fit.raw_cv);
    if (trace.notes.dequantised)
      fmt::print("                  below batches of {} nothing is known of them\n",
                 format_duration(*trace.notes.batch));
  } else {
    fmt::print("  no traffic      {}\n",
               trace.notes.at_once ? "all requests have the same time" : "the source has no times");
  }
  fmt::print("  input tokens    mean {:.0f}, p50 {:.0f}, p99 {:.0f}\n", fit.input_mean, fit.input_p50,
             fit.input_p99);
  fmt::print("  output tokens   mean {:.0f}, p50 {:.0f}, p99 {:.0f}\n", fit.output_mean, fit.output_p50,
             fit.output_p99);
  fmt::print("  lengths         {} bins of the input in {} class{}\n", fit.bins, fit.classes,
             fit.classes == 1 ? "" : "es");
  if (fit.mean_reasoning)
    fmt::print("  reasoning       {:.3f} of an output, on average\n", *fit.mean_reasoning);
  if (fit.skew.clients > 1) {
    fmt::print("  clients         {}; largest {}, top 5 {}, top 10 {}; Zipf exponent {:.2f}\n",
               fit.skew.clients, percent(fit.skew.largest), percent(fit.skew.top5), percent(fit.skew.top10),
               fit.skew.zipf);
  }
  if (fit.hit_share) {
    fmt::print("  prefix hits     {} of input tokens with an endless cache ({} of blocks)\n",
               percent(*fit.hit_share), percent(fit.block_hit_share));
    fmt::print("    last used     within 1 min {}, 5 min {}, 15 min {}, 60 min {}\n",
               percent(fit.hit_by_age[0]), percent(fit.hit_by_age[1]), percent(fit.hit_by_age[2]),
               percent(fit.hit_by_age[3]));
    std::string by_position;
    for (std::size_t i = 0; i < fit.hit_by_position.size(); ++i) {
      const std::size_t from = i == 0 ? 0 : std::size_t{1} << (i - 1);
      by_position += fmt::format("{}{}+ {:.0f} %", i == 0 ? "" : ", ", from, fit.hit_by_position[i] * 100);
    }
    fmt::print("    by block      {}\n", by_position);
  }
  if (fit.sessions) print_sessions(*fit.sessions, fit);
  fmt::print("\nHow well: a trace drawn from the profiles beside the source\n");
  print_lines(fit.lines);
}

Json json_of(const loadgen::FitLine& line) {
  Json one{{"what", line.what}};
  if (line.source) one["source"] = *line.source;
  if (line.fitted) one["fitted"] = *line.fitted;
  if (!line.unit.empty()) one["unit"] = line.unit;
  one["verdict"] = to_word(line.verdict);
  one["good"] = line.good_when;
  return one;
}

std::string to_json(const loadgen::Trace& trace, const loadgen::TraceFit& fit,
                    const std::vector<std::string>& files) {
  Json root;
  root["schema"] = "dsbench.fit/1";
  root["trace"] = {{"name", trace.name},
                   {"format", loadgen::to_word(trace.format)},
                   {"requests", trace.size()},
                   {"length_ns", trace.length.count()},
                   {"records", trace.notes.records},
                   {"bad_records", trace.notes.bad},
                   {"skipped_records", trace.notes.skipped},
                   {"out_of_order", trace.notes.out_of_order},
                   {"failed_requests", trace.notes.failed},
                   {"examples", trace.notes.examples},
                   {"timed", trace.notes.timed},
                   {"estimated_tokens", trace.notes.estimated_tokens},
                   {"generated", trace.notes.generated},
                   {"dequantised", trace.notes.dequantised}};
  if (trace.notes.batch) root["trace"]["batch_ns"] = trace.notes.batch->count();
  Json& f = root["fit"];
  f = {{"classes", fit.classes}, {"length_bins", fit.bins}};
  if (!fit.traffic_json.empty()) {
    f["cv"] = fit.cv;
    f["raw_cv"] = fit.raw_cv;
    f["bin_ns"] = fit.bin.count();
    f["curve_points"] = fit.curve_points;
  }
  f["input_tokens"] = {{"mean", fit.input_mean}, {"p50", fit.input_p50}, {"p99", fit.input_p99}};
  f["output_tokens"] = {{"mean", fit.output_mean}, {"p50", fit.output_p50}, {"p99", fit.output_p99}};
  if (fit.mean_reasoning) f["reasoning_share_mean"] = *fit.mean_reasoning;
  if (fit.skew.clients > 1) {
    f["clients"] = {{"count", fit.skew.clients},
                    {"largest_share", fit.skew.largest},
                    {"top5_share", fit.skew.top5},
                    {"top10_share", fit.skew.top10},
                    {"zipf_exponent", fit.skew.zipf}};
  }
  if (fit.hit_share) {
    f["prefix_hits"] = {{"ideal_share", *fit.hit_share},
                        {"ideal_share_of_blocks", fit.block_hit_share},
                        {"age_bounds_s", loadgen::PrefixMeter::ages_s},
                        {"share_by_age", fit.hit_by_age},
                        {"share_by_block_position_doubling", fit.hit_by_position}};
  }
  if (fit.sessions) {
    const loadgen::TraceFit::Sessions& found = *fit.sessions;
    f["sessions"] = {{"count", found.sessions},
                     {"longer_than_one_request", found.longer},
                     {"follow_up_requests", found.requests},
                     {"turns_mean", found.mean_turns},
                     {"turn_gap_s_p50", found.gap_p50_s},
                     {"user_tokens_p50", found.user_p50},
                     {"fork_share", found.fork_share},
                     {"keeps_answers", found.keeps_answers},
                     {"written", fit.as_sessions},
                     {"why", fit.why}};
  }
  root["verdict"] = to_word(fit.worst());
  root["comparison"] = Json::array();
  for (const loadgen::FitLine& line : fit.lines) root["comparison"].push_back(json_of(line));
  root["files"] = files;
  return root.dump(2);
}

Result<std::vector<std::string>> write_profiles(const Options& options, const std::string& name,
                                                const loadgen::TraceFit& fit) {
  std::vector<std::string> written;
  if (options.out_dir.empty()) return written;
  const auto write = [&](const char* kind, const std::string& text) -> Result<void> {
    if (text.empty()) return {};
    const auto folder = std::filesystem::path{options.out_dir} / kind;
    std::error_code ec;
    std::filesystem::create_directories(folder, ec);
    if (ec) return fail(ErrorKind::io, "cannot make the folder '{}': {}", folder.string(), ec.message());
    const auto path = folder / (name + ".json");
    if (!options.force && std::filesystem::exists(path, ec))
      return fail(ErrorKind::usage, "'{}' is there already; give another --name, or --force to write over it",
                  path.string());
    DSBENCH_CHECK(write_file_atomically(path, text));
    written.push_back(path.string());
    return {};
  };
  DSBENCH_CHECK(write("traffic", fit.traffic_json));
  DSBENCH_CHECK(write("workload", fit.workload_json));
  return written;
}

constexpr std::uintmax_t largest_table = 1 << 20;

Result<void> fit_table(const Options& options, const loadgen::DemandTable& table) {
  const std::string source = options.source.empty()
                                 ? fmt::format(
                                       "A day, midnight to midnight: the column {} of {}, in multiples of "
                                       "its mean. Fitted by dsbench "
                                       "profile fit.",
                                       table.column, std::filesystem::path{options.trace}.filename().string())
                                 : options.source;
  DSBENCH_TRY(const loadgen::DemandFit fit, loadgen::fit_demand(table, source));
  loadgen::TraceFit files;
  files.traffic_json = fit.traffic_json;
  DSBENCH_TRY(const std::vector<std::string> written, write_profiles(options, name_of(options), files));
  if (options.json) {
    Json root{{"schema", "dsbench.fit/1"},
              {"column", table.column},
              {"intervals", table.intervals.size()},
              {"mean", table.mean}};
    for (const loadgen::FitLine& line : fit.lines) root["comparison"].push_back(json_of(line));
    root["files"] = written;
    fmt::print("{}\n", root.dump(2));
    return {};
  }
  fmt::print(
      "a day's demand: {} intervals of {}, mean {:.6g}; no requests, so no workload\n\nHow well: the "
      "profile's means beside the table's\n",
      table.intervals.size(), table.column, table.mean);
  print_lines(fit.lines);
  for (const std::string& path : written) fmt::print("\nWritten: {}", path);
  fmt::print("{}\n", written.empty() ? "\nNothing was written: give --out-dir to keep the profile." : "");
  return {};
}

Result<void> run(const Options& options) {
  DSBENCH_TRY(const loadgen::TraceOptions reading, trace_options_of(options.reading, options.seed));
  // A table of a day's demand is no trace: it has no requests, and a few lines.
  std::error_code ec;
  if (options.reading.format == "auto" && std::filesystem::is_regular_file(options.trace, ec) &&
      std::filesystem::file_size(options.trace, ec) <= largest_table) {
    DSBENCH_TRY(loadgen::ByteSource bytes, loadgen::ByteSource::open(options.trace));
    const auto text = bytes.read_up_to(largest_table + 1);  // where packed data are broken is said below
    if (text && text->size() <= largest_table) {
      const auto table = loadgen::parse_demand_table(*text, options.column);
      if (!table) return fail(table.error().kind, "{}: {}", options.trace, table.error().message);
      if (*table) return fit_table(options, **table);
    }
  }
  if (!options.column.empty())
    return fail(ErrorKind::usage, "--column is for tables of a day's demand; '{}' is none", options.trace);
  loadgen::FitOptions fitting;
  fitting.name = name_of(options);
  if (fitting.name.find('/') != std::string::npos)
    return fail(ErrorKind::usage, "--name: found '{}'; accepted: a name without '/'", fitting.name);
  fitting.classes = options.classes;
  fitting.most_bins = options.bins;
  fitting.seed = options.seed;
  if (options.sessions != "auto") {
    fitting.sessions =
        options.sessions == "yes" ? loadgen::FitOptions::Sessions::yes : loadgen::FitOptions::Sessions::no;
  }
  if (!options.bin.empty()) {
    const auto bin = parse_duration(options.bin);
    if (!bin) return fail(ErrorKind::usage, "--bin: {}", bin.error().message);
    if (*bin < Nanos{1'000'000})
      return fail(ErrorKind::usage, "--bin: found {}; accepted: from 1ms", options.bin);
    fitting.bin = *bin;
  }
  DSBENCH_TRY(const loadgen::Trace trace, loadgen::load_trace(options.trace, reading));
  fitting.source = options.source.empty()
                       ? fmt::format("Fitted by dsbench profile fit from {} ({}, {} requests).", trace.name,
                                     loadgen::to_word(trace.format), trace.size())
                       : options.source;
  DSBENCH_TRY(const loadgen::TraceFit fit, loadgen::fit_trace(trace, fitting));
  DSBENCH_TRY(const std::vector<std::string> written, write_profiles(options, fitting.name, fit));
  if (options.json) {
    fmt::print("{}\n", to_json(trace, fit, written));
    return {};
  }
  print(trace, fit);
  for (const std::string& path : written) fmt::print("\nWritten: {}", path);
  fmt::print("{}\n", written.empty() ? "\nNothing was written: give --out-dir to keep the profiles." : "");
  return {};
}

}  // namespace

void add_profile_fit(CLI::App& profile, std::function<int()>& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = profile.add_subcommand(
      "fit", "turn a trace of real traffic into a compact pair of profiles, and say how well they fit it");
  sub->add_option("trace", options->trace,
                  "a file, the folder of a ServeGen trace or of a run, or a table of a day's demand")
      ->required()
      ->type_name("TRACE");
  sub->add_option("--out-dir", options->out_dir,
                  "write DIR/traffic/NAME.json and DIR/workload/NAME.json; without it nothing is written")
      ->type_name("DIR");
  sub->add_option("--name", options->name, "of the profiles. Default: the trace's")->type_name("NAME");
  sub->add_option(
         "--source", options->source,
         "description of the profiles: where the trace is from, and its licence. Default: the trace's name")
      ->type_name("TEXT");
  sub->add_option("--column", options->column,
                  "of a table of a day's demand (hour,… or from,to,…). Default: the last")
      ->type_name("NAME");
  sub->add_option("--bin", options->bin,
                  "of the rate curve, as in 10m. Default: the narrowest round one with 100 requests in the "
                  "mean bin and at most 150 bins")
      ->type_name("TIME");
  add_count(*sub, "--classes", options->classes, 1, 64,
            "classes of requests in the workload, at most: the largest clients, or prefixes by their length");
  add_count(*sub, "--length-bins", options->bins, 1, 1000, "bins of the input length, over all classes");
  sub->add_option("--sessions", options->sessions,
                  "write conversations (requests that re-send what was said before) as sessions; auto: where "
                  "that fits better")
      ->check(CLI::IsMember({"auto", "yes", "no"}))
      ->capture_default_str();
  sub->add_option("--seed", options->seed, "of all that is drawn")->capture_default_str();
  sub->add_flag("--force", options->force, "write over profiles that are there");
  sub->add_flag("--json", options->json, "print the fit as JSON");
  add_trace_flags(*sub, options->reading);
  sub->callback([options, &chosen] {
    chosen = [options] {
      const auto done = run(*options);
      return done ? static_cast<int>(exit_ok) : refuse("profile fit", done.error());
    };
  });
}

}  // namespace dsbench::cli
