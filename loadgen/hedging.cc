#include "loadgen/hedging.h"

#include <algorithm>
#include <cmath>

namespace dsbench::loadgen {

void HedgeTimer::first_token_after(Nanos ttft) {
  recent_[seen_ % kept] = ttft.count();
  ++seen_;
}

std::optional<Nanos> HedgeTimer::wait() {
  if (!law_.quantile || seen_ < needed) return law_.delay;
  if (known_at_ == 0 || seen_ >= known_at_ + refresh) {
    known_at_ = seen_;
    auto sorted = recent_;
    const auto n = static_cast<std::ptrdiff_t>(std::min(seen_, kept));
    const auto rank = static_cast<std::ptrdiff_t>(std::ceil(*law_.quantile * static_cast<double>(n)));
    const auto place = sorted.begin() + std::clamp<std::ptrdiff_t>(rank - 1, 0, n - 1);
    std::nth_element(sorted.begin(), place, sorted.begin() + n);
    quantile_ = Nanos{*place};
  }
  return quantile_;
}

}  // namespace dsbench::loadgen
