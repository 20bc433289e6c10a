#include "engine/admission/wait_predictor.h"

#include <algorithm>
#include <cmath>

namespace dsbench::engine {

void WaitPredictor::step(Nanos time, std::int64_t prompt_tokens, std::int64_t admitted,
                         std::int64_t waiting) {
  const double s = static_cast<double>(time.count()) * 1e-9;
  const double keep = std::exp(-s / (static_cast<double>(memory_.count()) * 1e-9));
  if (prompt_tokens > 0) prefill_.add(static_cast<double>(prompt_tokens), s, keep);
  if (waiting > 0) admission_.add(static_cast<double>(admitted), s, keep);
}

std::optional<Nanos> WaitPredictor::first_token(std::int64_t own_tokens, std::int64_t waiting,
                                                std::int64_t tokens_ahead) const {
  // Below this there is nothing to go by.
  constexpr double enough_seconds = 0.05;
  if (prefill_.seconds < enough_seconds && admission_.seconds < enough_seconds) return std::nullopt;
  double expected = 0;
  if (prefill_.amount > 0)
    expected = static_cast<double>(own_tokens + tokens_ahead) * prefill_.seconds / prefill_.amount;
  if (waiting > 0 && admission_.seconds >= enough_seconds) {
    // Nobody let in over that time: at best one after all of it.
    expected = std::max(
        expected, static_cast<double>(waiting + 1) * admission_.seconds / std::max(1.0, admission_.amount));
  }
  return Nanos{static_cast<std::int64_t>(std::min(expected, 1e8) * 1e9)};
}

}  // namespace dsbench::engine
