#include "loadgen/traces/fit_profiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "core/text.h"
#include "loadgen/traces/fit_classes.h"
#include "loadgen/traces/fit_text.h"
#include "loadgen/traces/joint_fit.h"
#include "loadgen/traces/prefix_fit.h"
#include "loadgen/traces/rate_curve.h"
#include "profiles/length_law.h"

namespace dsbench::loadgen {
namespace {

using Json = nlohmann::ordered_json;

// What the classes' prompts share: of arrival i of the trace.
struct SharedTokens {
  std::int32_t system = 0;
  std::vector<std::int32_t> prefix;
};

Json whole_numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double v : values) list.push_back(static_cast<std::int64_t>(std::round(v)));
  return list;
}

Json lengths_json(const std::vector<LengthBin>& bins) {
  Json list = Json::array();
  for (const LengthBin& bin : bins) {
    list.push_back({{"prompt_from", bin.prompt_from},
                    {"prompt_to", bin.prompt_to},
                    {"weight", static_cast<std::int64_t>(bin.weight)},
                    {"output_quantiles", whole_numbers(bin.output_quantiles)}});
  }
  return {{"bins", std::move(list)}};
}

Json quantile_law(const std::vector<double>& quantiles) {
  return {{"law", "quantiles"}, {"quantiles", whole_numbers(quantiles)}};
}

Json turns_json(const TurnLaw& law) {
  Json values = Json::array(), weights = Json::array();
  for (std::size_t k = 0; k < law.weights.size(); ++k) {
    if (law.weights[k] < 1e-6) continue;
    values.push_back(k + 1);
    weights.push_back(rounded(law.weights[k]));
  }
  return {{"law", "empirical"}, {"values", std::move(values)}, {"weights", std::move(weights)}};
}

// As in the shipped workload sessions-chat, for sources without times.
constexpr std::string_view assumed_think_time =
    R"({"law": "lognormal", "median": "30s", "sigma": 0.9, "min": "2s", "max": "10m"})";

Json session_json(const SessionLaws& laws, bool keeps_answers, std::int32_t most_context) {
  Json session{{"turns", turns_json(laws.turns)}};
  if (laws.gap_quantiles.empty()) {
    session["think_time"] = Json::parse(assumed_think_time);
  } else {
    Json seconds = Json::array();
    constexpr double week_s = 7 * 86'400.0;  // more than that no law of times takes
    for (const double s : laws.gap_quantiles)
      seconds.push_back(std::round(std::clamp(s, 0.0, week_s) * 1e3) / 1e3);
    session["turn_gap"] = {{"law", "quantiles"}, {"quantiles", std::move(seconds)}};
  }
  session["user_tokens"] = quantile_law(laws.user_quantiles);
  session["output_tokens"] = quantile_law(laws.output_quantiles);
  if (!keeps_answers) session["keeps_answers"] = false;
  if (laws.fork_share > 0) {
    // What forks of forks may be at most: they must end.
    const double share = std::min(laws.fork_share, 0.9 / laws.fork_turns.mean());
    session["forks"] = {{"share", rounded(share)}, {"turns", turns_json(laws.fork_turns)}};
  }
  session["max_context_tokens"] = most_context;
  return session;
}

// Writes a shape for each class, and nothing above them where there is one.
class WorkloadWriter {
 public:
  WorkloadWriter(const Trace& trace, const FitOptions& options, const SharedTokens& shared)
      : trace_{trace}, options_{options}, shared_{shared} {}

  // Calls more(class, its JSON) after the shape of each class is written.
  template <class More>
  Json write(const std::vector<FitClass>& classes, const std::string& description, More more) {
    Json root;
    root["schema"] = "dsbench.workload/1";
    root["description"] = description;
    if (classes.size() == 1) {
      shape(classes.front(), root, static_cast<std::size_t>(options_.most_bins));
      more(classes.front(), root);
      return root;
    }
    double all = 0;
    for (const FitClass& cls : classes) all += cls.arrivals();
    for (const FitClass& cls : classes) {
      const double share = cls.arrivals() / all;
      Json one{{"name", cls.name}, {"weight", rounded(share)}};
      // Bins by the class's share, and enough to have a shape at all.
      shape(cls, one, static_cast<std::size_t>(std::max(6.0, std::round(share * options_.most_bins))));
      more(cls, one);
      root["classes"].push_back(std::move(one));
    }
    return root;
  }
  [[nodiscard]] std::size_t bins() const { return bins_; }

 private:
  void shape(const FitClass& cls, Json& out, std::size_t bins) {
    std::vector<LengthPair> pairs;
    double reasoning = 0, output = 0;
    for (const std::uint32_t i : cls.rows) {
      const TraceRow& row = trace_.rows[i];
      const std::int32_t common = shared_.system + (cls.pool != nullptr ? shared_.prefix[i] : 0);
      pairs.push_back({std::max(row.input_tokens - common, 1), std::max(row.output_tokens, 1)});
      if (row.reasoning_share >= 0) reasoning += double{row.reasoning_share} * row.output_tokens;
      if (row.reasoning_share >= 0) output += row.output_tokens;
    }
    const std::vector<LengthBin> joint = fit_joint(std::move(pairs), bins);
    bins_ += joint.size();
    out["lengths"] = lengths_json(joint);
    if (shared_.system > 0) out["system_prompt_tokens"] = shared_.system;
    if (cls.pool != nullptr) {
      out["prefix_pools"].push_back({{"count", cls.pool->count},
                                     {"tokens", quantile_law(cls.pool->token_quantiles)},
                                     {"zipf", rounded(cls.pool->zipf)},
                                     {"share", 1}});
    }
    if (output > 0) out["reasoning_share"] = rounded(reasoning / output);
  }

  const Trace& trace_;
  const FitOptions& options_;
  const SharedTokens& shared_;
  std::size_t bins_ = 0;
};

Json traffic_json(const RateCurve& curve, const FitOptions& options, double cv) {
  Json root;
  root["schema"] = "dsbench.traffic/1";
  root["description"] = options.source;
  const double kept = std::clamp(rounded(cv, 3), 0.05, 20.0);
  // Gamma gaps are not more regular than that; a clock's are.
  const bool regular = cv < 0.05 / 2;
  root["arrivals"]["process"] = regular ? "constant" : std::abs(kept - 1) < 0.02 ? "poisson" : "gamma";
  if (root["arrivals"]["process"] == "gamma") root["arrivals"]["cv"] = kept;
  Json points = Json::array();
  for (const RateCurve::Point& p : curve.points()) {
    const Nanos at{std::llround(p.at_s * 1e3) * 1'000'000};
    points.push_back({print_duration(at), print_rate(Rate::per_second(rounded(p.rate, 5)))});
  }
  root["pieces"].push_back({{"shape", "curve"}, {"stage", options.name}, {"points", std::move(points)}});
  return root;
}

// When arrivals come; nothing for a source without times.
void fit_traffic(const Trace& trace, const std::vector<Nanos>& due, const FitOptions& options,
                 FittedProfiles& fit) {
  if (!trace.notes.timed || trace.length <= Nanos{0} || trace.notes.at_once) return;
  fit.bin = options.bin.value_or(RateCurve::good_width(due.size(), trace.length));
  fit.cv = rescaled_cv(due, RateCurve::fit(due, trace.length, fit.bin));
  fit.raw_cv = raw_cv(due);
  const RateCurve curve = RateCurve::fit_calm(due, trace.length, fit.bin, fit.cv);
  fit.curve_points = curve.points().size();
  fit.traffic_json = lay_out(traffic_json(curve, options, fit.cv).dump());
}

std::vector<std::uint32_t> first_requests(const SessionForest& forest) {
  std::vector<std::uint32_t> firsts;
  for (std::uint32_t i = 0; i < forest.parent.size(); ++i) {
    if (forest.parent[i] == no_parent) firsts.push_back(i);
  }
  return firsts;
}

}  // namespace

std::string bin_text(Nanos bin) {
  return bin % std::chrono::milliseconds{1} == Nanos{0} ? print_duration(bin) : format_duration(bin);
}

FittedProfiles profiles_of_requests(const Trace& trace, const PromptIndex& index, const FitOptions& options,
                                    const ClientSkew& skew) {
  FittedProfiles fit;
  fit_traffic(trace, trace.due(), options, fit);
  const auto most_classes = static_cast<std::size_t>(std::max(options.classes, 1));
  PrefixFit prefixes;
  std::vector<FitClass> classes;
  if (!trace.hashes.empty()) {
    std::vector<std::uint32_t> all(trace.size());
    std::iota(all.begin(), all.end(), 0U);
    prefixes = fit_prefixes(trace, index, all, std::max<std::size_t>(most_classes - 1, 1));
    for (const PrefixFit::Class& cls : prefixes.classes) {
      classes.push_back(
          {cls.count == 0 ? "fresh" : pool_name(cls), cls.rows, cls.count == 0 ? nullptr : &cls});
      name_apart(classes);
    }
  } else {
    classes = classes_by_client(trace, skew, most_classes);
  }
  fit.classes = classes.size();
  const SharedTokens shared{prefixes.system_tokens, prefixes.prefix_tokens};
  WorkloadWriter writer{trace, options, shared};
  fit.workload_json =
      lay_out(writer.write(classes, options.source, [](const FitClass&, const Json&) {}).dump());
  fit.bins = writer.bins();
  return fit;
}

PrefixFit prefixes_of_sessions(const Trace& trace, const PromptIndex& index, const FitOptions& options,
                               const SessionForest& forest) {
  const auto most_classes = static_cast<std::size_t>(std::max(options.classes, 1));
  return fit_prefixes(trace, index, first_requests(forest), std::max<std::size_t>(most_classes / 2, 1),
                      own_class_share);
}

FittedProfiles profiles_of_sessions(const Trace& trace, const FitOptions& options,
                                    const SessionForest& forest, const PrefixFit& prefixes, ByWhat by_what) {
  FittedProfiles fit;
  const std::vector<std::uint32_t> firsts = first_requests(forest);
  std::vector<Nanos> due;
  std::vector<std::size_t> turns(trace.size());
  std::int32_t most_context = 1;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    ++turns[forest.first[i]];
    most_context = std::max(most_context, trace.rows[i].input_tokens + trace.rows[i].output_tokens);
  }
  for (const std::uint32_t row : firsts) due.push_back(trace.rows[row].due);
  fit_traffic(trace, due, options, fit);
  const auto most_classes = static_cast<std::size_t>(std::max(options.classes, 1));
  const SharedTokens shared{prefixes.system_tokens, prefixes.prefix_tokens};
  std::vector<FitClass> classes;
  std::size_t pools = 0;
  for (const PrefixFit::Class& cls : prefixes.classes) pools += cls.count > 0 ? 1 : 0;
  for (const PrefixFit::Class& cls : prefixes.classes) {
    std::vector<std::uint32_t> rows = cls.rows;
    if (cls.count == 0) {
      const std::size_t left = std::max<std::size_t>(most_classes - pools, 1);
      if (by_what == ByWhat::growth)
        split_by_growth(trace, forest, turns, rows, std::max<std::size_t>(left, 3), classes);
      else
        split_by_tenant(trace, turns, std::move(rows), left, classes);
      continue;
    }
    classes.push_back({pool_name(cls), std::move(rows), &cls});
    name_apart(classes);
  }
  fit.classes = classes.size();
  const SessionLaws of_all = fit_session_laws(trace, forest, firsts, nullptr);
  std::string description = options.source;
  if (of_all.gap_quantiles.empty())
    description += " The source has no times: think times are assumed, as of the workload sessions-chat.";
  WorkloadWriter writer{trace, options, shared};
  const Json workload = writer.write(classes, description, [&](const FitClass& cls, Json& out) {
    const SessionLaws laws = fit_session_laws(trace, forest, cls.rows, &of_all);
    if (laws.has_turns()) out["session"] = session_json(laws, forest.keeps_answers, most_context);
  });
  fit.workload_json = lay_out(workload.dump());
  fit.bins = writer.bins();
  fit.laws = of_all;
  fit.sessions = forest;
  return fit;
}

}  // namespace dsbench::loadgen
