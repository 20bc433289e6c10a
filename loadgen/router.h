#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "loadgen/breaker.h"
#include "results/record.h"

namespace dsbench::loadgen {

// To which provider a client's attempts go.
struct RoutingPolicy {
  enum class Rule : std::uint8_t {
    ordered,      // the first that is healthy
    weighted,     // by chance, in proportion to the weights
    round_robin,  // one after the other
    shift,        // by chance; the first one's share moves from `shift_from` to `shift_to`, the others share
                  // the rest evenly
  };
  std::uint16_t providers = 1;
  Rule rule = Rule::ordered;
  std::vector<double> weights;  // of `weighted`, one for each provider
  double shift_from = 1, shift_to = 0;
  Nanos shift_begin{0}, shift_end{0};  // since the start of the run; linear in between
  bool sticky = false;                 // a session stays with its provider until that one fails
  bool retry_elsewhere = true;         // a request's next attempt avoids providers that failed it
  bool refuse_when_all_open = false;   // else the breakers are passed over when all are open
  BreakerLaw breaker;                  // the health rule, one breaker for each provider
};

// What a client with several providers that names no breaker goes by: 3 failures in a row, or half of 20
// within 10 s; one probe after 5 s.
[[nodiscard]] BreakerLaw default_health_rule();

// "ordered", "round-robin", "weighted:90,10", "shift:100..0@30s..90s" (per cent of the first target).
[[nodiscard]] Result<RoutingPolicy> parse_route(std::string_view text, std::size_t providers);
[[nodiscard]] std::string print_route(const RoutingPolicy& policy);

// A set of providers, by index.
using ProviderSet = std::uint64_t;
inline constexpr std::size_t most_providers = 64;

// Decides each attempt's provider, and learns from how attempts fare. A pure state machine: time is passed
// in, chance comes from the stream "routes" by (request, attempt). One router belongs to one issuer thread,
// like one of N client processes: each finds out for itself that a provider is down.
//
// Order of preference: by the rule among those whose breaker is closed (a provider that the rule would choose
// and whose breaker is half open gets a probe instead); then one that is closed and still held back after a
// failure; then, if breakers may be passed over, one that is half open; and only when all are open one of
// those.
class Router {
 public:
  Router(const RoutingPolicy& policy, std::uint64_t seed);

  struct Ticket {
    std::uint16_t provider = 0;
    Breaker::Ticket breaker;
  };
  struct Question {
    std::uint64_t request = 0;
    std::uint32_t attempt = 0;
    std::optional<std::uint16_t> keep;  // the session's provider
    ProviderSet avoid = 0;              // failed this request, or is at it (a hedge)
  };
  // Nothing: all breakers are open and the client refuses to send.
  [[nodiscard]] std::optional<Ticket> choose(Nanos now, const Question& question);
  void first_token(Ticket& ticket, Nanos now, Nanos ttft);
  void ended(Ticket& ticket, Nanos now, results::Reason reason);

  [[nodiscard]] Breaker::State state(std::uint16_t provider, Nanos now) const {
    return providers_[provider].breaker.state(now);
  }
  // What was decided about providers since the last call, appended in order. `worker` is filled in.
  void take_decisions(std::uint32_t worker, std::vector<results::ProviderDecision>& decisions);
  [[nodiscard]] bool has_decisions() const { return !decisions_.empty(); }

 private:
  struct Provider {
    Breaker breaker;
    bool returning = false;  // closed again, and not yet used since
  };
  [[nodiscard]] bool held(const Provider& provider, Nanos now) const;
  [[nodiscard]] std::uint16_t pick(Nanos now, ProviderSet among, double& u);
  [[nodiscard]] std::optional<std::uint16_t> pick_healthy(Nanos now, ProviderSet among, double u, bool probe);
  [[nodiscard]] Ticket take(std::uint16_t provider, Nanos now);
  void note(std::uint16_t provider, Nanos now, Breaker::Change change);
  void decide(std::uint16_t provider, Nanos now, results::ProviderChange change);

  RoutingPolicy policy_;
  std::uint64_t seed_;
  std::vector<Provider> providers_;
  std::uint16_t next_ = 0;  // of round robin
  std::vector<results::ProviderDecision> decisions_;
};

// Whether a failure speaks against the provider: its own, or the way to it. A 4xx but 429 is the request's
// fault, what we did not send or gave up for reasons of our own is nobody's.
[[nodiscard]] Breaker::Outcome outcome_of(results::Reason reason);

}  // namespace dsbench::loadgen
