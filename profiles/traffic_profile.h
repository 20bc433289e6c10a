#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/units.h"

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
struct TrafficPiece {
  std::variant<HoldPiece, RampPiece, StepsPiece, SpikePiece> shape;
  std::string
      stage;  // name of its stage; of steps and spikes, which make several, the beginning of their names
  Nanos warm_up{0};  // at the start of each of its stages: offered, but not measured
  friend bool operator==(const TrafficPiece&, const TrafficPiece&) = default;
};

struct TrafficProfile {
  std::string name;  // for people: the shipped name, the path, or "command line"
  std::string description;
  ArrivalProcess arrivals;
  std::vector<TrafficPiece> pieces;
};

// Schema "dsbench.traffic/1". Everything that is wrong is reported at once.
[[nodiscard]] Result<TrafficProfile> parse_traffic(std::string_view json, std::string source);

// The compact form of a command line: pieces and at most one arrival process, joined by spaces or commas, in
// any case of spacing:
//   poisson  constant  gamma(cv 2)
//   hold(10/s,30s)  ramp(10/s..200/s,5m)  steps(20/s..200/s by 20/s,hold 30s)  spike(10/s,200/s,at 30s,for
//   10s,total 2m)
[[nodiscard]] Result<TrafficProfile> parse_traffic_text(std::string_view text);
// The compact form of a profile, less names and warm-ups; parses back to the same pieces.
[[nodiscard]] std::string print_traffic_text(const TrafficProfile& profile);

// The compact form if there is a parenthesis in it, else a shipped name or a path.
[[nodiscard]] Result<TrafficProfile> load_traffic(std::string_view text_or_name_or_path);

// A profile as its JSON, as resolved.
[[nodiscard]] std::string to_json(const TrafficProfile& profile);

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
    Rate planned;  // mean over [measure_from, end)
  };
  std::vector<Segment> segments;
  std::vector<Stage> stages;
  Nanos length{0};
  double requests = 0;  // expected: the integral of the rate
};
[[nodiscard]] TrafficPlan plan_of(const TrafficProfile& profile);

}  // namespace dsbench::profiles
