#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "profiles/traffic_event.h"

namespace dsbench::profiles {

// How arrivals are spread around the rate: at exact distances; as independent users (exponential gaps); or in
// bursts, with Gamma gaps of this coefficient of variation (1 is Poisson, above 1 is burstier).
struct ArrivalProcess {
  enum class Kind : std::uint8_t { constant, poisson, gamma };
  Kind kind = Kind::poisson;
  double cv = 1;  // of gamma
  friend bool operator==(const ArrivalProcess&, const ArrivalProcess&) = default;
};

// A piece of a traffic shape: the offered rate over time. All of them are piecewise linear.
struct HoldPiece {
  Rate rate;
  Nanos duration{0};
  friend bool operator==(const HoldPiece&, const HoldPiece&) = default;
};
struct RampPiece {
  Rate from, to;
  Nanos duration{0};
  friend bool operator==(const RampPiece&, const RampPiece&) = default;
};
// A staircase, up or down, both ends included; `to` must be a whole number of steps away.
struct StepsPiece {
  Rate from, to, by;
  Nanos hold{0};  // of each step
  friend bool operator==(const StepsPiece&, const StepsPiece&) = default;
};
struct SpikePiece {
  Rate base, peak;
  Nanos at{0}, length{0}, total{0};
  friend bool operator==(const SpikePiece&, const SpikePiece&) = default;
};
// Straight lines from point to point; two points at one instant are a jump. The first is at nought.
struct CurvePiece {
  struct Point {
    Nanos at{0};
    Rate rate;
    friend bool operator==(const Point&, const Point&) = default;
  };
  std::vector<Point> points;
  Nanos stage_length{0};  // a stage of its own for every such stretch; 0: the whole curve is one stage
  friend bool operator==(const CurvePiece&, const CurvePiece&) = default;
};

// How much of the traffic a class of the workload makes, in units of the other shares.
struct MixShare {
  std::string name;  // of the class
  double share = 0;
  friend bool operator==(const MixShare&, const MixShare&) = default;
};

struct TrafficPiece {
  std::variant<HoldPiece, RampPiece, StepsPiece, SpikePiece, CurvePiece> shape;
  std::string stage;  // name of its stage; of steps, spikes and cut curves, which make several, the beginning
                      // of their names
  Nanos warm_up{0};   // at the start of each of its stages: offered, but not measured
  std::vector<MixShare> mix;  // empty: the workload's own
  friend bool operator==(const TrafficPiece&, const TrafficPiece&) = default;
};

// Something else that happens meanwhile and is drawn beside the rate: the nodes that were up, a price.
struct BesideCurve {
  std::string name, unit;
  std::vector<std::pair<Nanos, double>> points;  // a step function: a value holds until the next
};

struct TrafficProfile {
  std::string name;  // for people: the shipped name, the path, or "command line"
  std::string description;
  ArrivalProcess arrivals;
  std::optional<Rate> base_rate;  // of an ordinary day: what the others are multiples of
  std::vector<TrafficPiece> pieces;
  std::vector<BesideCurve> beside;
  std::vector<TrafficEvent> events = {};
};

// Schema "dsbench.traffic/1". Everything that is wrong is reported at once. Where there is a base_rate, a
// rate may be written as a multiple of it ("12.5x").
[[nodiscard]] Result<TrafficProfile> parse_traffic(std::string_view json, std::string source);

// The compact form of a command line: pieces and at most one arrival process, joined by spaces or commas, in
// any case of spacing:
//   poisson  constant  gamma(cv 2)
//   hold(10/s,30s)  ramp(10/s..200/s,5m)  steps(20/s..200/s by 20/s,hold 30s)  spike(10/s,200/s,at 30s,for
//   10s,total 2m)  curve(0s 10/s,5m 40/s,10m 5/s)
[[nodiscard]] Result<TrafficProfile> parse_traffic_text(std::string_view text);
// The compact form of a profile, less names, mixes, warm-ups and events; parses back to the same pieces.
[[nodiscard]] std::string print_traffic_text(const TrafficProfile& profile);

// The compact form if there is a parenthesis in it, else a shipped name or a path.
[[nodiscard]] Result<TrafficProfile> load_traffic(std::string_view text_or_name_or_path);

// A profile as its JSON, as resolved.
[[nodiscard]] std::string to_json(const TrafficProfile& profile);

// The same shape in another size. Everything that lasts, lasts 1/compress as long (the rates stay: fewer
// requests are sent); every rate is multiplied. Errors: usage, for what would be empty or too large.
struct TrafficScale {
  double compress = 1;
  double rate = 1;
  std::optional<Rate> base_rate;  // instead of `rate`: what the profile's base_rate shall be
};
[[nodiscard]] Result<TrafficProfile> scaled(TrafficProfile profile, const TrafficScale& scale);

// What a profile comes to: the offered rate as linear segments end to end, and the stages they belong to.
struct TrafficPlan {
  struct Segment {
    Nanos start{0}, end{0};
    Rate from, to;
    std::uint32_t stage = 0;
  };
  struct Stage {
    std::string name;
    Nanos start{0}, measure_from{0}, end{0};
    Rate planned;           // mean over [measure_from, end)
    std::uint32_t mix = 0;  // index into `mixes`
  };
  std::vector<Segment> segments;
  std::vector<Stage> stages;
  std::vector<std::vector<MixShare>> mixes{{}};  // the first is empty: the workload's own
  Nanos length{0};
  double requests = 0;  // expected: the integral of the rate
};
[[nodiscard]] TrafficPlan plan_of(const TrafficProfile& profile);

// Where an event lies in a plan, since the start of the traffic.
struct PlannedEvent {
  Nanos start{0}, end{0};
};
// Errors: usage, for a stage that the plan has not, and for an event that would begin after its stage, or
// the traffic, is over.
[[nodiscard]] Result<PlannedEvent> place_event(const TrafficEvent& event, const TrafficPlan& plan);

// The mean of the offered rate over [from, to): the integral, divided by the length. `from` < `to`.
[[nodiscard]] Rate mean_rate(const TrafficPlan& plan, Nanos from, Nanos to);

}  // namespace dsbench::profiles
