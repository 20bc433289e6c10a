#pragma once

#include <cstdint>

#include "core/units.h"

namespace dsbench::loadgen {

// How long people wait for a first token before they leave, as a distribution over people. One number is
// drawn for each request; it runs from the instant at which the request was due, over all its attempts.
struct Patience {
  enum class Law : std::uint8_t {
    constant,     // all wait `scale`
    exponential,  // mean `scale`: who has waited long is no nearer to leaving
    lognormal,    // median `scale`, `shape` is the standard deviation of the logarithm
    weibull,      // scale `scale`, shape `shape`: above 1, people run out of patience
  };
  Law law = Law::constant;
  Nanos scale{0};
  double shape = 1;
};

// The inverse distribution function at u in (0, 1); at most about a century.
[[nodiscard]] Nanos patience_at(const Patience& patience, double u);

}  // namespace dsbench::loadgen
