#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "loadgen/traces/fit_line.h"
#include "loadgen/traces/fit_profiles.h"
#include "loadgen/traces/trace.h"
#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {

struct TraceFit {
  std::string traffic_json,
      workload_json;  // profiles, laid out for people; no traffic for a source without times
  double cv = 0;      // of the gaps, rescaled by the local rate
  double raw_cv = 0;  // as they are
  Nanos bin{0};
  std::size_t curve_points = 0, bins = 0, classes = 0;
  ClientSkew skew;
  std::optional<double> hit_share;                  // ideal: with an endless prefix cache
  double block_hit_share = 0;                       // the same counted in the source's blocks
  std::vector<double> hit_by_age, hit_by_position;  // see PrefixMeter
  std::optional<double> mean_reasoning;
  double input_mean = 0, input_p50 = 0, input_p99 = 0, output_mean = 0, output_p50 = 0, output_p99 = 0;
  struct Sessions {
    std::size_t sessions = 0, longer = 0;  // all; of more than one request
    std::size_t requests = 0;              // that follow another
    double mean_turns = 0;                 // of a session, as if the trace had not ended
    double fork_share = 0;                 // of requests gone on from, twice
    bool keeps_answers = true;
    double gap_p50_s = 0, user_p50 = 0;  // between turns, as if the trace had not ended; a turn's own tokens
  };
  // Of conversations, where some were found; `as_sessions` when the profiles have them.
  std::optional<Sessions> sessions;
  bool as_sessions = false;
  std::string why;  // they were written so, or not
  std::vector<FitLine> lines;
  [[nodiscard]] FitLine::Verdict worst() const;
};

// Fits a pair of profiles to a trace, draws as many requests from them as they make (of a small trace several
// times, to compare means that have no accidents of their own), and compares. The
// profiles are parsed from what would be written, so what is judged is what a reader of the files will get.
// Errors: usage, for fewer than 50 requests; what the profiles' own checks say.
[[nodiscard]] Result<TraceFit> fit_trace(const Trace& trace, const FitOptions& options);

}  // namespace dsbench::loadgen
