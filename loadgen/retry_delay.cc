#include "loadgen/retry_delay.h"

#include <algorithm>
#include <cmath>

namespace dsbench::loadgen {
namespace {

using results::Reason;

enum class Kind : std::uint8_t { connection, timeout, status, broken_stream, none };

// What the SDK's client would call it. Our own failures (unsent, interrupted) and the user's decisions
// (abandoned, superseded) are not the server's; after a 200 the SDK has handed the response to its caller.
Kind kind_of(Reason reason) {
  switch (reason) {
    case Reason::connect_failed:
    case Reason::tls_failed:
    case Reason::send_failed:
      return Kind::connection;
    case Reason::connect_timeout:
    case Reason::first_token_timeout:
    case Reason::stall_timeout:
    case Reason::total_timeout:
      return Kind::timeout;
    case Reason::http_429:
    case Reason::http_503:
    case Reason::http_5xx:
    case Reason::http_4xx:
    case Reason::http_other:
      return Kind::status;
    case Reason::closed_early:
    case Reason::error_frame:
    case Reason::insufficient_resource:
    case Reason::malformed:
    case Reason::empty:
      return Kind::broken_stream;
    case Reason::ok:
    case Reason::abandoned:
    case Reason::superseded:
    case Reason::breaker_open:
    case Reason::unsent:
    case Reason::interrupted:
    case Reason::cancelled:
      return Kind::none;
  }
  return Kind::none;
}

std::int32_t status_of(const Failure& failure) {
  if (failure.http_status != 0) return failure.http_status;
  // A target in virtual time may leave the number out; the reason has it.
  if (failure.reason == Reason::http_429) return 429;
  if (failure.reason == Reason::http_503) return 503;
  return failure.reason == Reason::http_5xx ? 500 : 0;
}

bool worth_another_try(const RetryLaw& law, const Failure& failure) {
  switch (kind_of(failure.reason)) {
    case Kind::connection:
      return law.after_connection_errors;
    case Kind::timeout:
      return law.after_timeouts;
    case Kind::status: {
      const std::int32_t status = status_of(failure);
      return std::any_of(law.statuses.begin(), law.statuses.end(), [status](const profiles::StatusRange& r) {
        return status >= r.low && status <= r.high;
      });
    }
    case Kind::broken_stream:
      return law.after_broken_streams;
    case Kind::none:
      return false;
  }
  return false;
}

double grown(const RetryLaw& law, std::int32_t retry) {
  const auto initial = static_cast<double>(law.initial.count());
  double delay = initial;
  if (law.growth == Growth::linear) delay = initial * (static_cast<double>(retry) + 1);
  // 2^n overtakes any cap long before n = 60; the shift of the exponent must not overflow.
  if (law.growth == Growth::exponential) delay = std::ldexp(initial, std::min(retry, 60));
  return std::min(delay, static_cast<double>(law.cap.count()));
}

double jittered(const RetryLaw& law, double delay, Nanos previous, Rng& jitter) {
  switch (law.jitter_law) {
    case Jitter::none:
      return delay;
    case Jitter::full:
      return jitter.uniform() * delay;
    case Jitter::equal:
      return delay / 2 + jitter.uniform() * delay / 2;
    case Jitter::decorrelated: {
      const auto initial = static_cast<double>(law.initial.count());
      const double top = 3 * std::max(initial, static_cast<double>(previous.count()));
      return std::min(static_cast<double>(law.cap.count()), initial + jitter.uniform() * (top - initial));
    }
    case Jitter::downwards:
      return delay * (1 - law.jitter * jitter.uniform());
  }
  return delay;
}

}  // namespace

std::optional<Nanos> retry_delay(const RetryLaw& law, std::int32_t retry, const Failure& failure, Rng& jitter,
                                 Nanos previous) {
  if (retry >= law.max_retries) return std::nullopt;
  if (failure.stream_began && !law.after_broken_streams) return std::nullopt;
  const bool is_status = kind_of(failure.reason) == Kind::status;
  const std::optional<Nanos> retry_after = law.obey_server ? failure.retry_after : std::nullopt;
  // Only a response that is an error carries headers which may override.
  const bool override_applies = law.obey_server && failure.should_retry.has_value() && is_status;
  if (!(override_applies ? *failure.should_retry : worth_another_try(law, failure))) return std::nullopt;
  if (retry_after && *retry_after > law.retry_after_limit) {
    if (!law.own_delay_beyond_limit) return std::nullopt;
  } else if (retry_after && *retry_after > Nanos{0}) {
    return retry_after;
  }
  return Nanos{std::llround(jittered(law, grown(law, retry), previous, jitter))};
}

}  // namespace dsbench::loadgen
