#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "core/units.h"
#include "results/record.h"

namespace dsbench::loadgen {

// When a client tries again. The defaults are the OpenAI Python SDK's law (openai-python, _base_client.py):
// up to 2 retries after connection errors, timeouts and 408/409/429/≥500, after min(0.5 s · 2^n, 8 s) times a
// jitter uniform on (0.75, 1]; Retry-After is obeyed when it is at most 120 s (longer: no retry);
// x-should-retry overrides. Nothing is retried once the response's stream has begun.
struct RetryLaw {
  std::int32_t max_retries = 0;
  Nanos initial{500'000'000};
  Nanos cap{8'000'000'000};
  double jitter = 0.25;  // the delay is multiplied by a number uniform on (1 − jitter, 1]
  Nanos retry_after_limit{120'000'000'000};
};

// A client's patience. An absent timeout waits for ever.
struct ClientPolicy {
  std::optional<Nanos> connect_timeout;      // carried out by the wire
  std::optional<Nanos> first_token_timeout;  // from the attempt's start
  std::optional<Nanos> stall_timeout;        // between chunks
  std::optional<Nanos> total_timeout;        // from the attempt's start to its end
  RetryLaw retry;
};

// The policies of a run's clients: one for all, or one for each class of the workload (Attempt::tenant).
class ClientPolicies {
 public:
  ClientPolicies() : policies_(1) {}
  ClientPolicies(const ClientPolicy& of_all) : policies_{of_all} {}
  ClientPolicies(std::vector<ClientPolicy> by_tenant) : policies_{std::move(by_tenant)} {
    if (policies_.empty()) policies_.emplace_back();
  }
  // A tenant beyond those named has the first one's.
  [[nodiscard]] const ClientPolicy& of(std::uint16_t tenant) const {
    return policies_[tenant < policies_.size() ? tenant : 0];
  }

 private:
  std::vector<ClientPolicy> policies_;  // not empty
};

// How an attempt failed, as far as the law asks.
struct Failure {
  results::Reason reason = results::Reason::ok;
  std::int32_t http_status = 0;
  bool stream_began = false;  // a chunk with content had arrived
  std::optional<Nanos> retry_after;
  std::optional<bool> should_retry;
};

// How long to wait before retry number `retry` (0 is the first), or nothing: give up. Pure, but for the
// stream of jitter.
[[nodiscard]] std::optional<Nanos> retry_delay(const RetryLaw& law, std::int32_t retry,
                                               const Failure& failure, Rng& jitter);

}  // namespace dsbench::loadgen
