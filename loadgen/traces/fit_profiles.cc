#include "loadgen/traces/fit_profiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/text.h"
#include "loadgen/traces/fit_text.h"
#include "loadgen/traces/joint_fit.h"
#include "loadgen/traces/prefix_fit.h"
#include "loadgen/traces/rate_curve.h"
#include "profiles/length_law.h"

namespace dsbench::loadgen {
namespace {

using Json = nlohmann::ordered_json;

struct Class {
  std::string name;
  std::vector<std::uint32_t> rows;  // arrivals
  const PrefixFit::Class* pool = nullptr;
  double weight = 0;  // arrivals that it stands for, where that is another number than its rows; 0: it is not
  [[nodiscard]] double arrivals() const { return weight > 0 ? weight : static_cast<double>(rows.size()); }
};

// What the classes' prompts share: of arrival i of the trace.
struct SharedTokens {
  std::int32_t system = 0;
  std::vector<std::int32_t> prefix;
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

std::string length_text(double tokens) {
  return tokens >= 10'000 ? fmt::format("{:.0f}k", tokens / 1000) : fmt::format("{:.0f}", tokens);
}

// The last class has a name of its own: "X (2)" where there is an X.
void name_apart(std::vector<Class>& classes) {
  const std::string name = classes.back().name;
  const auto taken = [&](const std::string& wanted) {
    return std::any_of(classes.begin(), classes.end() - 1, [&](const Class& c) { return c.name == wanted; });
  };
  for (std::size_t same = 2; taken(classes.back().name); ++same)
    classes.back().name = fmt::format("{} ({})", name, same);
}

std::string pool_name(const PrefixFit::Class& cls) {
  return fmt::format("prefix {} to {}", length_text(cls.token_quantiles.front()),
                     length_text(cls.token_quantiles.back()));
}

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
  Json write(const std::vector<Class>& classes, const std::string& description, More more) {
    Json root;
    root["schema"] = "dsbench.workload/1";
    root["description"] = description;
    if (classes.size() == 1) {
      shape(classes.front(), root, static_cast<std::size_t>(options_.most_bins));
      more(classes.front(), root);
      return root;
    }
    double all = 0;
    for (const Class& cls : classes) all += cls.arrivals();
    for (const Class& cls : classes) {
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
  void shape(const Class& cls, Json& out, std::size_t bins) {
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

// The first requests of sessions, as a trace of their own.
Trace trace_of(const Trace& trace, const std::vector<std::uint32_t>& rows) {
  Trace part;
  part.block_tokens = trace.block_tokens;
  part.tenants = trace.tenants;
  part.seed = trace.seed;
  part.length = trace.length;
  for (const std::uint32_t row : rows) {
    part.rows.push_back(trace.rows[row]);
    part.rows.back().parent = no_parent;
    const auto hashes = trace.hashes_of(row);
    part.spans.push_back({part.hashes.size(), static_cast<std::uint32_t>(hashes.size())});
    part.hashes.insert(part.hashes.end(), hashes.begin(), hashes.end());
  }
  return part;
}

constexpr std::size_t fewest_firsts = 50;  // of a class by tenant and length
// Of the first requests; what so many begin with is a tenant's system prompt, and the tenant has its own
// habits.
constexpr double own_class_share = 0.05;

// Classes of about equally many requests, turns included, by the length of the first.
void split_by_length(const Trace& trace, const std::vector<std::size_t>& turns, const std::string& tenant,
                     std::vector<std::uint32_t> rows, std::size_t most, std::vector<Class>& classes) {
  std::stable_sort(rows.begin(), rows.end(), [&](std::uint32_t a, std::uint32_t b) {
    return trace.rows[a].input_tokens < trace.rows[b].input_tokens;
  });
  const std::size_t parts = std::clamp<std::size_t>(rows.size() / fewest_firsts, 1, most);
  std::size_t all = 0, passed = 0;
  for (const std::uint32_t row : rows) all += turns[row];
  std::size_t part = 0, begin = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    passed += turns[rows[i]];
    const bool last = i + 1 == rows.size();
    if (!last && (passed * parts < all * (part + 1) || i + 1 - begin < fewest_firsts ||
                  rows.size() - (i + 1) < fewest_firsts))
      continue;
    while (part < parts && passed * parts >= all * (part + 1)) ++part;
    Class cls;
    cls.name = fmt::format("{}{}begins with {} to {}", tenant, tenant.empty() ? "" : ": ",
                           length_text(trace.rows[rows[begin]].input_tokens),
                           length_text(trace.rows[rows[i]].input_tokens));
    cls.rows.assign(rows.begin() + static_cast<std::ptrdiff_t>(begin),
                    rows.begin() + static_cast<std::ptrdiff_t>(i + 1));
    std::sort(cls.rows.begin(), cls.rows.end());
    classes.push_back(std::move(cls));
    name_apart(classes);
    begin = i + 1;
  }
}

// The tenants that matter one by one, the others together, each in classes by length: as many as it has
// requests.
void split_by_tenant(const Trace& trace, const std::vector<std::size_t>& turns,
                     std::vector<std::uint32_t> rows, std::size_t most, std::vector<Class>& classes) {
  std::map<std::uint32_t, std::vector<std::uint32_t>> of_tenant;
  for (const std::uint32_t row : rows) of_tenant[trace.rows[row].tenant].push_back(row);
  std::vector<std::pair<std::string, std::vector<std::uint32_t>>> parts;
  std::vector<std::uint32_t> others;
  for (auto& [tenant, own] : of_tenant) {
    const bool matters =
        own.size() >= fewest_firsts &&
        static_cast<double>(own.size()) >= own_class_share * static_cast<double>(rows.size());
    if (of_tenant.size() > 1 && matters && parts.size() + 1 < most)
      parts.emplace_back(trace.tenants[tenant].empty() ? "unnamed" : trace.tenants[tenant], std::move(own));
    else
      others.insert(others.end(), own.begin(), own.end());
  }
  if (!others.empty()) parts.emplace_back(parts.empty() ? "" : "others", std::move(others));
  double left_turns = 0;
  const auto turns_in = [&](const std::vector<std::uint32_t>& own) {
    double sum = 0;
    for (const std::uint32_t row : own) sum += static_cast<double>(turns[row]);
    return sum;
  };
  for (const auto& part : parts) left_turns += turns_in(part.second);
  std::size_t left = std::max(most, parts.size());
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const double own = turns_in(parts[k].second);
    const std::size_t for_others = parts.size() - k - 1;
    const auto fair = static_cast<std::size_t>(std::llround(static_cast<double>(left) * own / left_turns));
    const std::size_t share = std::clamp<std::size_t>(fair, 1, left - for_others);
    left -= share;
    left_turns -= own;
    split_by_length(trace, turns, parts[k].first, std::move(parts[k].second), share, classes);
  }
}

// Conversations by how much their second request adds: who hands in documents one after the other has fewer
// turns than who chats. Those of one request alone are a class of their own, less those whose second one came
// after the trace's end: they count with the classes that they are of.
void split_by_growth(const Trace& trace, const SessionForest& forest, const std::vector<std::size_t>& turns,
                     const std::vector<std::uint32_t>& rows, std::size_t most, std::vector<Class>& classes) {
  const auto added = [&](std::uint32_t row) {
    const TraceRow &before = trace.rows[row], &next = trace.rows[forest.next[row]];
    return next.input_tokens - before.input_tokens - (forest.keeps_answers ? before.output_tokens : 0);
  };
  std::vector<std::uint32_t> kinds[3];  // alone, little, much
  double sum = 0, count = 0;
  for (const std::uint32_t row : rows) {
    if (forest.next[row] != no_parent) sum += added(row), count += 1;
  }
  for (const std::uint32_t row : rows)
    kinds[forest.next[row] == no_parent ? 0 : added(row) * count <= sum ? 1 : 2].push_back(row);
  const GapLaw gap = gap_law(trace, forest, rows);
  const char* const names[] = {"one request", "adds little", "adds much"};
  double unseen = 0;
  const std::size_t first = classes.size();
  for (const std::size_t k : {1U, 2U, 0U}) {
    if (kinds[k].empty()) continue;
    const std::size_t from = classes.size();
    const std::size_t share =
        k == 0 ? std::max<std::size_t>(most - (classes.size() - first), 1) : (most - 1) / 2;
    split_by_length(trace, turns, names[k], std::move(kinds[k]), std::max<std::size_t>(share, 1), classes);
    if (k == 0) {
      double alone = 0;
      for (std::size_t c = from; c < classes.size(); ++c) alone += classes[c].arrivals();
      for (std::size_t c = from; c < classes.size(); ++c)
        classes[c].weight = std::max(classes[c].arrivals() * (1 - std::min(unseen / alone, 0.99)), 1.0);
      continue;
    }
    for (std::size_t c = from; c < classes.size(); ++c) {
      double all = 0;
      for (const std::uint32_t row : classes[c].rows)
        all += 1 / std::max(gap.within(to_seconds(trace.length - trace.rows[row].due)), 0.2);
      if (!trace.notes.timed || trace.notes.at_once) all = static_cast<double>(classes[c].rows.size());
      unseen += all - static_cast<double>(classes[c].rows.size());
      classes[c].weight = all;
    }
  }
}

}  // namespace

FittedProfiles profiles_of_requests(const Trace& trace, const FitOptions& options, const ClientSkew& skew) {
  FittedProfiles fit;
  fit_traffic(trace, trace.due(), options, fit);
  const auto most_classes = static_cast<std::size_t>(std::max(options.classes, 1));
  PrefixFit prefixes;
  std::vector<Class> classes;
  if (!trace.hashes.empty()) {
    prefixes = fit_prefixes(trace, std::max<std::size_t>(most_classes - 1, 1));
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
  fit.workload_json = lay_out(writer.write(classes, options.source, [](const Class&, const Json&) {}).dump());
  fit.bins = writer.bins();
  return fit;
}

FittedProfiles profiles_of_sessions(const Trace& trace, const FitOptions& options, SessionForest forest,
                                    ByWhat by_what) {
  FittedProfiles fit;
  std::vector<std::uint32_t> firsts;
  std::vector<Nanos> due;
  std::vector<std::size_t> turns(trace.size());
  std::int32_t most_context = 1;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    ++turns[forest.first[i]];
    most_context = std::max(most_context, trace.rows[i].input_tokens + trace.rows[i].output_tokens);
    if (forest.parent[i] != no_parent) continue;
    firsts.push_back(i);
    due.push_back(trace.rows[i].due);
  }
  fit_traffic(trace, due, options, fit);
  const auto most_classes = static_cast<std::size_t>(std::max(options.classes, 1));
  const PrefixFit prefixes =
      fit_prefixes(trace_of(trace, firsts), std::max<std::size_t>(most_classes / 2, 1), own_class_share);
  SharedTokens shared{prefixes.system_tokens, std::vector<std::int32_t>(trace.size())};
  for (std::size_t k = 0; k < firsts.size(); ++k) shared.prefix[firsts[k]] = prefixes.prefix_tokens[k];
  std::vector<Class> classes;
  std::size_t pools = 0;
  for (const PrefixFit::Class& cls : prefixes.classes) pools += cls.count > 0 ? 1 : 0;
  for (const PrefixFit::Class& cls : prefixes.classes) {
    std::vector<std::uint32_t> rows;
    for (const std::uint32_t k : cls.rows) rows.push_back(firsts[k]);
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
  const Json workload = writer.write(classes, description, [&](const Class& cls, Json& out) {
    const SessionLaws laws = fit_session_laws(trace, forest, cls.rows, &of_all);
    if (laws.has_turns()) out["session"] = session_json(laws, forest.keeps_answers, most_context);
  });
  fit.workload_json = lay_out(workload.dump());
  fit.bins = writer.bins();
  fit.laws = of_all;
  fit.sessions = std::move(forest);
  return fit;
}

}  // namespace dsbench::loadgen
