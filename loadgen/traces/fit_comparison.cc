#include "loadgen/traces/fit_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <unordered_map>
#include <utility>

#include "core/text.h"
#include "loadgen/schedule.h"
#include "loadgen/traces/drawn_traffic.h"
#include "loadgen/workload.h"

namespace dsbench::loadgen {
namespace {

using Verdict = FitLine::Verdict;

// Where the source stands beside a trace of the same make.
class Comparison {
 public:
  explicit Comparison(std::vector<FitLine>& lines) : lines_{lines} {}
  void distance(std::string what, double value, double good, double fair) {
    add(std::move(what), "", std::nullopt, value, value, good, fair, fmt::format("at most {:.3g}", good));
  }
  void difference(std::string what, double source, double fitted, double good, double fair) {
    add(std::move(what), "", source, fitted, std::abs(source - fitted), good, fair,
        fmt::format("within {:.3g}", good));
  }
  // What is below `least` counts as that.
  void ratio(std::string what, std::string unit, double source, double fitted, double good, double fair,
             double least = 0) {
    const double a = std::max(source, least), b = std::max(fitted, least);
    const double off = a > 0 && b > 0 ? std::max(b / a, a / b) - 1 : a == b ? 0 : HUGE_VAL;
    add(std::move(what), std::move(unit), source, fitted, off, good, fair,
        fmt::format("within a factor of {:.3g}", 1 + good));
  }

 private:
  void add(std::string what, std::string unit, std::optional<double> source, double fitted, double off,
           double good, double fair, std::string good_when) {
    const Verdict verdict = off <= good ? Verdict::good : off <= fair ? Verdict::fair : Verdict::poor;
    lines_.push_back(
        {std::move(what), std::move(unit), source, fitted, verdict, std::move(good_when), off / good});
  }
  std::vector<FitLine>& lines_;
};

// Draws of the profiles are compared by their means: one of a small trace would be off by its own accidents.
// Sessions have more of them.
constexpr std::size_t most_draws = 50, enough_drawn = 20'000, most_drawn_again = 100'000;
constexpr std::int64_t most_windows = 4'000'000;  // six weeks of seconds

template <class F>
double mean_over(std::span<const std::vector<Nanos>> draws, F f) {
  double sum = 0;
  for (const std::vector<Nanos>& draw : draws) sum += f(draw);
  return sum / static_cast<double>(draws.size());
}

// The standard deviation of a draw's counts ÷ their mean: of arrivals by the law of their gaps; of sessions,
// whose turns come in their wake, by what draws differ.
double noise_of(std::span<const std::vector<Nanos>> draws, Nanos length, const FittedProfiles& fit,
                double mean) {
  if (!fit.sessions || draws.size() < 2) return fit.cv * std::sqrt(1 / std::max(mean, 1.0));
  double squares = 0, bins = 0;
  for (std::size_t d = 0; d + 1 < draws.size(); ++d) {
    const std::vector<double> a = counts_in_windows(draws[d], fit.bin, length),
                              b = counts_in_windows(draws[d + 1], fit.bin, length);
    for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]) / 2, bins += 1;
  }
  return std::sqrt(squares / std::max(bins, 1.0)) / std::max(mean, 1e-9);
}

// `requests`: that a draw has on average.
void compare_times(std::span<const Nanos> source, std::span<const std::vector<Nanos>> draws, double requests,
                   Nanos length, const FittedProfiles& fit, Comparison& compare) {
  const std::vector<double> a = counts_in_windows(source, fit.bin, length);
  compare.ratio("requests", "", static_cast<double>(source.size()), requests, 0.02, 0.05);
  if (a.size() >= 2) {
    const double mean = moments(a).mean;
    const double error = mean_over(draws, [&](const std::vector<Nanos>& draw) {
      const std::vector<double> b = counts_in_windows(draw, fit.bin, length);
      double squares = 0;
      for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
      return std::sqrt(squares / static_cast<double>(a.size())) / mean;
    });
    // What two draws of one process differ by all the same.
    const double noise = noise_of(draws, length, fit, mean);
    compare.distance(fmt::format("rate curve, RMS error ÷ mean per {}", bin_text(fit.bin)), error,
                     std::max(0.05, 1.5 * noise), std::max(0.1, 3 * noise));
    const auto peak = [](const std::vector<double>& counts) {
      return *std::max_element(counts.begin(), counts.end()) / std::max(moments(counts).mean, 1e-9);
    };
    compare.ratio(
        fmt::format("peak ÷ mean per {}", bin_text(fit.bin)), "", peak(a),
        mean_over(draws, [&](const auto& draw) { return peak(counts_in_windows(draw, fit.bin, length)); }),
        0.1, 0.25);
  }
  for (const Nanos window : {from_seconds(1), from_seconds(60)}) {
    if (length / window < 10 || length / window > most_windows) continue;
    // Below this arrivals are as regular as a clock's, and by how much is of no consequence.
    constexpr double regular = 0.1;
    compare.ratio(fmt::format("dispersion of counts per {}", print_duration(window)), "",
                  dispersion(source, window, length),
                  mean_over(draws, [&](const auto& draw) { return dispersion(draw, window, length); }), 0.33,
                  1, regular);
  }
}

// What was drawn of requests, or what there is of it in the source: in the requests' order, then sorted.
struct Lengths {
  explicit Lengths(std::vector<double> values) : as_they_come{std::move(values)}, sorted{as_they_come} {
    std::sort(sorted.begin(), sorted.end());
    mean = moments(sorted).mean;
  }
  std::vector<double> as_they_come, sorted;
  double mean = 0;
};

struct Turns {
  std::vector<double> gap_s, growth, of_sessions;
};

Turns turns_of(const Trace& trace, const SessionForest& sessions) {
  Turns turns;
  std::vector<std::uint32_t> of_first(trace.size());
  for (std::size_t i = 0; i < trace.size(); ++i) {
    ++of_first[sessions.first[i]];
    const std::uint32_t from = sessions.parent[i];
    if (from == no_parent) continue;
    turns.gap_s.push_back(to_seconds(trace.rows[i].due - trace.rows[from].due));
    turns.growth.push_back(trace.rows[i].input_tokens - trace.rows[from].input_tokens);
  }
  for (const std::uint32_t n : of_first) {
    if (n > 0) turns.of_sessions.push_back(n);
  }
  return turns;
}

void compare_lengths(const char* what, const Lengths& source, const Lengths& fitted, Comparison& compare) {
  const auto median = [](const Lengths& l) { return quantile_of(l.sorted, 0.5); };
  const auto p99 = [](const Lengths& l) { return quantile_of(l.sorted, 0.99); };
  compare.ratio(fmt::format("{} mean", what), "tokens", source.mean, fitted.mean, 0.03, 0.1);
  compare.ratio(fmt::format("{} p50", what), "tokens", median(source), median(fitted), 0.05, 0.15);
  compare.ratio(fmt::format("{} p99", what), "tokens", p99(source), p99(fitted), 0.05, 0.15);
}

void compare_sessions(const Turns& source, const Turns& fitted, bool timed, Comparison& compare) {
  compare.ratio("requests of a session, mean", "", moments(source.of_sessions).mean,
                moments(fitted.of_sessions).mean, 0.05, 0.15);
  compare.distance("requests of a session, KS distance", ks_distance(source.of_sessions, fitted.of_sessions),
                   0.03, 0.08);
  if (source.gap_s.empty() || fitted.gap_s.empty()) return;
  if (timed) {
    compare.distance("time from turn to turn, KS distance", ks_distance(source.gap_s, fitted.gap_s), 0.05,
                     0.12);
  }
  compare.distance("growth from turn to turn, KS distance", ks_distance(source.growth, fitted.growth), 0.05,
                   0.12);
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

std::optional<PrefixHits> prefix_hits(const Trace& trace, const PromptIndex& index) {
  if (trace.hashes.empty()) return std::nullopt;
  PrefixMeter meter;
  std::vector<PromptPiece> pieces;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    index.pieces(i, pieces);
    meter.add(pieces, trace.rows[i].due);
  }
  return PrefixHits{meter.hit_share(), meter.piece_hit_share(), meter.share_by_age(),
                    meter.share_by_position()};
}

struct FitJudge::Source {
  Source(const Trace& of, const std::optional<PrefixHits>& found) : trace{of}, hits{found} {}
  const Trace& trace;
  const std::optional<PrefixHits>& hits;
  std::vector<Nanos> due = trace.due();
  Lengths input{values(&TraceRow::input_tokens)}, output{values(&TraceRow::output_tokens)};
  double correlation = spearman(input.as_they_come, output.as_they_come);

 private:
  [[nodiscard]] std::vector<double> values(std::int32_t TraceRow::*field) const {
    std::vector<double> values;
    values.reserve(trace.size());
    // As a replay would send it: at least 1.
    for (const TraceRow& row : trace.rows) values.push_back(std::max(row.*field, 1));
    return values;
  }
};

// What was drawn of one pair of profiles, all draws together; times by draw.
struct FitJudge::Drawn {
  std::vector<std::vector<Nanos>> due;
  std::vector<double> input, output;
  Turns turns;
  double hit_share = 0;
  std::vector<double> by_age;
  std::uint64_t arrivals = 0;
};

FitJudge::FitJudge(const Trace& trace, const std::optional<PrefixHits>& hits, std::string name,
                   std::uint64_t seed)
    : source_{std::make_unique<const Source>(trace, hits)}, name_{std::move(name)}, seed_{seed} {}

FitJudge::~FitJudge() = default;

const std::vector<Nanos>& FitJudge::arrivals(const profiles::TrafficProfile& traffic,
                                             const std::string& traffic_json, std::size_t draw) {
  // Two fits with sessions differ in their classes, and have the same arrivals.
  if (traffic_json != arrivals_of_) {
    arrivals_.clear();
    arrivals_of_ = traffic_json;
  }
  while (arrivals_.size() <= draw) {
    std::vector<Nanos>& due = arrivals_.emplace_back();
    for (const Arrival& arrival : make_schedule(traffic, seed_ + arrivals_.size() - 1))
      due.push_back(arrival.due);
  }
  return arrivals_[draw];
}

FitJudge::Drawn FitJudge::draw(const FittedProfiles& fitted, const profiles::TrafficProfile* traffic,
                               const profiles::WorkloadProfile& workload) {
  const Trace& trace = source_->trace;
  const std::optional<PrefixHits>& hits = source_->hits;
  const std::size_t draws = std::clamp<std::size_t>(
      enough_drawn / trace.size(), fitted.sessions && trace.size() < most_drawn_again ? 10 : 1, most_draws);
  // Where the source has no times, as many arrivals as it has.
  const std::vector<Nanos> untimed(
      traffic == nullptr ? trace.size() - (fitted.sessions ? fitted.sessions->follow_ups : 0) : 0);
  const SharedSource requests = make_source(workload, seed_);
  Drawn drawn;
  drawn.due.resize(draws);
  drawn.by_age.resize(hits ? hits->by_age.size() : 0);
  std::vector<PromptPiece> pieces;
  for (std::size_t d = 0; d < draws; ++d) {
    const std::vector<Nanos>& due = traffic == nullptr ? untimed : arrivals(*traffic, fitted.traffic_json, d);
    PrefixMeter meter;  // each draw finds the cache empty
    std::unordered_map<std::uint64_t, std::uint32_t> turns;
    draw_traffic(requests, due, drawn.arrivals,
                 traffic == nullptr ? std::nullopt : std::optional{trace.length},
                 [&](const DrawnRequest& request) {
                   const Attempt& attempt = *request.attempt;
                   drawn.due[d].push_back(request.due);
                   drawn.input.push_back(attempt.prompt_tokens);
                   drawn.output.push_back(attempt.output_tokens);
                   if (fitted.sessions) {
                     ++turns[request.session];
                     if (attempt.turn > 0) {
                       drawn.turns.gap_s.push_back(to_seconds(request.gap));
                       drawn.turns.growth.push_back(request.growth);
                     }
                   }
                   if (!hits) return;
                   prompt_pieces(attempt, pieces);
                   // The source's cache finds whole blocks of a history; lengths of prefixes are whole ones.
                   meter.add(pieces, request.due, attempt.turn > 0 ? trace.block_tokens : 1);
                 });
    drawn.arrivals += due.size();
    for (const auto& [session, n] : turns) drawn.turns.of_sessions.push_back(n);
    drawn.hit_share += meter.hit_share() / static_cast<double>(draws);
    const std::vector<double> ages = meter.share_by_age();
    for (std::size_t a = 0; a < drawn.by_age.size(); ++a)
      drawn.by_age[a] += ages[a] / static_cast<double>(draws);
  }
  return drawn;
}

Result<std::vector<FitLine>> FitJudge::compare(const FittedProfiles& fitted) {
  const Trace& trace = source_->trace;
  const std::optional<PrefixHits>& hits = source_->hits;
  const bool timed = !fitted.traffic_json.empty();
  std::optional<profiles::TrafficProfile> traffic;
  if (timed) {
    DSBENCH_TRY(traffic, profiles::parse_traffic(fitted.traffic_json, name_));
  }
  DSBENCH_TRY(const auto workload, profiles::parse_workload(fitted.workload_json, name_));
  Drawn drawn = draw(fitted, timed ? &*traffic : nullptr, workload);
  if (drawn.input.empty()) return fail(ErrorKind::usage, "a trace drawn from the profiles has no request");
  std::vector<FitLine> lines;
  Comparison compare{lines};
  if (timed) {
    double count = mean_over(drawn.due, [](const auto& due) { return static_cast<double>(due.size()); });
    // With few arrivals, each of many requests, their accidents would be the whole difference.
    if (fitted.sessions)
      count *= profiles::plan_of(*traffic).requests * static_cast<double>(drawn.due.size()) /
               std::max(1.0, static_cast<double>(drawn.arrivals));
    compare_times(source_->due, drawn.due, count, trace.length, fitted, compare);
  }
  const Lengths input{std::move(drawn.input)}, output{std::move(drawn.output)};
  compare.distance("input length, KS distance", ks_distance_sorted(source_->input.sorted, input.sorted), 0.02,
                   0.05);
  compare.distance("output length, KS distance", ks_distance_sorted(source_->output.sorted, output.sorted),
                   0.02, 0.05);
  compare_lengths("input", source_->input, input, compare);
  compare_lengths("output", source_->output, output, compare);
  compare.difference("input and output, rank correlation", source_->correlation,
                     spearman(input.as_they_come, output.as_they_come), 0.05, 0.1);
  const std::size_t before_hits = lines.size();
  if (hits) {
    compare.difference("ideal prefix-hit share of tokens", hits->share, drawn.hit_share, 0.03, 0.08);
    if (timed && hits->share >= 0.01) {
      // What a cache that forgets would find depends on when prefixes come back.
      double a = 0, b = 0, most = 0;
      for (std::size_t i = 0; i < drawn.by_age.size(); ++i) {
        a += hits->by_age[i];
        b += drawn.by_age[i];
        most = std::max(most, std::abs(a - b));
      }
      compare.distance("time since a hit's last use, greatest distance", most, 0.1, 0.25);
    }
  }
  for (std::size_t i = before_hits; i < lines.size(); ++i) lines[i].of_hits = true;
  if (fitted.sessions) compare_sessions(turns_of(trace, *fitted.sessions), drawn.turns, timed, compare);
  return lines;
}

}  // namespace dsbench::loadgen
