#include "profiles/traffic_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/text.h"
#include "profiles/catalog.h"
#include "profiles/json_object.h"

namespace dsbench::profiles {
namespace {

using Json = nlohmann::ordered_json;

// The shortest text that parses back to the same rate.
std::string print_rate(Rate r) {
  return fmt::format("{}/s", r.per_second());
}

// More than this is a slip of a zero, and would not fit in memory.
constexpr double most_requests = 50e6;
constexpr std::int64_t most_steps = 1000;

double steps_between(const StepsPiece& p) {
  return std::abs(p.to.per_second() - p.from.per_second()) / p.by.per_second();
}

// What is wrong with a piece, or an empty string.
struct Check {
  std::string operator()(const HoldPiece& p) const {
    return p.duration > Nanos{0} ? ""
                                 : "hold lasts no time; give a duration above nought, as in hold(10/s,30s)";
  }
  std::string operator()(const RampPiece& p) const {
    return p.duration > Nanos{0}
               ? ""
               : "ramp lasts no time; give a duration above nought, as in ramp(10/s..200/s,5m)";
  }
  std::string operator()(const StepsPiece& p) const {
    if (p.hold <= Nanos{0}) return "each step lasts no time; give a hold above nought, as in hold 30s";
    if (p.by <= Rate{}) return "steps by 0/s never arrive; give a distance above nought, as in by 20/s";
    const double n = steps_between(p);
    if (n > static_cast<double>(most_steps)) {
      return fmt::format("{:.0f} steps; at most {} are accepted", n + 1, most_steps);
    }
    if (std::abs(n - std::round(n)) > 1e-6) {
      const double sign = p.to < p.from ? -1 : 1;
      const double below = p.from.per_second() + sign * std::floor(n) * p.by.per_second();
      return fmt::format("{} is no whole number of steps of {} away from {}; the nearest ends are {} and {}",
                         print_rate(p.to), print_rate(p.by), print_rate(p.from),
                         print_rate(Rate::per_second(below)),
                         print_rate(Rate::per_second(below + sign * p.by.per_second())));
    }
    return "";
  }
  std::string operator()(const SpikePiece& p) const {
    if (p.length <= Nanos{0}) return "the spike lasts no time; give a length above nought, as in for 10s";
    if (p.at + p.length > p.total) {
      return fmt::format("a spike at {} for {} does not fit into a total of {}", print_duration(p.at),
                         print_duration(p.length), print_duration(p.total));
    }
    return "";
  }
};

// What is wrong with the whole, when each piece is right.
std::string check_whole(const TrafficProfile& profile) {
  if (profile.pieces.empty()) return "no pieces; give at least one, as in hold(10/s,30s)";
  const TrafficPlan plan = plan_of(profile);
  for (const auto& stage : plan.stages) {
    if (stage.measure_from >= stage.end) {
      return fmt::format("stage '{}' is all warm-up: {} of {}", stage.name,
                         print_duration(stage.measure_from - stage.start),
                         print_duration(stage.end - stage.start));
    }
  }
  if (plan.requests <= 0) return "the rate is 0/s throughout: nothing would be sent";
  if (plan.requests > most_requests) {
    return fmt::format("about {:.3g} requests would be sent; at most {:.3g} are accepted in one run",
                       plan.requests, most_requests);
  }
  return "";
}

std::string check_cv(double cv) {
  if (cv >= 0.05 && cv <= 20) return "";
  return fmt::format("found a coefficient of variation of {}; accepted: 0.05 to 20 (1 is Poisson)", cv);
}

// ---- the compact form

// Reads words out of the inside of one piece's parentheses.
struct Arguments {
  std::string_view rest;

  void skip_space() {
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) rest.remove_prefix(1);
  }
  bool take(std::string_view literal) {
    skip_space();
    if (!rest.starts_with(literal)) return false;
    rest.remove_prefix(literal.size());
    return true;
  }
  // Up to a space, a comma or "..".
  std::string_view word() {
    skip_space();
    std::size_t end = std::min(rest.find_first_of(" \t,"), rest.size());
    end = std::min(end, rest.find(".."));
    const std::string_view w = rest.substr(0, end);
    rest.remove_prefix(end);
    return w;
  }
  bool done() {
    skip_space();
    return rest.empty();
  }
};

constexpr std::string_view hold_form = "hold(10/s,30s)";
constexpr std::string_view ramp_form = "ramp(10/s..200/s,5m)";
constexpr std::string_view steps_form = "steps(20/s..200/s by 20/s,hold 30s)";
constexpr std::string_view spike_form = "spike(10/s,200/s,at 30s,for 10s,total 2m)";
constexpr std::string_view gamma_form = "gamma(cv 2)";

tl::unexpected<Error> refuse_form(std::string_view piece, std::string_view form) {
  return fail(ErrorKind::usage, "'{}' cannot be read; write it as {}", piece, form);
}

Result<HoldPiece> read_hold(Arguments in, std::string_view piece) {
  HoldPiece p;
  DSBENCH_TRY(p.rate, parse_rate(in.word()));
  if (!in.take(",")) return refuse_form(piece, hold_form);
  DSBENCH_TRY(p.duration, parse_duration(in.word()));
  if (!in.done()) return refuse_form(piece, hold_form);
  return p;
}

Result<RampPiece> read_ramp(Arguments in, std::string_view piece) {
  RampPiece p;
  DSBENCH_TRY(p.from, parse_rate(in.word()));
  if (!in.take("..")) return refuse_form(piece, ramp_form);
  DSBENCH_TRY(p.to, parse_rate(in.word()));
  if (!in.take(",")) return refuse_form(piece, ramp_form);
  DSBENCH_TRY(p.duration, parse_duration(in.word()));
  if (!in.done()) return refuse_form(piece, ramp_form);
  return p;
}

Result<StepsPiece> read_steps(Arguments in, std::string_view piece) {
  StepsPiece p;
  DSBENCH_TRY(p.from, parse_rate(in.word()));
  if (!in.take("..")) return refuse_form(piece, steps_form);
  DSBENCH_TRY(p.to, parse_rate(in.word()));
  if (!in.take("by ")) return refuse_form(piece, steps_form);
  DSBENCH_TRY(p.by, parse_rate(in.word()));
  if (!in.take(",") || !in.take("hold ")) return refuse_form(piece, steps_form);
  DSBENCH_TRY(p.hold, parse_duration(in.word()));
  if (!in.done()) return refuse_form(piece, steps_form);
  return p;
}

Result<SpikePiece> read_spike(Arguments in, std::string_view piece) {
  SpikePiece p;
  DSBENCH_TRY(p.base, parse_rate(in.word()));
  if (!in.take(",")) return refuse_form(piece, spike_form);
  DSBENCH_TRY(p.peak, parse_rate(in.word()));
  if (!in.take(",") || !in.take("at ")) return refuse_form(piece, spike_form);
  DSBENCH_TRY(p.at, parse_duration(in.word()));
  if (!in.take(",") || !in.take("for ")) return refuse_form(piece, spike_form);
  DSBENCH_TRY(p.length, parse_duration(in.word()));
  if (!in.take(",") || !in.take("total ")) return refuse_form(piece, spike_form);
  DSBENCH_TRY(p.total, parse_duration(in.word()));
  if (!in.done()) return refuse_form(piece, spike_form);
  return p;
}

Result<ArrivalProcess> read_gamma(Arguments in, std::string_view piece) {
  ArrivalProcess process;
  process.kind = ArrivalProcess::Kind::gamma;
  if (!in.take("cv ") && !in.take("cv=")) return refuse_form(piece, gamma_form);
  const std::string_view word = in.word();
  // parse_rate reads plain numbers with a unit; a CV has none, so we lend it one.
  const auto value = parse_rate(fmt::format("{}/s", word));
  if (!value || !in.done()) return refuse_form(piece, gamma_form);
  process.cv = value->per_second();
  if (const std::string wrong = check_cv(process.cv); !wrong.empty())
    return fail(ErrorKind::usage, "{}: {}", piece, wrong);
  return process;
}

template <class Shape>
Result<void> add_piece(TrafficProfile& profile, std::string_view text, Result<Shape> shape) {
  if (!shape) return fail(ErrorKind::usage, "{}: {}", text, shape.error().message);
  if (const std::string wrong = Check{}(*shape); !wrong.empty())
    return fail(ErrorKind::usage, "{}: {}", text, wrong);
  profile.pieces.push_back({std::move(*shape), "", Nanos{0}});
  return {};
}

// ---- the plan

class Planner {
 public:
  TrafficPlan plan;

  void stage(std::string name, Nanos warm_up, Nanos length, Rate from, Rate to) {
    const auto index = static_cast<std::uint32_t>(plan.stages.size());
    const Nanos start = plan.length;
    const Nanos end = start + length;
    const Nanos measured = std::max(length - warm_up, Nanos{0});
    // The mean of a line over its last `measured`.
    const double share = length > Nanos{0} ? to_seconds(measured) / to_seconds(length) : 1;
    const double at_measure = to.per_second() + (from.per_second() - to.per_second()) * share;
    plan.stages.push_back(
        {std::move(name), start, end - measured, end, Rate::per_second((at_measure + to.per_second()) / 2)});
    plan.segments.push_back({start, end, from, to, index});
    plan.length = end;
    plan.requests += (from.per_second() + to.per_second()) / 2 * to_seconds(length);
  }

  void add(const TrafficPiece& piece) {
    const auto named = [&](std::string by_default) {
      return piece.stage.empty() ? std::move(by_default) : fmt::format("{}: {}", piece.stage, by_default);
    };
    if (const auto* p = std::get_if<HoldPiece>(&piece.shape)) {
      stage(piece.stage.empty() ? fmt::format("hold {}", print_rate(p->rate)) : piece.stage, piece.warm_up,
            p->duration, p->rate, p->rate);
    } else if (const auto* ramp = std::get_if<RampPiece>(&piece.shape)) {
      stage(piece.stage.empty() ? fmt::format("ramp {}..{}", print_rate(ramp->from), print_rate(ramp->to))
                                : piece.stage,
            piece.warm_up, ramp->duration, ramp->from, ramp->to);
    } else if (const auto* steps = std::get_if<StepsPiece>(&piece.shape)) {
      const auto n = static_cast<std::int64_t>(std::llround(steps_between(*steps)));
      const double sign = steps->to < steps->from ? -1 : 1;
      for (std::int64_t i = 0; i <= n; ++i) {
        const double computed =
            steps->from.per_second() + sign * static_cast<double>(i) * steps->by.per_second();
        const Rate rate = i == n ? steps->to : Rate::per_second(std::max(computed, 0.0));
        stage(named(fmt::format("step {}", format_rate(rate))), piece.warm_up, steps->hold, rate, rate);
      }
    } else if (const auto* spike = std::get_if<SpikePiece>(&piece.shape)) {
      if (spike->at > Nanos{0})
        stage(named("before the spike"), piece.warm_up, spike->at, spike->base, spike->base);
      stage(named(fmt::format("spike {}", print_rate(spike->peak))), Nanos{0}, spike->length, spike->peak,
            spike->peak);
      if (const Nanos rest = spike->total - spike->at - spike->length; rest > Nanos{0}) {
        stage(named("after the spike"), Nanos{0}, rest, spike->base, spike->base);
      }
    }
  }
};

}  // namespace

TrafficPlan plan_of(const TrafficProfile& profile) {
  Planner planner;
  for (const TrafficPiece& piece : profile.pieces) planner.add(piece);
  return std::move(planner.plan);
}

Result<TrafficProfile> parse_traffic(std::string_view json, std::string source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(json, std::move(source)));
  TrafficProfile profile;
  profile.name = root.source();
  root.schema("traffic", 1);
  profile.description = root.text("description", "");
  if (root.has("arrivals")) {
    JsonObject arrivals = root.object("arrivals");
    profile.arrivals.kind =
        static_cast<ArrivalProcess::Kind>(arrivals.choice("process", {"constant", "poisson", "gamma"}));
    if (profile.arrivals.kind == ArrivalProcess::Kind::gamma) {
      profile.arrivals.cv = arrivals.number("cv");
      if (const std::string wrong = check_cv(profile.arrivals.cv); !wrong.empty())
        arrivals.complain("cv", wrong);
    }
  }
  root.each("pieces", [&](JsonObject& in) {
    TrafficPiece piece;
    const std::size_t shape = in.choice("shape", {"hold", "ramp", "steps", "spike"});
    if (shape == 0) {
      piece.shape = HoldPiece{in.rate("rate"), in.duration("duration")};
    } else if (shape == 1) {
      piece.shape = RampPiece{in.rate("from"), in.rate("to"), in.duration("duration")};
    } else if (shape == 2) {
      piece.shape = StepsPiece{in.rate("from"), in.rate("to"), in.rate("by"), in.duration("hold")};
    } else {
      piece.shape = SpikePiece{in.rate("base"), in.rate("peak"), in.duration("at"), in.duration("for"),
                               in.duration("total")};
    }
    piece.stage = in.text("stage", "");
    piece.warm_up = in.duration("warm_up", Nanos{0});
    profile.pieces.push_back(std::move(piece));
  });
  DSBENCH_CHECK(root.finish());
  for (std::size_t i = 0; i < profile.pieces.size(); ++i) {
    const std::string wrong = std::visit(Check{}, profile.pieces[i].shape);
    if (!wrong.empty()) return fail(ErrorKind::usage, "{}: pieces[{}]: {}", root.source(), i, wrong);
  }
  if (const std::string wrong = check_whole(profile); !wrong.empty()) {
    return fail(ErrorKind::usage, "{}: pieces: {}", root.source(), wrong);
  }
  return profile;
}

Result<TrafficProfile> parse_traffic_text(std::string_view text) {
  static constexpr std::array<std::string_view, 7> accepted{"hold",     "ramp",    "steps", "spike",
                                                            "constant", "poisson", "gamma"};
  TrafficProfile profile;
  profile.name = "command line";
  bool has_process = false;
  std::string_view rest = text;
  for (;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\n,"), rest.size()));
    if (rest.empty()) break;
    const std::size_t name_end = std::min(rest.find_first_of(" \t\n,("), rest.size());
    const std::string_view name = rest.substr(0, name_end);
    if (std::find(accepted.begin(), accepted.end(), name) == accepted.end()) {
      const std::string_view near = nearest_word(name, accepted);
      return fail(ErrorKind::usage,
                  "'{}' is no piece of a traffic profile; accepted: {}, {}, {}, {}, constant, poisson, {}{}",
                  name, hold_form, ramp_form, steps_form, spike_form, gamma_form,
                  near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
    }
    Arguments in;
    std::string_view piece = name;
    const bool has_arguments = name_end < rest.size() && rest[name_end] == '(';
    if (has_arguments) {
      const std::size_t close = rest.find(')');
      if (close == std::string_view::npos)
        return fail(ErrorKind::usage, "'{}' has no closing parenthesis", rest);
      in.rest = rest.substr(name_end + 1, close - name_end - 1);
      piece = rest.substr(0, close + 1);
    }
    rest.remove_prefix(piece.size());
    if (name == "hold") {
      DSBENCH_CHECK(add_piece(profile, piece, read_hold(in, piece)));
    } else if (name == "ramp") {
      DSBENCH_CHECK(add_piece(profile, piece, read_ramp(in, piece)));
    } else if (name == "steps") {
      DSBENCH_CHECK(add_piece(profile, piece, read_steps(in, piece)));
    } else if (name == "spike") {
      DSBENCH_CHECK(add_piece(profile, piece, read_spike(in, piece)));
    } else {
      if (has_process)
        return fail(ErrorKind::usage, "'{}' is a second arrival process; give at most one", piece);
      has_process = true;
      if (name == "gamma") {
        DSBENCH_TRY(profile.arrivals, read_gamma(in, piece));
      } else {
        if (has_arguments) return refuse_form(piece, name);
        profile.arrivals.kind =
            name == "constant" ? ArrivalProcess::Kind::constant : ArrivalProcess::Kind::poisson;
      }
    }
  }
  if (const std::string wrong = check_whole(profile); !wrong.empty()) {
    return fail(ErrorKind::usage, "traffic '{}': {}", text, wrong);
  }
  return profile;
}

std::string print_traffic_text(const TrafficProfile& profile) {
  std::string out;
  switch (profile.arrivals.kind) {
    case ArrivalProcess::Kind::constant:
      out = "constant";
      break;
    case ArrivalProcess::Kind::poisson:
      out = "poisson";
      break;
    case ArrivalProcess::Kind::gamma:
      out = fmt::format("gamma(cv {})", profile.arrivals.cv);
      break;
  }
  for (const TrafficPiece& piece : profile.pieces) {
    out += ' ';
    if (const auto* hold = std::get_if<HoldPiece>(&piece.shape)) {
      out += fmt::format("hold({},{})", print_rate(hold->rate), print_duration(hold->duration));
    } else if (const auto* ramp = std::get_if<RampPiece>(&piece.shape)) {
      out += fmt::format("ramp({}..{},{})", print_rate(ramp->from), print_rate(ramp->to),
                         print_duration(ramp->duration));
    } else if (const auto* steps = std::get_if<StepsPiece>(&piece.shape)) {
      out += fmt::format("steps({}..{} by {},hold {})", print_rate(steps->from), print_rate(steps->to),
                         print_rate(steps->by), print_duration(steps->hold));
    } else if (const auto* spike = std::get_if<SpikePiece>(&piece.shape)) {
      out +=
          fmt::format("spike({},{},at {},for {},total {})", print_rate(spike->base), print_rate(spike->peak),
                      print_duration(spike->at), print_duration(spike->length), print_duration(spike->total));
    }
  }
  return out;
}

Result<TrafficProfile> load_traffic(std::string_view text_or_name_or_path) {
  if (text_or_name_or_path.find('(') != std::string_view::npos)
    return parse_traffic_text(text_or_name_or_path);
  DSBENCH_TRY(const ProfileText found, find_profile("traffic", text_or_name_or_path));
  DSBENCH_TRY(TrafficProfile profile, parse_traffic(found.text, found.source));
  profile.name = std::string(text_or_name_or_path);
  return profile;
}

std::string to_json(const TrafficProfile& profile) {
  Json root;
  root["schema"] = "dsbench.traffic/1";
  if (!profile.description.empty()) root["description"] = profile.description;
  switch (profile.arrivals.kind) {
    case ArrivalProcess::Kind::constant:
      root["arrivals"]["process"] = "constant";
      break;
    case ArrivalProcess::Kind::poisson:
      root["arrivals"]["process"] = "poisson";
      break;
    case ArrivalProcess::Kind::gamma:
      root["arrivals"]["process"] = "gamma";
      root["arrivals"]["cv"] = profile.arrivals.cv;
      break;
  }
  root["pieces"] = Json::array();
  for (const TrafficPiece& piece : profile.pieces) {
    Json out;
    if (const auto* hold = std::get_if<HoldPiece>(&piece.shape)) {
      out = {
          {"shape", "hold"}, {"rate", print_rate(hold->rate)}, {"duration", print_duration(hold->duration)}};
    } else if (const auto* ramp = std::get_if<RampPiece>(&piece.shape)) {
      out = {{"shape", "ramp"},
             {"from", print_rate(ramp->from)},
             {"to", print_rate(ramp->to)},
             {"duration", print_duration(ramp->duration)}};
    } else if (const auto* steps = std::get_if<StepsPiece>(&piece.shape)) {
      out = {{"shape", "steps"},
             {"from", print_rate(steps->from)},
             {"to", print_rate(steps->to)},
             {"by", print_rate(steps->by)},
             {"hold", print_duration(steps->hold)}};
    } else if (const auto* spike = std::get_if<SpikePiece>(&piece.shape)) {
      out = {{"shape", "spike"},
             {"base", print_rate(spike->base)},
             {"peak", print_rate(spike->peak)},
             {"at", print_duration(spike->at)},
             {"for", print_duration(spike->length)},
             {"total", print_duration(spike->total)}};
    }
    if (!piece.stage.empty()) out["stage"] = piece.stage;
    if (piece.warm_up > Nanos{0}) out["warm_up"] = print_duration(piece.warm_up);
    root["pieces"].push_back(std::move(out));
  }
  return root.dump();
}

}  // namespace dsbench::profiles
