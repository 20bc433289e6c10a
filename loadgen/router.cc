#include "loadgen/router.h"

#include <algorithm>
#include <cassert>
#include <charconv>

#include "core/rng.h"
#include "core/text.h"

namespace dsbench::loadgen {
namespace {

using results::ProviderChange;
using results::Reason;

constexpr std::string_view route_help =
    "accepted: ordered, round-robin, weighted:90,10 (one weight for each target), shift:100..0@30s..90s (per "
    "cent of the first target, from when to when)";

ProviderSet bit(std::uint16_t provider) {
  return ProviderSet{1} << provider;
}

std::optional<double> number_in(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0) || value > 1e9) {
    return std::nullopt;
  }
  return value;
}

Result<std::vector<double>> parse_weights(std::string_view text, std::size_t providers) {
  std::vector<double> weights;
  double sum = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const auto weight = number_in(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    if (!weight) {
      return fail(ErrorKind::usage, "'{}' has a weight that is no number from 0 on; {}", text, route_help);
    }
    weights.push_back(*weight);
    sum += *weight;
  }
  if (weights.size() != providers || sum <= 0) {
    return fail(
        ErrorKind::usage,
        "weighted:{} has {} weights with a sum of {:g}; there are {} targets, and the sum must be above 0",
        text, weights.size(), sum, providers);
  }
  return weights;
}

// "a..b" as two views.
std::optional<std::pair<std::string_view, std::string_view>> span_of(std::string_view text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) return std::nullopt;
  return std::pair{text.substr(0, dots), text.substr(dots + 2)};
}

Result<void> parse_shift(std::string_view text, RoutingPolicy& policy) {
  const auto refuse = [&] {
    return fail(ErrorKind::usage, "'shift:{}' cannot be read; {}", text, route_help);
  };
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos) return refuse();
  const auto shares = span_of(text.substr(0, at));
  const auto times = span_of(text.substr(at + 1));
  if (!shares || !times) return refuse();
  const auto from = number_in(shares->first);
  const auto to = number_in(shares->second);
  if (!from || !to || *from > 100 || *to > 100) return refuse();
  DSBENCH_TRY(policy.shift_begin, parse_duration(times->first));
  DSBENCH_TRY(policy.shift_end, parse_duration(times->second));
  if (policy.shift_end < policy.shift_begin) return refuse();
  policy.shift_from = *from / 100;
  policy.shift_to = *to / 100;
  return {};
}

double share_of_first(const RoutingPolicy& p, Nanos now) {
  if (now <= p.shift_begin) return p.shift_from;
  if (now >= p.shift_end) return p.shift_to;
  const double part = to_seconds(now - p.shift_begin) / to_seconds(p.shift_end - p.shift_begin);
  return p.shift_from + (p.shift_to - p.shift_from) * part;
}

double weight_of(const RoutingPolicy& p, std::uint16_t provider, Nanos now) {
  if (p.rule == RoutingPolicy::Rule::weighted) {
    return provider < p.weights.size() ? p.weights[provider] : 0;
  }
  const double first = share_of_first(p, now);
  if (provider == 0) return first;
  return (1 - first) / (p.providers - 1);
}

}  // namespace

BreakerLaw default_health_rule() {
  BreakerLaw law;
  law.consecutive_failures = 3;
  law.failure_share = 0.5;
  law.open_for = Nanos{5'000'000'000};
  return law;
}

Result<RoutingPolicy> parse_route(std::string_view text, std::size_t providers) {
  if (providers < 1 || providers > most_providers) {
    return fail(ErrorKind::usage, "{} targets were named; accepted are 1 to {}", providers, most_providers);
  }
  RoutingPolicy policy;
  policy.providers = static_cast<std::uint16_t>(providers);
  if (text == "ordered") return policy;
  if (text == "round-robin") {
    policy.rule = RoutingPolicy::Rule::round_robin;
    return policy;
  }
  if (text.starts_with("weighted:")) {
    policy.rule = RoutingPolicy::Rule::weighted;
    DSBENCH_TRY(policy.weights, parse_weights(text.substr(9), providers));
    return policy;
  }
  if (text.starts_with("shift:")) {
    policy.rule = RoutingPolicy::Rule::shift;
    if (providers < 2) {
      return fail(ErrorKind::usage, "'{}' shifts from one target to others; name at least two targets", text);
    }
    DSBENCH_CHECK(parse_shift(text.substr(6), policy));
    return policy;
  }
  return fail(ErrorKind::usage, "no route '{}'; {}", text, route_help);
}

std::string print_route(const RoutingPolicy& p) {
  switch (p.rule) {
    case RoutingPolicy::Rule::ordered:
      break;
    case RoutingPolicy::Rule::round_robin:
      return "round-robin";
    case RoutingPolicy::Rule::weighted: {
      std::string text;
      for (const double w : p.weights) text += fmt::format("{}{:g}", text.empty() ? "weighted:" : ",", w);
      return text;
    }
    case RoutingPolicy::Rule::shift:
      return fmt::format("shift:{:g}..{:g}@{}..{}", 100 * p.shift_from, 100 * p.shift_to,
                         print_duration(p.shift_begin), print_duration(p.shift_end));
  }
  return "ordered";
}

Breaker::Outcome outcome_of(Reason reason) {
  switch (reason) {
    case Reason::ok:
    case Reason::cancelled:
      return Breaker::Outcome::whole;
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
    case Reason::closed_early:
    case Reason::error_frame:
    case Reason::insufficient_resource:
    case Reason::malformed:
    case Reason::empty:
      return Breaker::Outcome::failed;
    case Reason::http_4xx:
    case Reason::http_other:
    case Reason::abandoned:
    case Reason::superseded:
    case Reason::breaker_open:
    case Reason::unsent:
    case Reason::interrupted:
      return Breaker::Outcome::neither;
  }
  return Breaker::Outcome::neither;
}

Router::Router(const RoutingPolicy& policy, std::uint64_t seed) : policy_{policy}, seed_{seed} {
  assert(policy.providers >= 1 && policy.providers <= most_providers);
  providers_.resize(policy.providers, Provider{Breaker{policy.breaker}});
}

bool Router::held(const Provider& provider, Nanos now) const {
  const auto closed = provider.breaker.closed_at();
  return closed && now < *closed + policy_.breaker.hold;
}

// By the rule, one of a set that is not empty. `u` is uniform on [0, 1), and is so again, independently,
// within the provider that was picked: a second choice may use what is left of it.
std::uint16_t Router::pick(Nanos now, ProviderSet among, double& u) {
  const auto n = policy_.providers;
  if (policy_.rule == RoutingPolicy::Rule::round_robin) {
    while ((among & bit(next_)) == 0) next_ = static_cast<std::uint16_t>((next_ + 1) % n);
    const std::uint16_t picked = next_;
    next_ = static_cast<std::uint16_t>((next_ + 1) % n);
    return picked;
  }
  std::uint16_t first = 0;
  while ((among & bit(first)) == 0) ++first;
  if (policy_.rule == RoutingPolicy::Rule::ordered) return first;
  double sum = 0;
  std::uint16_t last = first;
  for (std::uint16_t i = first; i < n; ++i) {
    if ((among & bit(i)) == 0) continue;
    last = i;
    sum += weight_of(policy_, i, now);
  }
  // All that are left have weight nought (what they were to get was to go elsewhere): evenly then.
  const bool even = sum <= 0;
  double below = 0;
  if (even) {
    sum = 0;
    for (std::uint16_t i = first; i < n; ++i) sum += (among & bit(i)) != 0 ? 1 : 0;
  }
  const double x = u * sum;
  for (std::uint16_t i = first; i < n; ++i) {
    if ((among & bit(i)) == 0) continue;
    const double weight = even ? 1 : weight_of(policy_, i, now);
    if (x < below + weight || i == last) {
      u = weight > 0 ? std::clamp((x - below) / weight, 0.0, 1.0) : 0;
      return i;
    }
    below += weight;
  }
  return last;
}

std::optional<std::uint16_t> Router::pick_healthy(Nanos now, ProviderSet among, double u, bool probe) {
  while (among != 0) {
    const std::uint16_t p = pick(now, among, u);
    const Breaker& breaker = providers_[p].breaker;
    if (breaker.state(now) == Breaker::State::closed && !held(providers_[p], now)) return p;
    if (probe && breaker.wants_probe(now)) return p;
    among &= ~bit(p);
  }
  return std::nullopt;
}

void Router::decide(std::uint16_t provider, Nanos now, ProviderChange change) {
  decisions_.push_back({now, provider, 0, change});
}

void Router::note(std::uint16_t provider, Nanos now, Breaker::Change change) {
  switch (change) {
    case Breaker::Change::none:
      return;
    case Breaker::Change::opened:
      decide(provider, now, ProviderChange::ejected);
      providers_[provider].returning = false;
      return;
    case Breaker::Change::reopened:
      decide(provider, now, ProviderChange::reopened);
      return;
    case Breaker::Change::closed:
      decide(provider, now, ProviderChange::closed);
      providers_[provider].returning = true;
      return;
  }
}

Router::Ticket Router::take(std::uint16_t provider, Nanos now) {
  Provider& p = providers_[provider];
  const Ticket ticket{provider, p.breaker.begin(now)};
  if (ticket.breaker.probe) {
    decide(provider, now, ProviderChange::probed);
  } else if (p.returning) {
    p.returning = false;
    decide(provider, now, ProviderChange::readmitted);
  }
  return ticket;
}

std::optional<Router::Ticket> Router::choose(Nanos now, const Question& question) {
  if (providers_.size() == 1 && !policy_.breaker.ever_opens()) return Ticket{};
  const ProviderSet all = policy_.providers == most_providers ? ~ProviderSet{0} : bit(policy_.providers) - 1;
  const ProviderSet avoid = policy_.retry_elsewhere ? question.avoid & all : 0;
  const auto healthy = [&](std::uint16_t p) {
    return providers_[p].breaker.state(now) == Breaker::State::closed && !held(providers_[p], now);
  };
  if (policy_.sticky && question.keep && *question.keep < providers_.size() &&
      (avoid & bit(*question.keep)) == 0 && healthy(*question.keep)) {
    return take(*question.keep, now);
  }
  double u = 0;
  if (policy_.rule == RoutingPolicy::Rule::weighted || policy_.rule == RoutingPolicy::Rule::shift) {
    u = Rng{derive_seed(seed_, "routes", question.request), "routes", question.attempt}.uniform();
  }
  // Somebody's last hope is no probe: only first attempts, unless there is nobody else.
  const bool first_attempt = question.avoid == 0;
  if (const auto p = pick_healthy(now, all & ~avoid, u, first_attempt)) return take(*p, now);
  if (const auto p = pick_healthy(now, all, u, true)) return take(*p, now);
  ProviderSet closed = 0, half_open = 0;
  for (std::uint16_t p = 0; p < policy_.providers; ++p) {
    const Breaker::State state = providers_[p].breaker.state(now);
    if (state == Breaker::State::closed) closed |= bit(p);
    if (state == Breaker::State::half_open) half_open |= bit(p);
  }
  if (closed != 0) return take(pick(now, closed, u), now);
  if (policy_.refuse_when_all_open) return std::nullopt;
  return take(pick(now, half_open != 0 ? half_open : all, u), now);
}

void Router::first_token(Ticket& ticket, Nanos now, Nanos ttft) {
  if (!policy_.breaker.ever_opens()) return;
  note(ticket.provider, now, providers_[ticket.provider].breaker.first_token(ticket.breaker, now, ttft));
}

void Router::ended(Ticket& ticket, Nanos now, Reason reason) {
  if (!policy_.breaker.ever_opens()) return;
  note(ticket.provider, now,
       providers_[ticket.provider].breaker.ended(ticket.breaker, now, outcome_of(reason)));
}

void Router::take_decisions(std::uint32_t worker, std::vector<results::ProviderDecision>& decisions) {
  for (results::ProviderDecision& d : decisions_) {
    d.worker = worker;
    decisions.push_back(d);
  }
  decisions_.clear();
}

}  // namespace dsbench::loadgen
