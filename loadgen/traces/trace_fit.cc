#include "loadgen/traces/trace_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/text.h"
#include "loadgen/schedule.h"
#include "loadgen/traces/joint_fit.h"
#include "loadgen/traces/prefix_fit.h"
#include "loadgen/traces/rate_curve.h"
#include "loadgen/workload.h"
#include "profiles/traffic_profile.h"
#include "profiles/workload_profile.h"

namespace dsbench::loadgen {
namespace {

using Json = nlohmann::ordered_json;
using Verdict = FitLine::Verdict;

// Four significant digits: more would be the sample's, not the source's.
double rounded(double x, int digits = 4) {
  if (x == 0 || !std::isfinite(x)) return 0;
  const double unit = std::pow(10, digits - 1 - std::floor(std::log10(std::abs(x))));
  return std::round(x * unit) / unit;
}

// JSON for people: what fits on a line stands on one.
void lay_out(const Json& json, std::size_t indent, std::string& out) {
  const std::string flat = json.dump();
  if (!json.is_structured() || flat.size() + indent <= 118) {
    out += flat;
    return;
  }
  const std::string margin(indent + 2, ' ');
  const bool object = json.is_object();
  out += object ? "{" : "[";
  bool first = true;
  std::size_t column = 1000;  // arrays of short things are filled
  for (const auto& [key, value] : json.items()) {
    const std::string one = value.dump();
    if (!object && one.size() <= 24) {
      if (column + one.size() + 2 > 118) {
        out += first ? "\n" + margin : ",\n" + margin;
        column = margin.size();
      } else {
        out += ", ";
      }
      out += one;
      column += one.size() + 2;
    } else {
      out += first ? "\n" : ",\n";
      out += margin;
      if (object) out += Json(key).dump() + ": ";
      lay_out(value, indent + 2, out);
    }
    first = false;
  }
  out += "\n" + std::string(indent, ' ') + (object ? "}" : "]");
}

std::string lay_out(const Json& json) {
  std::string out;
  lay_out(json, 0, out);
  return out + "\n";
}

struct Class {
  std::string name;
  std::vector<std::uint32_t> rows;
  const PrefixFit::Class* pool = nullptr;
};

// The clients that matter one by one, the others together.
std::vector<Class> classes_by_client(const Trace& trace, const ClientSkew& skew, std::size_t most) {
  std::vector<Class> classes(std::min(skew.clients, most));
  const bool others = skew.clients > most;
  std::vector<std::size_t> class_of(trace.tenants.size(), classes.size() - 1);
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const bool rest = others && c + 1 == classes.size();
    const std::string& name = trace.tenants[skew.by_size[c]];
    classes[c].name = rest ? "others" : name.empty() ? "unnamed" : name;
    if (!rest) class_of[skew.by_size[c]] = c;
  }
  for (std::uint32_t i = 0; i < trace.size(); ++i) classes[class_of[trace.rows[i].tenant]].rows.push_back(i);
  return classes;
}

Json lengths_json(const std::vector<LengthBin>& bins) {
  Json list = Json::array();
  for (const LengthBin& bin : bins) {
    Json quantiles = Json::array();
    for (const double q : bin.output_quantiles) quantiles.push_back(static_cast<std::int64_t>(q));
    list.push_back({{"prompt_from", bin.prompt_from},
                    {"prompt_to", bin.prompt_to},
                    {"weight", static_cast<std::int64_t>(bin.weight)},
                    {"output_quantiles", std::move(quantiles)}});
  }
  return {{"bins", std::move(list)}};
}

std::string length_text(double tokens) {
  return tokens >= 10'000 ? fmt::format("{:.0f}k", tokens / 1000) : fmt::format("{:.0f}", tokens);
}

Json workload_json(const Trace& trace, const FitOptions& options, const PrefixFit& prefixes,
                   const std::vector<Class>& classes, TraceFit& fit) {
  const auto shape = [&](const Class& cls, Json& out, std::size_t bins) {
    std::vector<LengthPair> pairs;
    double reasoning = 0, output = 0;
    for (const std::uint32_t i : cls.rows) {
      const TraceRow& row = trace.rows[i];
      const std::int32_t shared =
          prefixes.system_tokens + (cls.pool != nullptr ? prefixes.prefix_tokens[i] : 0);
      pairs.push_back({std::max(row.input_tokens - shared, 1), std::max(row.output_tokens, 1)});
      if (row.reasoning_share >= 0) reasoning += double{row.reasoning_share} * row.output_tokens;
      if (row.reasoning_share >= 0) output += row.output_tokens;
    }
    const std::vector<LengthBin> joint = fit_joint(std::move(pairs), bins);
    fit.bins += joint.size();
    out["lengths"] = lengths_json(joint);
    if (prefixes.system_tokens > 0) out["system_prompt_tokens"] = prefixes.system_tokens;
    if (cls.pool != nullptr) {
      Json quantiles = Json::array();
      for (const double q : cls.pool->token_quantiles) quantiles.push_back(static_cast<std::int64_t>(q));
      out["prefix_pools"].push_back({{"count", cls.pool->count},
                                     {"tokens", {{"law", "quantiles"}, {"quantiles", std::move(quantiles)}}},
                                     {"zipf", rounded(cls.pool->zipf)},
                                     {"share", 1}});
    }
    if (output > 0) out["reasoning_share"] = rounded(reasoning / output);
  };
  Json root;
  root["schema"] = "dsbench.workload/1";
  root["description"] = options.source;
  fit.classes = classes.size();
  if (classes.size() == 1) {
    shape(classes.front(), root, static_cast<std::size_t>(options.most_bins));
    return root;
  }
  for (const Class& cls : classes) {
    Json one{{"name", cls.name},
             {"weight", rounded(static_cast<double>(cls.rows.size()) / static_cast<double>(trace.size()))}};
    // Bins by the class's share, and enough to have a shape at all.
    const double share = static_cast<double>(cls.rows.size()) / static_cast<double>(trace.size());
    shape(cls, one, static_cast<std::size_t>(std::max(6.0, std::round(share * options.most_bins))));
    root["classes"].push_back(std::move(one));
  }
  return root;
}

Json traffic_json(const RateCurve& curve, const FitOptions& options, double cv) {
  Json root;
  root["schema"] = "dsbench.traffic/1";
  root["description"] = options.source;
  const double kept = std::clamp(rounded(cv, 3), 0.05, 20.0);
  root["arrivals"]["process"] = std::abs(kept - 1) < 0.02 ? "poisson" : "gamma";
  if (root["arrivals"]["process"] == "gamma") root["arrivals"]["cv"] = kept;
  Json points = Json::array();
  for (const RateCurve::Point& p : curve.points()) {
    const Nanos at{std::llround(p.at_s * 1e3) * 1'000'000};
    points.push_back({print_duration(at), print_rate(Rate::per_second(rounded(p.rate, 5)))});
  }
  root["pieces"].push_back({{"shape", "curve"}, {"stage", options.name}, {"points", std::move(points)}});
  return root;
}

// Where the source stands beside a trace of the same make.
class Comparison {
 public:
  explicit Comparison(std::vector<FitLine>& lines) : lines_{lines} {}
  void distance(std::string what, double value, double good, double fair) {
    lines_.push_back({std::move(what), "", std::nullopt, value,
                      value <= good   ? Verdict::good
                      : value <= fair ? Verdict::fair
                                      : Verdict::poor,
                      fmt::format("at most {:.3g}", good)});
  }
  void difference(std::string what, double source, double fitted, double good, double fair) {
    const double off = std::abs(source - fitted);
    lines_.push_back({std::move(what), "", source, fitted,
                      off <= good   ? Verdict::good
                      : off <= fair ? Verdict::fair
                                    : Verdict::poor,
                      fmt::format("within {:.3g}", good)});
  }
  void ratio(std::string what, std::string unit, double source, double fitted, double good, double fair) {
    const double off = source > 0 && fitted > 0 ? std::max(fitted / source, source / fitted)
                       : source == fitted       ? 1
                                                : HUGE_VAL;
    lines_.push_back({std::move(what), std::move(unit), source, fitted,
                      off <= 1 + good   ? Verdict::good
                      : off <= 1 + fair ? Verdict::fair
                                        : Verdict::poor,
                      fmt::format("within a factor of {:.3g}", 1 + good)});
  }

 private:
  std::vector<FitLine>& lines_;
};

std::vector<double> doubles(const Trace& trace, std::int32_t TraceRow::*field) {
  std::vector<double> values;
  values.reserve(trace.size());
  for (const TraceRow& row : trace.rows) values.push_back(row.*field);
  return values;
}

struct LengthSummary {
  double mean = 0, p50 = 0, p99 = 0;
};
LengthSummary summary_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {moments(values).mean, quantile_of(values, 0.5), quantile_of(values, 0.99)};
}

// Draws of the profiles are compared by their means: one of a small trace would be off by its own accidents.
constexpr std::size_t most_draws = 50, enough_drawn = 20'000;
constexpr std::int64_t most_windows = 4'000'000;  // six weeks of seconds

template <class F>
double mean_over(std::span<const std::vector<Nanos>> draws, F f) {
  double sum = 0;
  for (const std::vector<Nanos>& draw : draws) sum += f(draw);
  return sum / static_cast<double>(draws.size());
}

void compare_times(std::span<const Nanos> source, std::span<const std::vector<Nanos>> draws, Nanos length,
                   const TraceFit& fit, Comparison& compare) {
  const std::vector<double> a = counts_in_windows(source, fit.bin, length);
  compare.ratio("requests", "", static_cast<double>(source.size()),
                mean_over(draws, [](const auto& draw) { return static_cast<double>(draw.size()); }), 0.02,
                0.05);
  if (a.size() >= 2) {
    const double mean = moments(a).mean;
    const double error = mean_over(draws, [&](const std::vector<Nanos>& draw) {
      const std::vector<double> b = counts_in_windows(draw, fit.bin, length);
      double squares = 0;
      for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
      return std::sqrt(squares / static_cast<double>(a.size())) / mean;
    });
    // What two draws of one process differ by all the same.
    const double noise = fit.cv * std::sqrt(1 / std::max(mean, 1.0));
    compare.distance(fmt::format("rate curve, RMS error ÷ mean per {}", print_duration(fit.bin)), error,
                     std::max(0.05, 1.5 * noise), std::max(0.1, 3 * noise));
    const auto peak = [](const std::vector<double>& counts) {
      return *std::max_element(counts.begin(), counts.end()) / std::max(moments(counts).mean, 1e-9);
    };
    compare.ratio(
        fmt::format("peak ÷ mean per {}", print_duration(fit.bin)), "", peak(a),
        mean_over(draws, [&](const auto& draw) { return peak(counts_in_windows(draw, fit.bin, length)); }),
        0.1, 0.25);
  }
  for (const Nanos window : {from_seconds(1), from_seconds(60)}) {
    if (length / window < 10 || length / window > most_windows) continue;
    compare.ratio(fmt::format("dispersion of counts per {}", print_duration(window)), "",
                  dispersion(source, window, length),
                  mean_over(draws, [&](const auto& draw) { return dispersion(draw, window, length); }), 0.33,
                  1);
  }
}

}  // namespace

std::string_view to_word(Verdict verdict) {
  switch (verdict) {
    case Verdict::good:
      return "good";
    case Verdict::fair:
      return "fair";
    case Verdict::poor:
      return "poor";
    case Verdict::not_judged:
      break;
  }
  return "-";
}

Verdict TraceFit::worst() const {
  Verdict worst = Verdict::good;
  for (const FitLine& line : lines) {
    if (line.verdict != Verdict::not_judged) worst = std::max(worst, line.verdict);
  }
  return worst;
}

Result<TraceFit> fit_trace(const Trace& trace, const FitOptions& options) {
  if (trace.size() < 50) return fail(ErrorKind::usage, "{} requests; a fit needs at least 50", trace.size());
  TraceFit fit;
  fit.skew = client_skew(trace);
  const std::vector<Nanos> due = trace.due();
  const bool timed = trace.notes.timed && trace.length > Nanos{0} && !trace.notes.at_once;

  // When.
  if (timed) {
    fit.bin = options.bin.value_or(RateCurve::good_width(trace.size(), trace.length));
    fit.cv = rescaled_cv(due, RateCurve::fit(due, trace.length, fit.bin));
    fit.raw_cv = raw_cv(due);
    const RateCurve curve = RateCurve::fit_calm(due, trace.length, fit.bin, fit.cv);
    fit.curve_points = curve.points().size();
    fit.traffic_json = lay_out(traffic_json(curve, options, fit.cv));
  }

  // What.
  const auto most_classes = static_cast<std::size_t>(std::max(options.classes, 1));
  PrefixFit prefixes;
  std::vector<Class> classes;
  if (!trace.hashes.empty()) {
    prefixes = fit_prefixes(trace, std::max<std::size_t>(most_classes - 1, 1));
    for (const PrefixFit::Class& cls : prefixes.classes) {
      const std::string name = cls.count == 0
                                   ? "fresh"
                                   : fmt::format("prefix {} to {}", length_text(cls.token_quantiles.front()),
                                                 length_text(cls.token_quantiles.back()));
      classes.push_back({name, cls.rows, cls.count == 0 ? nullptr : &cls});
      for (std::size_t i = 0, same = 1; i + 1 < classes.size(); ++i) {
        if (classes[i].name == name) classes.back().name = fmt::format("{} ({})", name, ++same);
      }
    }
  } else {
    classes = classes_by_client(trace, fit.skew, most_classes);
  }
  fit.workload_json = lay_out(workload_json(trace, options, prefixes, classes, fit));

  // How well.
  Comparison compare{fit.lines};
  const std::size_t draws = std::clamp<std::size_t>(enough_drawn / trace.size(), 1, most_draws);
  std::vector<std::vector<Nanos>> fitted_due(timed ? draws : 0);
  if (timed) {
    DSBENCH_TRY(const auto traffic, profiles::parse_traffic(fit.traffic_json, options.name));
    for (std::size_t d = 0; d < draws; ++d) {
      for (const Arrival& arrival : make_schedule(traffic, options.seed + d))
        fitted_due[d].push_back(arrival.due);
    }
    compare_times(due, fitted_due, trace.length, fit, compare);
  }
  DSBENCH_TRY(const auto workload, profiles::parse_workload(fit.workload_json, options.name));
  const SharedSource source = make_source(workload, options.seed);
  std::vector<double> fitted_input, fitted_output;
  double fitted_hits = 0;
  PrefixMeter meter;
  std::vector<PromptPiece> pieces;
  std::uint64_t number = 0;
  for (std::size_t d = 0; d < draws; ++d) {
    PrefixMeter fitted_meter;  // each draw finds the cache empty
    const std::size_t drawn = timed ? fitted_due[d].size() : trace.size();
    for (std::size_t i = 0; i < drawn; ++i) {
      const Attempt attempt = source(number++);
      fitted_input.push_back(attempt.prompt_tokens);
      fitted_output.push_back(attempt.output_tokens);
      if (trace.hashes.empty()) continue;
      prompt_pieces(attempt, pieces);
      fitted_meter.add(pieces, timed ? fitted_due[d][i] : Nanos{0});
    }
    fitted_hits += fitted_meter.hit_share() / static_cast<double>(draws);
  }
  if (fitted_input.empty()) return fail(ErrorKind::usage, "a trace drawn from the profiles has no request");
  const std::vector<double> input = doubles(trace, &TraceRow::input_tokens),
                            output = doubles(trace, &TraceRow::output_tokens);
  compare.distance("input length, KS distance", ks_distance(input, fitted_input), 0.02, 0.05);
  compare.distance("output length, KS distance", ks_distance(output, fitted_output), 0.02, 0.05);
  const auto lengths = [&](const char* what, const std::vector<double>& a, const std::vector<double>& b) {
    const LengthSummary x = summary_of(a), y = summary_of(b);
    compare.ratio(fmt::format("{} mean", what), "tokens", x.mean, y.mean, 0.03, 0.1);
    compare.ratio(fmt::format("{} p50", what), "tokens", x.p50, y.p50, 0.05, 0.15);
    compare.ratio(fmt::format("{} p99", what), "tokens", x.p99, y.p99, 0.05, 0.15);
    return x;
  };
  const LengthSummary in = lengths("input", input, fitted_input),
                      out = lengths("output", output, fitted_output);
  fit.input_mean = in.mean, fit.input_p50 = in.p50, fit.input_p99 = in.p99;
  fit.output_mean = out.mean, fit.output_p50 = out.p50, fit.output_p99 = out.p99;
  compare.difference("input and output, rank correlation", spearman(input, output),
                     spearman(fitted_input, fitted_output), 0.05, 0.1);
  if (!trace.hashes.empty()) {
    for (std::size_t i = 0; i < trace.size(); ++i) {
      prompt_pieces(trace, i, pieces);
      meter.add(pieces, trace.rows[i].due);
    }
    fit.hit_share = meter.hit_share();
    fit.block_hit_share = meter.piece_hit_share();
    fit.hit_by_age = meter.share_by_age();
    fit.hit_by_position = meter.share_by_position();
    compare.difference("ideal prefix-hit share of tokens", meter.hit_share(), fitted_hits, 0.03, 0.08);
  }
  double ratio = 0, told = 0;
  for (const TraceRow& row : trace.rows) {
    if (row.reasoning_share >= 0) ratio += double{row.reasoning_share}, told += 1;
  }
  if (told > 0) fit.mean_reasoning = ratio / told;
  return fit;
}

}  // namespace dsbench::loadgen
