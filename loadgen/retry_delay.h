#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/rng.h"
#include "core/units.h"
#include "profiles/status_list.h"
#include "results/record.h"

namespace dsbench::loadgen {

// How the delay grows from retry to retry, n = 0, 1, …: a, a · (n + 1), a · 2^n; never above the cap.
enum class Growth : std::uint8_t { constant, linear, exponential };

// What chance does to the delay d (u uniform on [0, 1)):
//   none          d
//   full          u · d
//   equal         d/2 + u · d/2
//   decorrelated  min(cap, a + u · (3 · previous delay − a)), previous = a at first; the growth is its own
//   downwards     d · (1 − share · u): what the SDKs do, with a share of ¼
enum class Jitter : std::uint8_t { none, full, equal, decorrelated, downwards };

// When a client tries again. The defaults, with two retries, are the law of the OpenAI Python SDK (openai
// 3.54.0, _base_client.py): after connection errors, timeouts and 408, 409, 429 and ≥ 500, after min(0.5 s ·
// 2^n, 8 s) times a jitter uniform on (0.75, 1]; Retry-After is obeyed when it is at most 120 s, and when it
// is longer there is no retry; else x-should-retry overrides the status. Nothing is retried once the
// response's stream has begun.
//
// The Anthropic Python SDK (anthropic 2.12.0, _base_client.py) has the same numbers but obeys a Retry-After
// of any length; older ones (0.40) obey up to 60 s and take their own delay beyond.
struct RetryLaw {
  std::int32_t max_retries = 0;
  Growth growth = Growth::exponential;
  Nanos initial{500'000'000};
  Nanos cap{8'000'000'000};
  Jitter jitter_law = Jitter::downwards;
  double jitter = 0.25;     // share of the delay that is random, for `downwards`
  bool obey_server = true;  // Retry-After, retry-after-ms and x-should-retry
  Nanos retry_after_limit{120'000'000'000};
  bool own_delay_beyond_limit = false;  // a longer Retry-After is passed over instead of ending the request
  std::vector<profiles::StatusRange> statuses{{408, 409}, {429, 429}, {500, 999}};
  bool after_connection_errors = true;
  bool after_timeouts = true;
  bool after_broken_streams =
      false;  // also when tokens had arrived, or the stream was cut off or had an error
};

// How an attempt failed, as far as the law asks.
struct Failure {
  results::Reason reason = results::Reason::ok;
  std::int32_t http_status = 0;
  bool stream_began = false;  // a chunk with content had arrived
  std::optional<Nanos> retry_after;
  std::optional<bool> should_retry;
};

// How long to wait before retry number `retry` (0 is the first), or nothing: give up. `previous` is the delay
// before, which only decorrelated jitter asks. Pure, but for the stream of jitter.
[[nodiscard]] std::optional<Nanos> retry_delay(const RetryLaw& law, std::int32_t retry,
                                               const Failure& failure, Rng& jitter,
                                               Nanos previous = Nanos{0});

}  // namespace dsbench::loadgen
