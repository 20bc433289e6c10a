#include "loadgen/client_policy.h"

#include <algorithm>
#include <cmath>

namespace dsbench::loadgen {
namespace {

using results::Reason;

// What the SDK's client would call a connection error, a timeout, or a status that is worth another try. Our
// own failures (unsent, interrupted) are not the server's, and after a 200 the SDK has handed the response to
// its caller.
bool worth_another_try(const Failure& failure) {
  switch (failure.reason) {
    case Reason::connect_failed:
    case Reason::connect_timeout:
    case Reason::tls_failed:
    case Reason::send_failed:
    case Reason::first_token_timeout:
    case Reason::stall_timeout:
    case Reason::total_timeout:
    case Reason::http_429:
    case Reason::http_503:
    case Reason::http_5xx:
      return true;
    case Reason::http_4xx:
      return failure.http_status == 408 || failure.http_status == 409;
    case Reason::ok:
    case Reason::http_other:
    case Reason::closed_early:
    case Reason::error_frame:
    case Reason::insufficient_resource:
    case Reason::malformed:
    case Reason::empty:
    case Reason::unsent:
    case Reason::interrupted:
    case Reason::cancelled:
      return false;
  }
  return false;
}

// Only a response that is an error carries headers which may override.
bool is_error_status(Reason reason) {
  return reason == Reason::http_429 || reason == Reason::http_503 || reason == Reason::http_4xx ||
         reason == Reason::http_5xx || reason == Reason::http_other;
}

}  // namespace

std::optional<Nanos> retry_delay(const RetryLaw& law, std::int32_t retry, const Failure& failure,
                                 Rng& jitter) {
  if (retry >= law.max_retries || failure.stream_began) return std::nullopt;
  const bool override_applies = failure.should_retry.has_value() && is_error_status(failure.reason);
  if (!(override_applies ? *failure.should_retry : worth_another_try(failure))) return std::nullopt;
  if (failure.retry_after && *failure.retry_after > law.retry_after_limit) return std::nullopt;
  if (failure.retry_after && *failure.retry_after > Nanos{0}) return failure.retry_after;
  // 2^n overtakes any cap long before n = 60; the shift of the exponent must not overflow.
  const double backoff_ns =
      std::min(std::ldexp(static_cast<double>(law.initial.count()), std::min(retry, 60)),
               static_cast<double>(law.cap.count()));
  const double factor = 1 - law.jitter * jitter.uniform();
  return Nanos{std::llround(backoff_ns * factor)};
}

}  // namespace dsbench::loadgen
