#include "engine/admission/gradient_limit.h"

#include <algorithm>
#include <cmath>

namespace dsbench::engine {
namespace {

constexpr double smoothing = 0.2;
constexpr double newest = 0.05;  // weight of one step: some 20 steps of memory
constexpr double rise = 1e-6;    // of the unloaded time, a step
constexpr std::int64_t warm_up = 20;
constexpr double floor_limit = 4;

}  // namespace

GradientLimit::GradientLimit(double tolerance, std::int32_t ceiling)
    : tolerance_{tolerance}, ceiling_{static_cast<double>(ceiling)}, limit_{std::min(20.0, ceiling_)} {}

void GradientLimit::step(Nanos time, std::int64_t in_flight) {
  const double s = static_cast<double>(time.count()) * 1e-9;
  now_s_ = steps_ == 0 ? s : now_s_ + newest * (s - now_s_);
  ++steps_;
  if (steps_ < warm_up) return;
  unloaded_s_ = unloaded_s_ == 0 ? now_s_ : std::min(now_s_, unloaded_s_ * (1 + rise));
  const double gradient = std::clamp(tolerance_ * unloaded_s_ / now_s_, 0.5, 1.0);
  if (gradient == 1 && static_cast<double>(in_flight) < limit_ / 2) return;
  const double headroom = std::max(4.0, std::sqrt(limit_));
  const double aim = gradient * limit_ + headroom;
  limit_ = std::clamp((1 - smoothing) * limit_ + smoothing * aim, std::min(floor_limit, ceiling_), ceiling_);
}

}  // namespace dsbench::engine
