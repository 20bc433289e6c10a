#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/units.h"
#include "loadgen/hedging.h"
#include "loadgen/patience.h"
#include "loadgen/retry_budget.h"
#include "loadgen/retry_delay.h"
#include "loadgen/router.h"

namespace dsbench::loadgen {

// How a client behaves: how long it waits, when it tries again, and where. An absent timeout waits for ever.
struct ClientPolicy {
  std::optional<Nanos> connect_timeout;      // carried out by the wire
  std::optional<Nanos> first_token_timeout;  // from the attempt's start
  std::optional<Nanos> stall_timeout;        // between chunks
  std::optional<Nanos> total_timeout;        // from the attempt's start to its end
  // Any byte of the answer (its headers, a keep-alive comment) starts the first two anew: they are timeouts
  // of a read, as the SDKs have them, and a server that says ": keep-alive" keeps such a client waiting.
  bool comments_feed_timeout = false;
  std::optional<Patience> patience;  // of the person behind it
  RetryLaw retry;
  std::optional<RetryBudgetLaw> budget;
  std::optional<HedgeLaw> hedge;
  RoutingPolicy routing;
};

// The policies of a run's clients: one for all, or one for each class of the workload (Attempt::tenant). What
// belongs to a client process (the router with its breakers, the retry budget, the hedge timer) is one for
// all classes.
class ClientPolicies {
 public:
  ClientPolicies() : policies_(1) {}
  ClientPolicies(const ClientPolicy& of_all) : policies_{of_all}, process_{of_all} {}
  // `process` has what all classes share.
  ClientPolicies(std::vector<ClientPolicy> by_tenant, const ClientPolicy& process)
      : policies_{std::move(by_tenant)}, process_{process} {
    if (policies_.empty()) policies_.push_back(process);
  }
  // A tenant beyond those named has the first one's.
  [[nodiscard]] const ClientPolicy& of(std::uint16_t tenant) const {
    return policies_[tenant < policies_.size() ? tenant : 0];
  }
  [[nodiscard]] const ClientPolicy& process() const { return process_; }
  // As the wire needs it: the first one's connect timeout, and signs of life where any class asks for them.
  [[nodiscard]] ClientPolicy of_wire() const {
    ClientPolicy policy = policies_.front();
    for (const ClientPolicy& p : policies_) policy.comments_feed_timeout |= p.comments_feed_timeout;
    return policy;
  }

 private:
  std::vector<ClientPolicy> policies_;  // not empty
  ClientPolicy process_;
};

}  // namespace dsbench::loadgen
