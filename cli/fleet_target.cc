#include "cli/fleet_target.h"

#include <algorithm>
#include <cassert>
#include <memory>
#include <utility>

#include "core/rng.h"

namespace dsbench::cli {
namespace {

using engine::FleetEvent;
using loadgen::EventKind;
using loadgen::TargetEvent;

// An attempt as one number: 2^56 requests of 256 attempts each.
constexpr int attempt_bits = 8;

std::uint64_t key_of(std::uint64_t request, std::uint32_t attempt) {
  assert(attempt < (1U << attempt_bits));
  return (request << attempt_bits) | attempt;
}

// What the prompt's text is a function of; the chat template adds nothing between the parts.
std::shared_ptr<const engine::PrefixParts> identity_of(const loadgen::Attempt& attempt) {
  auto parts = std::make_shared<engine::PrefixParts>();
  if (!attempt.parts) {
    parts->push_back({attempt.prompt_seed, attempt.prompt_tokens});
    return parts;
  }
  for (const loadgen::PromptPart& part : *attempt.parts) parts->push_back({part.seed, part.tokens});
  return parts;
}

results::Reason reason_of(std::int32_t http_status) {
  if (http_status == 503) return results::Reason::http_503;
  if (http_status == 429) return results::Reason::http_429;
  return http_status >= 500 ? results::Reason::http_5xx : results::Reason::http_4xx;
}

}  // namespace

FleetTarget::FleetTarget(engine::Fleet fleet, const std::vector<std::string>& tenants)
    : fleet_{std::move(fleet)} {
  const std::vector<engine::TenantClass>& classes = fleet_.options().overload.tenants;
  for (const std::string& name : tenants) {
    engine::Caller& caller = callers_.emplace_back();
    caller.account = derive_seed(0, name);
    for (std::size_t i = 0; i < classes.size(); ++i) {
      if (classes[i].name == name) caller.tenant = static_cast<std::uint8_t>(i);
    }
  }
  if (callers_.empty()) callers_.emplace_back();
}

void FleetTarget::submit(const loadgen::Attempt& attempt, Nanos now) {
  engine::Lengths lengths{.prompt_tokens = attempt.prompt_tokens, .output_tokens = attempt.output_tokens};
  lengths.attempt = static_cast<std::int32_t>(attempt.attempt);
  lengths.caller = callers_[std::min<std::size_t>(attempt.tenant, callers_.size() - 1)];
  if (fleet_.caches_prefixes()) lengths.parts = identity_of(attempt);
  fleet_.submit(key_of(attempt.request, attempt.attempt), std::move(lengths), now);
}

void FleetTarget::cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) {
  fleet_.cancel(key_of(request, attempt), now);
}

void FleetTarget::advance(Nanos now, std::vector<TargetEvent>& events) {
  seen_.clear();
  fleet_.advance(now, seen_);
  for (const FleetEvent& e : seen_) {
    TargetEvent event;
    event.request = e.key >> attempt_bits;
    event.attempt = static_cast<std::uint32_t>(e.key & ((1U << attempt_bits) - 1));
    event.at = e.at;
    event.http_status = e.http_status;
    switch (e.kind) {
      case FleetEvent::Kind::first_byte:
        event.kind = EventKind::first_byte;
        break;
      case FleetEvent::Kind::tokens:
        event.kind = EventKind::tokens;
        event.tokens = e.tokens;
        break;
      case FleetEvent::Kind::done:
        event.kind = EventKind::done;
        event.usage_prompt_tokens = e.prompt_tokens;
        event.usage_output_tokens = e.output_tokens;
        if (fleet_.caches_prefixes()) event.usage_cached_prompt_tokens = e.cached_tokens;
        break;
      case FleetEvent::Kind::rejected:
      case FleetEvent::Kind::queue_timeout:
        event.kind = EventKind::failed;
        event.reason = reason_of(e.http_status);
        event.retry_after = e.retry_after;
        break;
      case FleetEvent::Kind::failed:
        event.kind = EventKind::failed;
        event.reason = results::Reason::error_frame;
        break;
    }
    events.push_back(event);
  }
}

std::optional<loadgen::Observation> FleetTarget::observe() {
  const engine::EngineStats stats = fleet_.stats();
  loadgen::Observation seen;
  seen.ledger = ledger_of(stats);
  seen.running = static_cast<double>(stats.running);
  seen.waiting = static_cast<double>(stats.waiting);
  if (stats.blocks_total > 0) {
    seen.kv_used_share = static_cast<double>(stats.blocks_used) / static_cast<double>(stats.blocks_total);
  }
  return seen;
}

results::Ledger ledger_of(const engine::EngineStats& stats) {
  results::Ledger ledger;
  ledger.computed_tokens = stats.computed_tokens;
  ledger.recomputed_tokens = stats.recomputed_tokens;
  ledger.abandoned_tokens = stats.abandoned_tokens;
  ledger.generated_tokens = stats.generated_tokens;
  ledger.preemptions = stats.preemptions;
  return ledger;
}

}  // namespace dsbench::cli
