#include "loadgen/in_flight.h"

#include <algorithm>

namespace dsbench::loadgen {

using results::never;
using results::Reason;
using results::TokenSource;

void Try::begin_record(Nanos due) {
  results::AttemptRecord& r = record;
  r.attempt = attempt.attempt;
  r.turn = attempt.turn;
  r.tenant = attempt.tenant;
  r.provider = attempt.provider;
  r.due = due;
  r.sent = r.first_byte = r.first_token = r.last_token = r.done = never;
  r.prompt_tokens = attempt.prompt_tokens;
  r.output_tokens = 0;
  r.output_tokens_asked = attempt.output_tokens;
  r.cached_prompt_tokens = r.reasoning_tokens = -1;
  r.dns_time = r.connect_time = r.tls_time = r.read_lag = never;
  r.prompt_tokens_asked = attempt.prompt_tokens;
  r.images = attempt.images;
  r.image_bytes = attempt.image_bytes;
  r.token_source = TokenSource::chunks;
  r.prompt_token_source = TokenSource::asked;
  r.reason = Reason::ok;
  r.http_status = 0;
  r.gaps.clear();
}

void Try::note(const TargetEvent& event) {
  results::AttemptRecord& r = record;
  if (event.http_status != 0) r.http_status = event.http_status;
  r.read_lag = std::max(r.read_lag, event.read_lag);
  if (event.reused) r.dns_time = r.connect_time = r.tls_time = Nanos{0};
  if (event.dns_time) r.dns_time = *event.dns_time;
  if (event.connect_time) r.connect_time = *event.connect_time;
  if (event.tls_time) r.tls_time = *event.tls_time;
}

void Try::note_usage(const TargetEvent& event) {
  results::AttemptRecord& r = record;
  // A usage of nothing beside tokens that came contradicts itself: what came counts.
  if (event.usage_output_tokens && *event.usage_output_tokens > 0) {
    r.output_tokens = *event.usage_output_tokens;
    r.token_source = TokenSource::usage;
  }
  if (event.usage_prompt_tokens) {
    r.prompt_tokens = *event.usage_prompt_tokens;
    r.prompt_token_source = TokenSource::usage;
  }
  r.cached_prompt_tokens = event.usage_cached_prompt_tokens.value_or(-1);
  r.reasoning_tokens = event.usage_reasoning_tokens.value_or(-1);
}

void InFlight::begin() {
  next_attempt = 1;
  retries = 0;
  delay = Nanos{0};
  failed_on = 0;
  partner = no_place;
  is_hedge = budgeted = will_be_budgeted = false;
  patience_ends = hedge_at = first_sent = never;
  // A session's next turn names the provider of the turn before.
  keep = attempt.turn > 0 ? std::optional{attempt.provider} : std::nullopt;
}

std::optional<Deadline> InFlight::deadline(const ClientPolicy& policy) const {
  std::optional<Deadline> next;
  const auto consider = [&](Nanos at, Reason reason) {
    if (!next || at < next->at) next = Deadline{Deadline::What::timeout, at, reason};
  };
  const bool began = record.first_token != never;
  if (!began && policy.first_token_timeout) {
    consider(alive + *policy.first_token_timeout, Reason::first_token_timeout);
  }
  if (began && policy.stall_timeout) consider(alive + *policy.stall_timeout, Reason::stall_timeout);
  if (policy.total_timeout) consider(started + *policy.total_timeout, Reason::total_timeout);
  if (!began && !is_hedge && patience_ends != never) consider(patience_ends, Reason::abandoned);
  if (hedge_at != never && (!next || hedge_at < next->at)) {
    next = Deadline{Deadline::What::hedge, hedge_at, Reason::ok};
  }
  return next;
}

results::RequestRecord InFlight::outcome(Nanos at, Reason reason) const {
  const results::AttemptRecord& r = record;
  return {.request = r.request,
          .stage = r.stage,
          .attempts = next_attempt,
          .turn = r.turn,
          .tenant = r.tenant,
          .provider = r.provider,
          .due = request_due,
          .sent = first_sent,
          .final_sent = r.sent,
          .first_token = r.first_token,
          .last_token = r.last_token,
          .done = at,
          .prompt_tokens = r.prompt_tokens,
          .output_tokens = r.output_tokens,
          .reason = reason};
}

}  // namespace dsbench::loadgen
