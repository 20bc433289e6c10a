#include "loadgen/from_profiles.h"

namespace dsbench::loadgen {
namespace {

RetryLaw retry_of(const profiles::ClientProfile& profile) {
  RetryLaw law;
  law.max_retries = profile.max_retries;
  law.growth = static_cast<Growth>(profile.retry_growth);
  law.initial = profile.retry_initial;
  law.cap = profile.retry_cap;
  law.jitter_law = static_cast<Jitter>(profile.retry_jitter_law);
  law.jitter = profile.retry_jitter;
  law.obey_server = profile.obey_server;
  law.retry_after_limit = profile.retry_after_limit;
  law.own_delay_beyond_limit = profile.own_delay_beyond_limit;
  law.statuses = profile.retry_statuses;
  law.after_connection_errors = profile.retry_connection_errors;
  law.after_timeouts = profile.retry_timeouts;
  law.after_broken_streams = profile.retry_broken_streams;
  return law;
}

}  // namespace

ClientPolicy policy_of(const profiles::ClientProfile& profile) {
  ClientPolicy policy;
  policy.connect_timeout = profile.connect_timeout;
  policy.first_token_timeout = profile.first_token_timeout;
  policy.stall_timeout = profile.stall_timeout;
  policy.total_timeout = profile.total_timeout;
  policy.comments_feed_timeout = profile.comments_feed_timeout;
  if (const auto& p = profile.patience) {
    policy.patience = Patience{static_cast<Patience::Law>(p->law), p->scale, p->shape};
  }
  policy.retry = retry_of(profile);
  if (const auto& b = profile.budget) {
    policy.budget = RetryBudgetLaw{static_cast<RetryBudgetLaw::Kind>(b->kind), b->share, b->minimum, b->ttl};
  }
  if (const auto& h = profile.hedge) policy.hedge = HedgeLaw{h->delay, h->quantile};
  if (const auto& b = profile.breaker) {
    policy.routing.refuse_when_all_open = b->refuse_when_all_open;
    policy.routing.breaker = {.consecutive_failures = b->consecutive_failures,
                              .failure_share = b->failure_share,
                              .window = b->window,
                              .window_attempts = b->window_attempts,
                              .slow_first_token = b->slow_first_token,
                              .open_for = b->open_for,
                              .probes = b->probes,
                              .probe_successes = b->probe_successes,
                              .hold = b->hold};
  }
  return policy;
}

results::Slo slo_of(const profiles::SloProfile& profile) {
  results::Slo slo;
  slo.ttft = profile.ttft;
  slo.tpot = profile.tpot;
  slo.e2e = profile.e2e;
  return slo;
}

}  // namespace dsbench::loadgen
