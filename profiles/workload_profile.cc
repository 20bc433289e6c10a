#include "profiles/workload_profile.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/text.h"
#include "profiles/catalog.h"
#include "profiles/json_object.h"

namespace dsbench::profiles {
namespace {

using Json = nlohmann::ordered_json;
using Kind = LengthLaw::Kind;

constexpr std::int64_t most_turns = 1'000'000;
constexpr std::size_t most_classes = 1'000;
const std::vector<std::string_view> failure_words{"stop", "continue", "retry_turn"};

// ---- reading

double read_share(JsonObject& in, std::string_view key, double fallback, std::string_view of) {
  const double share = in.number(key, fallback);
  if (!(share >= 0 && share <= 1)) {
    in.complain(key, fmt::format("found {}; accepted: 0 to 1 (a share {})", share, of));
    return fallback;
  }
  return share;
}

std::int32_t read_whole(JsonObject& in, std::string_view key, std::int64_t fallback, std::int64_t least,
                        std::int64_t most) {
  const std::int64_t n = in.integer(key, fallback);
  if (in.has(key) && (n < least || n > most)) {
    in.complain(key, fmt::format("found {}; accepted: {} to {}", n, least, most));
    return static_cast<std::int32_t>(fallback);
  }
  return static_cast<std::int32_t>(n);
}

OnFailure read_on_failure(JsonObject& in, OnFailure fallback) {
  return static_cast<OnFailure>(in.choice("on_failure", failure_words, static_cast<std::size_t>(fallback)));
}

PrefixPool read_pool(JsonObject& in) {
  PrefixPool pool;
  pool.count = read_whole(in, "count", 1, 1, 100'000'000);
  pool.tokens = read_length_law(in, "tokens");
  pool.zipf = in.number("zipf", 1.0);
  if (!(pool.zipf >= 0 && pool.zipf <= 10)) {
    in.complain("zipf", fmt::format("found {}; accepted: 0 (all equally often) to 10", pool.zipf));
    pool.zipf = 1;
  }
  pool.share = read_share(in, "share", 1, "of the requests");
  return pool;
}

const std::vector<std::string_view> detail_words{"auto", "low", "high"};

ImageShape read_images(JsonObject in) {
  ImageShape images;
  images.count = read_length_law(in, "count", 0, 1'000);
  images.bytes = read_length_law(in, "bytes", 128, std::int64_t{64} << 20);
  images.pool = read_whole(in, "pool", 64, 1, 1'000'000);
  images.tokens = read_whole(in, "tokens", 0, 0, 1'000'000);
  images.detail = static_cast<ImageShape::Detail>(in.choice("detail", detail_words, 0));
  return images;
}

SessionShape::Forks read_forks(JsonObject in) {
  SessionShape::Forks forks;
  forks.share = in.number("share", 0.0);
  forks.turns = read_length_law(in, "turns", 1, most_turns);
  // Every turn of a fork may fork again: from one on it would never end.
  if (const double after = forks.share * profiles::mean_of(forks.turns); !(forks.share >= 0 && after < 1)) {
    in.complain("share",
                fmt::format("found {}, with forks of {:.3g} turns; accepted: from 0, and share times "
                            "the mean of turns below 1, or forks of forks would never end",
                            forks.share, profiles::mean_of(forks.turns)));
    forks.share = 0;
  }
  return forks;
}

SessionShape read_session(JsonObject in) {
  SessionShape session;
  session.turns = read_length_law(in, "turns", 1, most_turns);
  if (in.has("turn_gap")) {
    session.turn_gap = read_time_law(in, "turn_gap");
    if (in.has("think_time")) {
      (void)read_time_law(in, "think_time");
      in.complain("turn_gap", "is given beside think_time; accepted: one of the two");
    }
  } else {
    session.think_time = read_time_law(in, "think_time");
  }
  session.user_tokens = read_length_law(in, "user_tokens");
  if (in.has("output_tokens")) session.output_tokens = read_length_law(in, "output_tokens");
  session.keeps_history = in.boolean("keeps_history", true);
  session.keeps_answers = in.boolean("keeps_answers", true);
  if (in.has("forks")) session.forks = read_forks(in.object("forks"));
  session.on_failure = read_on_failure(in, session.on_failure);
  session.max_context_tokens = read_whole(in, "max_context_tokens", 0, 0, most_tokens);
  return session;
}

AgentShape read_agent(JsonObject in) {
  const LengthLaw none{Kind::constant, 0, 0};
  AgentShape agent;
  agent.period = read_time_law(in, "period");
  agent.steps = read_length_law(in, "steps", 1, most_turns);
  agent.tool_pause = read_time_law(in, "tool_pause");
  agent.tool_tokens = read_length_law(in, "tool_tokens");
  agent.fan_out = read_length_law(in, "fan_out", 0, 1'000, none);
  agent.branch_tokens =
      read_length_law(in, "branch_tokens", 1, most_tokens,
                      agent.fan_out.max > 0 ? std::optional<LengthLaw>{} : std::optional{LengthLaw{}});
  agent.cancel_share = read_share(in, "cancel_share", 0, "of the requests");
  agent.endless = in.boolean("endless", true);
  agent.keeps_context = in.boolean("keeps_context", true);
  agent.max_context_tokens = read_whole(in, "max_context_tokens", 0, 0, most_tokens);
  agent.on_failure = read_on_failure(in, agent.on_failure);
  if (agent.endless && agent.keeps_context && agent.max_context_tokens == 0) {
    in.complain("max_context_tokens",
                "required of an endless agent that keeps its context: it would grow for "
                "ever; accepted: 1 to 16777216, or \"keeps_context\": false");
  }
  return agent;
}

JointLengths read_joint(JsonObject in) {
  JointLengths joint;
  std::int32_t after = 0;
  in.each("bins", [&](JsonObject& b) {
    JointLengths::Bin bin;
    bin.prompt_from = read_whole(b, "prompt_from", 1, 1, most_tokens);
    bin.prompt_to = read_whole(b, "prompt_to", bin.prompt_from, 1, most_tokens);
    bin.weight = b.number("weight", 1.0);
    bin.output_quantiles = b.numbers("output_quantiles");
    if (!b.has("prompt_from")) b.complain("prompt_from", "required, but missing");
    if (bin.prompt_to < bin.prompt_from)
      b.complain("prompt_to", fmt::format("found {}, below prompt_from {}", bin.prompt_to, bin.prompt_from));
    if (bin.prompt_from < after)
      b.complain("prompt_from",
                 fmt::format("found {}, inside the bin before, which goes to {}", bin.prompt_from, after));
    after = bin.prompt_to;
    if (!(bin.weight > 0)) b.complain("weight", fmt::format("found {}; accepted: above 0", bin.weight));
    const auto& q = bin.output_quantiles;
    if (b.has("output_quantiles") && (q.size() < 2 || !std::is_sorted(q.begin(), q.end()) || q.front() < 1 ||
                                      q.back() > static_cast<double>(most_tokens))) {
      b.complain("output_quantiles",
                 fmt::format("accepted: two or more ascending figures from 1 to {}", most_tokens));
    }
    joint.bins.push_back(std::move(bin));
  });
  if (joint.bins.empty()) in.complain("bins", "accepted: at least one bin");
  return joint;
}

void read_shape(JsonObject& in, RequestShape& shape) {
  if (in.has("lengths")) {
    shape.lengths = read_joint(in.object("lengths"));
    for (const std::string_view key : {"prompt_tokens", "output_tokens", "rank_correlation"}) {
      if (!in.has(key)) continue;
      in.complain(key, "is given beside lengths, which says it all; accepted: one of the two");
      if (key == "rank_correlation")
        (void)in.number(key);
      else
        (void)read_length_law(in, key);
    }
  } else {
    shape.prompt_tokens = read_length_law(in, "prompt_tokens");
    shape.output_tokens = read_length_law(in, "output_tokens");
    shape.rank_correlation = in.number("rank_correlation", 0.0);
    if (!(shape.rank_correlation >= -1 && shape.rank_correlation <= 1)) {
      in.complain("rank_correlation",
                  fmt::format("found {}; accepted: -1 to 1 (Spearman's)", shape.rank_correlation));
      shape.rank_correlation = 0;
    }
  }
  shape.system_prompt_tokens = read_whole(in, "system_prompt_tokens", 0, 0, most_tokens);
  in.each(
      "prefix_pools", [&](JsonObject& pool) { shape.prefix_pools.push_back(read_pool(pool)); }, false);
  if (in.has("images")) shape.images = read_images(in.object("images"));
  shape.reasoning_share = read_share(in, "reasoning_share", 0, "of the output tokens");
  if (in.has("session")) shape.session = read_session(in.object("session"));
  if (in.has("agent")) {
    shape.agent = read_agent(in.object("agent"));
    if (shape.session) in.complain("agent", "is given beside session; accepted: one of the two");
  }
}

TenantClass read_class(JsonObject& in) {
  TenantClass c;
  c.name = in.text("name");
  if (in.has("name") && c.name.empty()) in.complain("name", "is empty; give the class a name");
  c.weight = in.number("weight", 1.0);
  // Nought is allowed: a class that only some stages' mix brings.
  if (!(c.weight >= 0 && std::isfinite(c.weight)))
    in.complain("weight", fmt::format("found {}; accepted: 0 or more", c.weight));
  (void)in.text("description", "");
  read_shape(in, c);
  if (in.is_text("slo")) {
    if (auto slo = load_slo(in.text("slo")); slo)
      c.slo = std::move(*slo);
    else
      in.complain("slo", slo.error().message);
  } else if (in.has("slo")) {
    JsonObject inside = in.object("slo");
    c.slo = read_slo(inside);
    c.slo->name = c.name;
  }
  if (in.is_text("client")) {
    if (auto client = load_client(in.text("client")); client)
      c.client = std::move(*client);
    else
      in.complain("client", client.error().message);
  } else if (in.has("client")) {
    JsonObject inside = in.object("client");
    c.client = read_client(inside);
    c.client->name = c.name;
  }
  return c;
}

// ---- writing

Json write_figure(double n, bool times) {
  if (times) return print_duration(Nanos{std::llround(n * 1e6)});
  if (n == std::floor(n) && std::abs(n) < 1e15) return static_cast<std::int64_t>(n);
  return n;
}

Json write_list(const std::vector<double>& list, bool times) {
  Json out = Json::array();
  for (const double x : list) out.push_back(write_figure(times ? x / 1e3 : x, false));
  return out;
}

Json write_law(const LengthLaw& law, bool times = false) {
  const auto figure = [times](double n) { return write_figure(n, times); };
  Json out;
  switch (law.kind) {
    case Kind::constant:
      return {{"law", "constant"}, {"value", figure(law.min)}};
    case Kind::empirical:
      return {{"law", "empirical"},
              {"values", write_list(law.values, times)},
              {"weights", write_list(law.weights, false)}};
    case Kind::quantiles:
      return {{"law", "quantiles"}, {"quantiles", write_list(law.values, times)}};
    case Kind::uniform:
      out["law"] = "uniform";
      break;
    case Kind::lognormal:
      out = {{"law", "lognormal"}, {"median", figure(law.median)}, {"sigma", law.sigma}};
      break;
    case Kind::normal:
      out = {{"law", "normal"}, {"mean", figure(law.mean)}, {"deviation", figure(law.deviation)}};
      break;
    case Kind::gamma:
      out = {{"law", "gamma"}, {"mean", figure(law.mean)}, {"cv", law.cv}};
      break;
    case Kind::zipf:
      out = {{"law", "zipf"}, {"exponent", law.exponent}};
      break;
  }
  out["min"] = figure(law.min);
  out["max"] = figure(law.max);
  return out;
}
Json write_law(const TimeLaw& law) {
  return write_law(law.milliseconds, true);
}

void write_shape(Json& out, const RequestShape& shape) {
  if (shape.lengths) {
    Json bins = Json::array();
    for (const auto& bin : shape.lengths->bins) {
      bins.push_back({{"prompt_from", bin.prompt_from},
                      {"prompt_to", bin.prompt_to},
                      {"weight", write_figure(bin.weight, false)},
                      {"output_quantiles", write_list(bin.output_quantiles, false)}});
    }
    out["lengths"] = {{"bins", std::move(bins)}};
  } else {
    out["prompt_tokens"] = write_law(shape.prompt_tokens);
    out["output_tokens"] = write_law(shape.output_tokens);
    if (shape.rank_correlation != 0) out["rank_correlation"] = shape.rank_correlation;
  }
  if (shape.system_prompt_tokens > 0) out["system_prompt_tokens"] = shape.system_prompt_tokens;
  for (const PrefixPool& pool : shape.prefix_pools) {
    out["prefix_pools"].push_back({{"count", pool.count},
                                   {"tokens", write_law(pool.tokens)},
                                   {"zipf", pool.zipf},
                                   {"share", pool.share}});
  }
  if (const auto& i = shape.images) {
    out["images"] = {{"count", write_law(i->count)},
                     {"bytes", write_law(i->bytes)},
                     {"pool", i->pool},
                     {"tokens", i->tokens},
                     {"detail", detail_words[static_cast<std::size_t>(i->detail)]}};
  }
  if (shape.reasoning_share > 0) out["reasoning_share"] = shape.reasoning_share;
  if (const auto& s = shape.session) {
    Json& session = out["session"];
    session["turns"] = write_law(s->turns);
    session[s->turn_gap ? "turn_gap" : "think_time"] = write_law(s->turn_gap.value_or(s->think_time));
    session["user_tokens"] = write_law(s->user_tokens);
    if (s->output_tokens) session["output_tokens"] = write_law(*s->output_tokens);
    session["keeps_history"] = s->keeps_history;
    if (!s->keeps_answers) session["keeps_answers"] = false;
    if (s->forks) session["forks"] = {{"share", s->forks->share}, {"turns", write_law(s->forks->turns)}};
    session["on_failure"] = to_word(s->on_failure);
    session["max_context_tokens"] = s->max_context_tokens;
  }
  if (const auto& a = shape.agent) {
    Json& agent = out["agent"];
    agent = {{"period", write_law(a->period)},
             {"steps", write_law(a->steps)},
             {"tool_pause", write_law(a->tool_pause)},
             {"tool_tokens", write_law(a->tool_tokens)}};
    if (a->fan_out.max > 0) {
      agent["fan_out"] = write_law(a->fan_out);
      agent["branch_tokens"] = write_law(a->branch_tokens);
    }
    agent["cancel_share"] = a->cancel_share;
    agent["endless"] = a->endless;
    agent["keeps_context"] = a->keeps_context;
    agent["max_context_tokens"] = a->max_context_tokens;
    agent["on_failure"] = to_word(a->on_failure);
  }
}

// A profile inside another: without its schema.
template <class Profile>
Json write_inside(const Profile& profile) {
  Json out = Json::parse(to_json(profile));
  out.erase("schema");
  out.erase("description");
  return out;
}

}  // namespace

std::string_view to_word(OnFailure what) {
  return failure_words[static_cast<std::size_t>(what)];
}

std::vector<TenantClass> classes_of(const WorkloadProfile& profile) {
  if (!profile.classes.empty()) return profile.classes;
  TenantClass all;
  static_cast<RequestShape&>(all) = profile;
  all.name = "all";
  return {all};
}

Result<WorkloadProfile> parse_workload(std::string_view json, std::string source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(json, std::move(source)));
  WorkloadProfile profile;
  profile.name = root.source();
  root.schema("workload", 1);
  profile.description = root.text("description", "");
  if (!root.has("classes")) {
    read_shape(root, profile);
  } else {
    std::set<std::string> names;
    double weights = 0;
    root.each("classes", [&](JsonObject& in) {
      profile.classes.push_back(read_class(in));
      const TenantClass& c = profile.classes.back();
      weights += c.weight;
      if (!names.insert(c.name).second) in.complain("name", fmt::format("'{}' is given twice", c.name));
    });
    if (profile.classes.empty() || profile.classes.size() > most_classes)
      root.complain("classes",
                    fmt::format("found {}; accepted: 1 to {}", profile.classes.size(), most_classes));
    else if (!(weights > 0))
      root.complain("classes", "all weights are nought; accepted: at least one above it");
  }
  DSBENCH_CHECK(root.finish());
  return profile;
}

Result<WorkloadProfile> load_workload(std::string_view name_or_path) {
  DSBENCH_TRY(const ProfileText found, find_profile("workload", name_or_path));
  DSBENCH_TRY(WorkloadProfile profile, parse_workload(found.text, found.source));
  profile.name = std::string(name_or_path);
  return profile;
}

std::string to_json(const WorkloadProfile& profile) {
  Json root;
  root["schema"] = "dsbench.workload/1";
  if (!profile.description.empty()) root["description"] = profile.description;
  if (profile.classes.empty()) {
    write_shape(root, profile);
  }
  for (const TenantClass& c : profile.classes) {
    Json out{{"name", c.name}, {"weight", write_figure(c.weight, false)}};
    write_shape(out, c);
    if (c.slo) out["slo"] = write_inside(*c.slo);
    if (c.client) out["client"] = write_inside(*c.client);
    root["classes"].push_back(std::move(out));
  }
  return root.dump();
}

}  // namespace dsbench::profiles
