#include <algorithm>
#include <array>
#include <utility>

#include "core/text.h"
#include "profiles/traffic_check.h"

namespace dsbench::profiles {
namespace {

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
constexpr std::string_view curve_form = "curve(0s 10/s,5m 40/s,10m 5/s)";
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
  TrafficPiece piece{std::move(*shape), "", Nanos{0}, {}};
  if (const std::string wrong = check_piece(piece); !wrong.empty())
    return fail(ErrorKind::usage, "{}: {}", text, wrong);
  profile.pieces.push_back(std::move(piece));
  return {};
}

Result<CurvePiece> read_curve(Arguments in, std::string_view piece) {
  CurvePiece p;
  do {
    CurvePiece::Point point;
    DSBENCH_TRY(point.at, parse_duration(in.word()));
    DSBENCH_TRY(point.rate, parse_rate(in.word()));
    p.points.push_back(point);
  } while (in.take(","));
  if (!in.done()) return refuse_form(piece, curve_form);
  return p;
}

}  // namespace

Result<TrafficProfile> parse_traffic_text(std::string_view text) {
  static constexpr std::array<std::string_view, 8> accepted{"hold",  "ramp",     "steps",   "spike",
                                                            "curve", "constant", "poisson", "gamma"};
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
      return fail(
          ErrorKind::usage,
          "'{}' is no piece of a traffic profile; accepted: {}, {}, {}, {}, {}, constant, poisson, {}{}",
          name, hold_form, ramp_form, steps_form, spike_form, curve_form, gamma_form,
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
    } else if (name == "curve") {
      DSBENCH_CHECK(add_piece(profile, piece, read_curve(in, piece)));
    } else {
      if (has_process)
        return fail(ErrorKind::usage, "'{}' is a second arrival process; give at most one", piece);
      has_process = true;
      if (name == "gamma") {
        DSBENCH_TRY(profile.arrivals, read_gamma(in, piece));
      } else {
        if (has_arguments) {
          return fail(
              ErrorKind::usage,
              "'{}' cannot be read; {} is a law of arrivals and stands without arguments: a steady rate "
              "is {}",
              piece, name, hold_form);
        }
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
    } else if (const auto* curve = std::get_if<CurvePiece>(&piece.shape)) {
      out += "curve(";
      for (std::size_t i = 0; i < curve->points.size(); ++i) {
        out += fmt::format("{}{} {}", i == 0 ? "" : ",", print_duration(curve->points[i].at),
                           print_rate(curve->points[i].rate));
      }
      out += ')';
    } else if (const auto* spike = std::get_if<SpikePiece>(&piece.shape)) {
      out +=
          fmt::format("spike({},{},at {},for {},total {})", print_rate(spike->base), print_rate(spike->peak),
                      print_duration(spike->at), print_duration(spike->length), print_duration(spike->total));
    }
  }
  return out;
}

}  // namespace dsbench::profiles
