#include "loadgen/traces/rate_curve.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {

Nanos RateCurve::good_width(std::size_t arrivals, Nanos length) {
  const double seconds = std::max(to_seconds(length), 1e-3);
  const double rate = static_cast<double>(arrivals) / seconds;
  for (const double width : {1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
                             3600.0, 7200.0, 14400.0, 43200.0, 86400.0, 604800.0}) {
    if (seconds / width <= 150 && rate * width >= 100) return from_seconds(std::min(width, seconds));
  }
  // Few arrivals over a long time: no curve can be told from them.
  return length;
}

namespace {

struct Bins {
  std::vector<double> edges, rates;
};

Bins count(std::span<const Nanos> due, Nanos length, Nanos width) {
  // Edges on whole milliseconds, which profiles print shortly.
  const double end = std::ceil(to_seconds(length) * 1e3) / 1e3;
  Bins bins{{0}, {}};
  const double step = to_seconds(width);
  for (double at = step; at < end - step / 2; at = step * static_cast<double>(bins.edges.size()))
    bins.edges.push_back(at);
  bins.edges.push_back(end);
  const std::size_t n = bins.edges.size() - 1;
  bins.rates.assign(n, 0);
  for (const Nanos t : due) bins.rates[std::min(static_cast<std::size_t>(to_seconds(t) / step), n - 1)] += 1;
  for (std::size_t i = 0; i < n; ++i) bins.rates[i] /= bins.edges[i + 1] - bins.edges[i];
  return bins;
}

}  // namespace

RateCurve RateCurve::fit(std::span<const Nanos> due, Nanos length, Nanos width) {
  Bins bins = count(due, length, width);
  return through(std::move(bins.edges), bins.rates, width);
}

RateCurve RateCurve::fit_calm(std::span<const Nanos> due, Nanos length, Nanos width, double cv) {
  Bins bins = count(due, length, width);
  const std::vector<double>& r = bins.rates;
  const std::size_t n = r.size();
  const auto beside = [&](std::size_t i) {
    return i == 0 ? r[1] : i + 1 == n ? r[n - 2] : (r[i - 1] + r[i + 1]) / 2;
  };
  std::vector<double> calm = r;
  if (n >= 8) {
    // A count of mean m varies by cv²·m, and its distance from the mean of two neighbours by 1.5 times that.
    double spread = 0, accident = 0;
    for (std::size_t i = 1; i + 1 < n; ++i) {
      const double distance = r[i] - beside(i);
      spread += distance * distance;
      accident += 1.5 * cv * cv * r[i] / (bins.edges[i + 1] - bins.edges[i]);
    }
    const double kept = spread > 0 ? std::clamp(1 - accident / spread, 0.0, 1.0) : 1;
    double before = 0, after = 0;
    for (std::size_t i = 0; i < n; ++i) {
      // Of the bin and its neighbours' mean, the one third and two thirds that would be best of three like
      // ones.
      const double local = r[i] / 3 + beside(i) * 2 / 3;
      calm[i] = local + kept * (r[i] - local);
      before += r[i] * (bins.edges[i + 1] - bins.edges[i]);
      after += calm[i] * (bins.edges[i + 1] - bins.edges[i]);
    }
    for (double& rate : calm) rate *= after > 0 ? before / after : 1;
  }
  return through(std::move(bins.edges), calm, width);
}

RateCurve RateCurve::through(std::vector<double> edges, const std::vector<double>& rates, Nanos width) {
  RateCurve curve;
  curve.width_ = width;
  const std::size_t bins = rates.size();
  const auto at_edge = [&](std::size_t i) {
    if (i == 0) return rates[0];
    if (i == bins) return rates[bins - 1];
    // Not above twice either neighbour, so that no middle falls below nought.
    return std::min({(rates[i - 1] + rates[i]) / 2, 2 * rates[i - 1], 2 * rates[i]});
  };
  for (std::size_t i = 0; i < bins; ++i) {
    const double left = at_edge(i), right = at_edge(i + 1);
    curve.points_.push_back({edges[i], left});
    const double middle = 2 * rates[i] - (left + right) / 2;
    if (std::abs(middle - (left + right) / 2) > 1e-12)
      curve.points_.push_back({(edges[i] + edges[i + 1]) / 2, std::max(middle, 0.0)});
  }
  curve.points_.push_back({edges.back(), at_edge(bins)});
  return curve;
}

double RateCurve::Mass::until(double t) {
  const auto& p = curve_.points_;
  while (at_ + 2 < p.size() && p[at_ + 1].at_s <= t) {
    before_ += (p[at_].rate + p[at_ + 1].rate) / 2 * (p[at_ + 1].at_s - p[at_].at_s);
    ++at_;
  }
  const double span = p[at_ + 1].at_s - p[at_].at_s;
  const double x = t - p[at_].at_s;
  return before_ + p[at_].rate * x + (p[at_ + 1].rate - p[at_].rate) * x * x / (2 * span);
}

double rescaled_cv(std::span<const Nanos> due, const RateCurve& curve) {
  RateCurve::Mass mass{curve};
  std::vector<double> gaps;
  gaps.reserve(due.size());
  double before = mass.until(to_seconds(due.front()));
  for (const Nanos t : due.subspan(1)) {
    const double now = mass.until(to_seconds(t));
    gaps.push_back(now - before);
    before = now;
  }
  return moments(gaps).cv;
}

double raw_cv(std::span<const Nanos> due) {
  std::vector<double> gaps;
  gaps.reserve(due.size());
  for (std::size_t i = 1; i < due.size(); ++i) gaps.push_back(to_seconds(due[i] - due[i - 1]));
  return moments(gaps).cv;
}

}  // namespace dsbench::loadgen
