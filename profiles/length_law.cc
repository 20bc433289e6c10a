#include "profiles/length_law.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <limits>

#include "core/rng.h"
#include "core/text.h"
#include "profiles/json_object.h"

namespace dsbench::profiles {
namespace {

// ---- Zipf. Sums of k^−s without a table: the first terms one by one, the rest by the Euler–Maclaurin
// formula around midpoints, whose error there is below 10⁻⁷ of the sum.
constexpr std::int64_t summed_one_by_one = 32;

// The sum of k^−s for whole k between two half-odd ends.
struct TailOfPowers {
  double s, from;
  [[nodiscard]] double integral(double to) const {
    if (std::abs(s - 1) < 1e-9) return std::log(to / from);
    return (std::pow(to, 1 - s) - std::pow(from, 1 - s)) / (1 - s);
  }
  [[nodiscard]] double slope(double x) const { return -s * std::pow(x, -s - 1); }
  [[nodiscard]] double sum(double to) const { return integral(to) - (slope(to) - slope(from)) / 24; }
  // Where the sum reaches a value: the inverse of the integral, made exact by Newton's rule.
  [[nodiscard]] double reaching(double value, double limit) const {
    double x = std::abs(s - 1) < 1e-9
                   ? from * std::exp(value)
                   : std::pow(std::max(0.0, std::pow(from, 1 - s) + (1 - s) * value), 1 / (1 - s));
    for (int i = 0; i < 3; ++i) {
      x = std::clamp(x, from, limit);
      x -= (sum(x) - value) / std::pow(x, -s);
    }
    return std::clamp(x, from, limit);
  }
};

std::int64_t zipf_between(std::int64_t min, std::int64_t max, double s, double u) {
  std::array<double, summed_one_by_one> reached{};  // the sum up to term i
  const auto head = static_cast<std::size_t>(std::min<std::int64_t>(summed_one_by_one, max - min + 1));
  double sum = 0;
  for (std::size_t i = 0; i < head; ++i)
    reached[i] = sum += std::pow(static_cast<double>(min) + static_cast<double>(i), -s);
  const TailOfPowers tail{s, static_cast<double>(min + static_cast<std::int64_t>(head)) - 0.5};
  const double end = static_cast<double>(max) + 0.5;
  const double wanted = u * (sum + (max - min + 1 > summed_one_by_one ? tail.sum(end) : 0));
  for (std::size_t i = 0; i < head; ++i) {
    if (wanted <= reached[i]) return min + static_cast<std::int64_t>(i);
  }
  const double x = tail.reaching(wanted - sum, end);
  return std::clamp(static_cast<std::int64_t>(std::ceil(x - 0.5)), min, max);
}

double normal_cdf(double z) {
  return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

// Of the normal law between the ends, each of them widened by a half, so that rounding is fair to them.
double truncated_normal_at(const LengthLaw& law, double u) {
  if (law.deviation <= 0) return law.mean;
  const double from = normal_cdf((law.min - 0.5 - law.mean) / law.deviation);
  const double to = normal_cdf((law.max + 0.5 - law.mean) / law.deviation);
  // The mean is between the ends, so there is room between them.
  const double p = std::clamp(from + u * (to - from), std::numeric_limits<double>::min(),
                              1 - std::numeric_limits<double>::epsilon());
  return law.mean + law.deviation * inverse_normal_cdf(p);
}

double empirical_at(const LengthLaw& law, double u) {
  double total = 0;
  for (const double w : law.weights) total += w;
  double left = u * total;
  for (std::size_t i = 0; i < law.values.size(); ++i) {
    left -= law.weights[i];
    if (left <= 0) return law.values[i];
  }
  return law.values.back();
}

// ---- reading. One grammar for lengths and times; what differs is how one figure is read and printed.
struct Figures {
  JsonObject& in;
  bool times;

  [[nodiscard]] std::string shown(double n) const {
    return times ? print_duration(Nanos{std::llround(n * 1e6)}) : fmt::format("{:.12g}", n);
  }
  double figure(std::string_view key) const {
    return times ? static_cast<double>(in.duration(key).count()) / 1e6 : in.number(key);
  }
  [[nodiscard]] std::string unit() const { return times ? "" : " (a whole number)"; }

  // A figure that must be whole and in range; what is wrong is remembered, and the least is given.
  std::int32_t whole(std::string_view key, double least, double most) const {
    const double n = figure(key);
    if (!in.has(key)) return static_cast<std::int32_t>(least);
    if (!(n >= least && n <= most) || n != std::floor(n)) {
      in.complain(key, fmt::format("found {}; accepted: {} to {}{}", shown(n), shown(least), shown(most),
                                   times ? ", in whole milliseconds" : unit()));
      return static_cast<std::int32_t>(least);
    }
    return static_cast<std::int32_t>(n);
  }
  double between(std::string_view key, double low, double high) const {
    const double n = figure(key);
    if (in.has(key) && !(n >= low && n <= high)) {
      in.complain(
          key, fmt::format("found {}; accepted: from min {} to max {}", shown(n), shown(low), shown(high)));
    }
    return n;
  }
  double parameter(std::string_view key, double low, double high, std::string_view what) const {
    const double n = in.number(key);
    if (in.has(key) && !(n >= low && n <= high))
      in.complain(key, fmt::format("found {}; accepted: {} to {} ({})", n, low, high, what));
    return n;
  }
  // Ascending, in range; of times in seconds.
  std::vector<double> list(std::string_view key, std::size_t least_size, double least, double most,
                           bool must_be_whole) const {
    std::vector<double> found = in.numbers(key);
    if (!in.has(key)) return std::vector<double>(least_size, least);
    if (times) {
      for (double& x : found) x = std::round(x * 1e3);
    }
    const auto bad = [&](std::string message) {
      in.complain(key, std::move(message));
      return std::vector<double>(least_size, least);
    };
    if (found.size() < least_size)
      return bad(fmt::format("found {} figures; accepted: {} or more", found.size(), least_size));
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double x = found[i];
      if (!(x >= least && x <= most) || (must_be_whole && x != std::floor(x))) {
        return bad(fmt::format("found {}; accepted: {} to {}{}", shown(x), shown(least), shown(most),
                               must_be_whole ? unit() : ""));
      }
      if (i > 0 && x < found[i - 1])
        return bad(
            fmt::format("found {} after {}; accepted: ascending figures", shown(x), shown(found[i - 1])));
    }
    return found;
  }
};

const std::vector<std::string_view> words{"constant", "uniform", "lognormal", "normal",
                                          "gamma",    "zipf",    "empirical", "quantiles"};

LengthLaw read_law(const Figures& in, double least, double most) {
  using Kind = LengthLaw::Kind;
  LengthLaw law;
  law.kind = static_cast<Kind>(in.in.choice("law", words));
  if (law.kind == Kind::constant) {
    law.min = law.max = in.whole("value", least, most);
    return law;
  }
  if (law.kind == Kind::empirical || law.kind == Kind::quantiles) {
    const bool quantiles = law.kind == Kind::quantiles;
    law.values = in.list(quantiles ? "quantiles" : "values", quantiles ? 2 : 1, least, most, !quantiles);
    if (!quantiles) {
      law.weights = in.in.numbers("weights", std::vector<double>(law.values.size(), 1.0));
      const bool positive = std::all_of(law.weights.begin(), law.weights.end(),
                                        [](double w) { return w > 0 && std::isfinite(w); });
      if (law.weights.size() != law.values.size() || !positive) {
        in.in.complain(
            "weights",
            fmt::format("found {} weights{}; accepted: one above nought for each of the "
                        "{} values",
                        law.weights.size(), positive ? "" : ", some not above nought", law.values.size()));
        law.weights.assign(law.values.size(), 1);
      }
    }
    law.min = static_cast<std::int32_t>(std::floor(law.values.front()));
    law.max = static_cast<std::int32_t>(std::ceil(law.values.back()));
    return law;
  }
  law.min = in.whole("min", law.kind == Kind::zipf ? std::max(1.0, least) : least, most);
  law.max = in.whole("max", law.kind == Kind::zipf ? std::max(1.0, least) : least, most);
  if (law.min > law.max)
    in.in.complain("max", fmt::format("found {}, below min {}", in.shown(law.max), in.shown(law.min)));
  switch (law.kind) {
    case Kind::lognormal:
      law.median = in.between("median", law.min, law.max);
      if (in.in.has("median") && law.median <= 0) in.in.complain("median", "must be above nought");
      law.sigma = in.parameter("sigma", 0, 5, "the standard deviation of the logarithm");
      break;
    case Kind::normal:
      law.mean = in.between("mean", law.min, law.max);
      law.deviation = in.figure("deviation");
      if (in.in.has("deviation") && !(law.deviation >= 0))
        in.in.complain("deviation",
                       fmt::format("found {}; accepted: nought or more", in.shown(law.deviation)));
      break;
    case Kind::gamma:
      law.mean = in.between("mean", law.min, law.max);
      if (in.in.has("mean") && law.mean <= 0) in.in.complain("mean", "must be above nought");
      law.cv = in.parameter("cv", 0.01, 100, "the standard deviation divided by the mean");
      break;
    case Kind::zipf:
      law.exponent = in.parameter("exponent", 0, 10, "of P(k) ~ k^-exponent");
      break;
    case Kind::constant:
    case Kind::uniform:
    case Kind::empirical:
    case Kind::quantiles:
      break;
  }
  return law;
}

LengthLaw read_under(JsonObject& in, std::string_view key, bool times, double least, double most,
                     const std::optional<LengthLaw>& fallback) {
  LengthLaw law;
  law.min = law.max = static_cast<std::int32_t>(least);
  if (!in.has(key) && fallback) {
    (void)in.object(key, false);  // it is known
    return *fallback;
  }
  if (in.has(key) && !in.is_object(key)) {  // a bare figure
    law.min = law.max = Figures{in, times}.whole(key, least, most);
    return law;
  }
  JsonObject object = in.object(key);
  if (!in.has(key)) return law;
  return read_law({object, times}, least, most);
}

}  // namespace

double quantile_at(const std::vector<double>& quantiles, double u) {
  const double place = u * static_cast<double>(quantiles.size() - 1);
  const auto i = std::min(static_cast<std::size_t>(place), quantiles.size() - 2);
  return quantiles[i] + (place - static_cast<double>(i)) * (quantiles[i + 1] - quantiles[i]);
}

std::int64_t zipf_at(std::int64_t count, double exponent, double u) {
  return zipf_between(1, count, exponent, u);
}

std::int32_t length_at(const LengthLaw& law, double u) {
  double length = law.min;
  switch (law.kind) {
    case LengthLaw::Kind::constant:
      break;
    case LengthLaw::Kind::uniform:
      length = law.min + std::floor(u * (static_cast<double>(law.max) - law.min + 1));
      break;
    case LengthLaw::Kind::lognormal:
      length = std::round(law.median * std::exp(law.sigma * inverse_normal_cdf(u)));
      break;
    case LengthLaw::Kind::normal:
      length = std::round(truncated_normal_at(law, u));
      break;
    case LengthLaw::Kind::gamma: {
      const double shape = 1 / (law.cv * law.cv);
      length = std::round(boost::math::gamma_p_inv(shape, u) / shape * law.mean);
      break;
    }
    case LengthLaw::Kind::zipf:
      length = static_cast<double>(zipf_between(law.min, law.max, law.exponent, u));
      break;
    case LengthLaw::Kind::empirical:
      length = empirical_at(law, u);
      break;
    case LengthLaw::Kind::quantiles:
      length = std::round(quantile_at(law.values, u));
      break;
  }
  return static_cast<std::int32_t>(
      std::clamp(length, static_cast<double>(law.min), static_cast<double>(law.max)));
}

double mean_of(const LengthLaw& law) {
  constexpr int points = 10'000;
  double sum = 0;
  for (int i = 0; i < points; ++i) sum += length_at(law, (i + 0.5) / points);
  return sum / points;
}

Nanos time_at(const TimeLaw& law, double u) {
  return Nanos{std::int64_t{length_at(law.milliseconds, u)} * 1'000'000};
}

LengthLaw read_length_law(JsonObject& in, std::string_view key, std::int64_t least, std::int64_t most,
                          const std::optional<LengthLaw>& fallback) {
  return read_under(in, key, false, static_cast<double>(least), static_cast<double>(most), fallback);
}

TimeLaw read_time_law(JsonObject& in, std::string_view key, const std::optional<TimeLaw>& fallback) {
  // Up to a week: beyond it no run has a second turn.
  constexpr double most_ms = 7 * 86'400e3;
  return {read_under(in, key, true, 0, most_ms,
                     fallback ? std::optional{fallback->milliseconds} : std::optional<LengthLaw>{})};
}

}  // namespace dsbench::profiles
