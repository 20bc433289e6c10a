#include "profiles/traffic_profile.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/text.h"
#include "profiles/catalog.h"
#include "profiles/json_object.h"
#include "profiles/traffic_check.h"

namespace dsbench::profiles {
namespace {

using Json = nlohmann::ordered_json;

// "12/s", or "3x": a multiple of the base rate.
Rate rate_of(JsonObject& in, std::string_view key, const std::string& text, const std::optional<Rate>& base) {
  if (!text.ends_with('x')) {
    const auto rate = parse_rate(text);
    if (!rate) in.complain(key, rate.error().message);
    return rate.value_or(Rate{});
  }
  double factor = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size() - 1, factor);
  if (error != std::errc{} || end != text.data() + text.size() - 1 || !(factor >= 0)) {
    in.complain(
        key, fmt::format("'{}' is no multiple of the base rate; write a number and an x, as in 2.5x", text));
  } else if (!base) {
    in.complain(key,
                fmt::format("'{}' is a multiple of the base rate, and the profile has no base_rate", text));
  } else {
    return *base * factor;
  }
  return Rate{};
}

Rate read_rate(JsonObject& in, std::string_view key, const std::optional<Rate>& base) {
  if (in.has(key) && !in.is_text(key)) {
    // The usual reader finds the words for what is wrong.
    return in.rate(key);
  }
  const std::string text = in.text(key);
  return in.has(key) && !text.empty() ? rate_of(in, key, text, base) : Rate{};
}

CurvePiece read_points(JsonObject& in, const std::optional<Rate>& base) {
  CurvePiece curve;
  for (const auto& [at, rate] : in.text_pairs("points")) {
    const auto t = parse_duration(at);
    if (!t) in.complain("points", t.error().message);
    curve.points.push_back({t.value_or(Nanos{0}), rate_of(in, "points", rate, base)});
  }
  curve.stage_length = in.duration("stage_length", Nanos{0});
  return curve;
}

TrafficEvent read_event(JsonObject& in) {
  TrafficEvent event;
  if (const std::string text = in.text("fault"); !text.empty()) {
    auto fault = parse_event_fault(text);
    if (!fault) {
      in.complain("fault", fault.error().message);
    } else {
      event.fault = *fault;
    }
  }
  event.stage = in.text("stage", "");
  event.at = in.duration("at", Nanos{0});
  const Nanos until = in.duration("until", Nanos{0});
  if (in.has("until")) event.until = until;
  const std::int64_t target = in.integer("target", 0);
  if (in.has("target"))
    event.target = static_cast<std::int32_t>(std::clamp<std::int64_t>(target, -1, 1 << 20));
  if (const std::string wrong = check_event(event); !wrong.empty()) in.complain("at", wrong);
  return event;
}

}  // namespace

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
  if (root.has("base_rate")) profile.base_rate = root.rate("base_rate");
  const auto rate = [&](JsonObject& in, std::string_view key) {
    return read_rate(in, key, profile.base_rate);
  };
  root.each("pieces", [&](JsonObject& in) {
    TrafficPiece piece;
    const std::size_t shape = in.choice("shape", {"hold", "ramp", "steps", "spike", "curve"});
    if (shape == 0) {
      piece.shape = HoldPiece{rate(in, "rate"), in.duration("duration")};
    } else if (shape == 1) {
      piece.shape = RampPiece{rate(in, "from"), rate(in, "to"), in.duration("duration")};
    } else if (shape == 2) {
      piece.shape = StepsPiece{rate(in, "from"), rate(in, "to"), rate(in, "by"), in.duration("hold")};
    } else if (shape == 4) {
      piece.shape = read_points(in, profile.base_rate);
    } else {
      piece.shape = SpikePiece{rate(in, "base"), rate(in, "peak"), in.duration("at"), in.duration("for"),
                               in.duration("total")};
    }
    piece.stage = in.text("stage", "");
    piece.warm_up = in.duration("warm_up", Nanos{0});
    for (auto& [name, share] : in.named_numbers("mix")) {
      if (!(share >= 0))
        in.complain("mix", fmt::format("found a share of {} for {}; accepted: 0 or more", share, name));
      piece.mix.push_back({name, share});
    }
    profile.pieces.push_back(std::move(piece));
  });
  root.each(
      "beside",
      [&](JsonObject& in) {
        BesideCurve curve;
        curve.name = in.text("name");
        curve.unit = in.text("unit", "");
        for (const auto& [at, value] : in.text_pairs("points")) {
          const auto t = parse_duration(at);
          double number = 0;
          const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
          if (!t) in.complain("points", t.error().message);
          if (error != std::errc{} || end != value.data() + value.size())
            in.complain("points", fmt::format("'{}' is not a number", value));
          if (t) curve.points.emplace_back(*t, number);
        }
        profile.beside.push_back(std::move(curve));
      },
      false);
  root.each(
      "events", [&](JsonObject& in) { profile.events.push_back(read_event(in)); }, false);
  DSBENCH_CHECK(root.finish());
  for (std::size_t i = 0; i < profile.pieces.size(); ++i) {
    const std::string wrong = check_piece(profile.pieces[i]);
    if (!wrong.empty()) return fail(ErrorKind::usage, "{}: pieces[{}]: {}", root.source(), i, wrong);
  }
  if (const std::string wrong = check_whole(profile); !wrong.empty()) {
    return fail(ErrorKind::usage, "{}: pieces: {}", root.source(), wrong);
  }
  if (const std::string wrong = check_events(profile); !wrong.empty()) {
    return fail(ErrorKind::usage, "{}: events: {}", root.source(), wrong);
  }
  return profile;
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
  if (profile.base_rate) root["base_rate"] = print_rate(*profile.base_rate);
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
    } else if (const auto* curve = std::get_if<CurvePiece>(&piece.shape)) {
      out = {{"shape", "curve"}, {"points", Json::array()}};
      for (const auto& p : curve->points) out["points"].push_back({print_duration(p.at), print_rate(p.rate)});
      if (curve->stage_length > Nanos{0}) out["stage_length"] = print_duration(curve->stage_length);
    }
    if (!piece.stage.empty()) out["stage"] = piece.stage;
    if (piece.warm_up > Nanos{0}) out["warm_up"] = print_duration(piece.warm_up);
    for (const MixShare& m : piece.mix) out["mix"][m.name] = m.share;
    root["pieces"].push_back(std::move(out));
  }
  for (const BesideCurve& curve : profile.beside) {
    Json out{{"name", curve.name}, {"unit", curve.unit}, {"points", Json::array()}};
    for (const auto& [at, value] : curve.points) out["points"].push_back({print_duration(at), value});
    root["beside"].push_back(std::move(out));
  }
  for (const TrafficEvent& event : profile.events) {
    Json out{{"fault", print_fault(event.fault)}};
    if (!event.stage.empty()) out["stage"] = event.stage;
    out["at"] = print_duration(event.at);
    if (event.until) out["until"] = print_duration(*event.until);
    if (event.target) out["target"] = *event.target;
    root["events"].push_back(std::move(out));
  }
  return root.dump();
}

}  // namespace dsbench::profiles
