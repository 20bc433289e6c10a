#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/units.h"

namespace dsbench::profiles {

class JsonObject;

// The longest context a model of today claims is a few million tokens.
inline constexpr std::int64_t most_tokens = 16'777'216;

// How many: a law for one whole number (tokens, turns, steps). Drawn by its inverse CDF, so that one uniform
// number gives one length, and two laws on one stream of randomness stay in step.
//
// A length outside [min, max] is moved to the nearer end; of `normal`, whose tail is thin, and of `zipf`, the
// law itself is cut there.
struct LengthLaw {
  enum class Kind : std::uint8_t {
    constant,   // min = max
    uniform,    // on the whole numbers min to max
    lognormal,  // median, sigma
    normal,     // mean, deviation; truncated to [min, max]
    gamma,      // mean, cv
    zipf,       // P(k) ∝ k^−exponent for k from min to max
    empirical,  // one of `values`, by weight
    quantiles,  // linear between equally probable quantiles
  };
  Kind kind = Kind::constant;
  std::int32_t min = 1, max = 1;    // both included; equal when constant
  double median = 1;                // of lognormal
  double sigma = 0;                 // of lognormal: standard deviation of the logarithm
  double mean = 1;                  // of normal and gamma
  double deviation = 0;             // of normal: standard deviation before it is truncated
  double cv = 1;                    // of gamma: standard deviation ÷ mean
  double exponent = 1;              // of zipf
  std::vector<double> values = {};  // of empirical: whole numbers, ascending. Of quantiles: at 0, 1/n, …, 1
  std::vector<double> weights = {};  // of empirical: as many, each above nought
  friend bool operator==(const LengthLaw&, const LengthLaw&) = default;
};

// The length at which the law's CDF reaches u; u in (0, 1).
[[nodiscard]] std::int32_t length_at(const LengthLaw& law, double u);
// The k in [1, count] at which the CDF of P(k) ∝ k^−exponent reaches u.
[[nodiscard]] std::int64_t zipf_at(std::int64_t count, double exponent, double u);
// The value at which the CDF that is linear between equally probable quantiles reaches u; at least two.
[[nodiscard]] double quantile_at(const std::vector<double>& quantiles, double u);
// The mean of a law, by integrating its inverse CDF.
[[nodiscard]] double mean_of(const LengthLaw& law);

// How long: a law over times, in whole milliseconds.
struct TimeLaw {
  LengthLaw milliseconds{LengthLaw::Kind::constant, 0, 0};
  friend bool operator==(const TimeLaw&, const TimeLaw&) = default;
};
[[nodiscard]] Nanos time_at(const TimeLaw& law, double u);

// Reads {"law": "lognormal", "median": 1020, "sigma": 0.985, "min": 2, "max": 14050} and its like; a bare
// number is a constant. Lengths outside [least, most] are complained about.
[[nodiscard]] LengthLaw read_length_law(JsonObject& in, std::string_view key, std::int64_t least = 1,
                                        std::int64_t most = most_tokens,
                                        const std::optional<LengthLaw>& fallback = std::nullopt);
// The same with durations ("20s") for min, max, median, mean and deviation, and arrays of seconds for values
// and quantiles; a bare duration is a constant.
[[nodiscard]] TimeLaw read_time_law(JsonObject& in, std::string_view key,
                                    const std::optional<TimeLaw>& fallback = std::nullopt);

}  // namespace dsbench::profiles
