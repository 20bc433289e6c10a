#include "loadgen/patience.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"

namespace dsbench::loadgen {

Nanos patience_at(const Patience& patience, double u) {
  const double scale = to_seconds(patience.scale);
  double seconds = scale;
  switch (patience.law) {
    case Patience::Law::constant:
      break;
    case Patience::Law::exponential:
      seconds = -scale * std::log1p(-u);
      break;
    case Patience::Law::lognormal:
      seconds = scale * std::exp(patience.shape * inverse_normal_cdf(u));
      break;
    case Patience::Law::weibull:
      seconds = scale * std::pow(-std::log1p(-u), 1 / patience.shape);
      break;
  }
  constexpr double longest = 3e9;
  return from_seconds(std::min(seconds, longest));
}

}  // namespace dsbench::loadgen
