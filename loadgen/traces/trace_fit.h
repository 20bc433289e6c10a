#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "loadgen/traces/trace.h"
#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {

struct FitOptions {
  std::string name = "fitted";
  std::string source;        // for the descriptions: where the trace is from, and its licence
  std::optional<Nanos> bin;  // of the rate curve; none: RateCurve::good_width
  std::int32_t classes = 8;  // of the workload, at most: the largest clients, or lengths of shared prefixes
  std::int32_t most_bins = 48;  // of the prompt length, over all classes
  std::uint64_t seed = 1;       // of the synthetic trace that the fit is compared with
};

// A quantity of the source and of a synthetic trace drawn from the fitted profiles.
struct FitLine {
  enum class Verdict : std::uint8_t { good, fair, poor, not_judged };
  std::string what;
  std::string unit;                      // "", "%", "tokens", …
  std::optional<double> source, fitted;  // a distance between the two has no source
  Verdict verdict = Verdict::not_judged;
  std::string good_when;  // "within 10 %": what the word means
};
[[nodiscard]] std::string_view to_word(FitLine::Verdict verdict);

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
  std::vector<FitLine> lines;
  [[nodiscard]] FitLine::Verdict worst() const;
};

// Fits a pair of profiles to a trace, draws as many requests from them as they make (of a small trace several
// times, to compare means that have no accidents of their own), and compares. The
// profiles are parsed from what would be written, so what is judged is what a reader of the files will get.
// Errors: usage, for fewer than 50 requests; what the profiles' own checks say.
[[nodiscard]] Result<TraceFit> fit_trace(const Trace& trace, const FitOptions& options);

}  // namespace dsbench::loadgen
