#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/units.h"

namespace dsbench::loadgen {

// A second attempt while the first is still waiting for its first token: whichever has one first goes on, the
// other is cancelled. Both are recorded as attempts (the loser as `superseded`).
struct HedgeLaw {
  // Wait so long before it, ...
  std::optional<Nanos> delay;
  // ... or the quantile of the recent times to first token; until 20 are known, `delay`, and no hedge
  // without.
  std::optional<double> quantile;
};

// When to hedge, from what was seen lately: the last 256 times to first token of this client.
class HedgeTimer {
 public:
  explicit HedgeTimer(const HedgeLaw& law) : law_{law} {}
  void first_token_after(Nanos ttft);
  // Of an attempt that begins now: how long to wait before its hedge; nothing: none.
  [[nodiscard]] std::optional<Nanos> wait();

 private:
  static constexpr std::size_t kept = 256, needed = 20, refresh = 16;
  HedgeLaw law_;
  std::array<std::int64_t, kept> recent_{};  // a ring, ns
  std::size_t seen_ = 0;
  std::size_t known_at_ = 0;  // seen_ when the quantile was taken
  Nanos quantile_{0};
};

}  // namespace dsbench::loadgen
