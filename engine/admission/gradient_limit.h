#pragma once

#include <cstdint>

#include "core/units.h"

namespace dsbench::engine {

// A limit on requests in flight that finds itself, after Netflix's Gradient2 and Envoy's adaptive
// concurrency, which compare the latency now with the latency without load. A request's latency is of no use
// here, it depends on how long the answer is; what every request sees alike is the time per token, which is
// the time of a step that decodes.
//
//   gradient = clamp(tolerance · unloaded / now, 0.5, 1)
//   limit    ← 0.8 · limit + 0.2 · (gradient · limit + headroom)
//
// `now` is an exponential average of some 20 steps; `unloaded` the smallest of these averages so far, which
// rises by a millionth a step: an overload of hours must not become the new measure, a model that is slower
// for good must. The limit only grows while it is used (at least half of it), or it would drift up in quiet
// times.
class GradientLimit {
 public:
  GradientLimit(double tolerance, std::int32_t ceiling);

  // A step that generated tokens took `time`, with `in_flight` requests running or waiting.
  void step(Nanos time, std::int64_t in_flight);
  [[nodiscard]] std::int32_t limit() const { return static_cast<std::int32_t>(limit_); }

 private:
  double tolerance_;
  double ceiling_;
  double limit_;
  double now_s_ = 0;
  double unloaded_s_ = 0;
  std::int64_t steps_ = 0;
};

}  // namespace dsbench::engine
