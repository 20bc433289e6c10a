#pragma once

#include <optional>
#include <string_view>

#include "core/units.h"

namespace dsbench::loadgen {

// What the headers of a refusal say about trying again.
struct RetryAdvice {
  std::optional<Nanos> retry_after;
  std::optional<bool> should_retry;
};

// Takes one header line ("Retry-After: 2") into account: Retry-After in seconds (fractions allowed) or as a
// date, retry-after-ms, which wins, and x-should-retry. Names in any case; nonsense is passed over.
class RetryHeaders {
 public:
  // `wall_now` is since the Unix epoch; only a date needs it.
  void read(std::string_view line, Nanos wall_now);
  [[nodiscard]] const RetryAdvice& advice() const { return advice_; }

 private:
  RetryAdvice advice_;
  bool in_millis_ = false;
};

}  // namespace dsbench::loadgen
