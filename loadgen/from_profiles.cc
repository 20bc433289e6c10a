#include "loadgen/from_profiles.h"

namespace dsbench::loadgen {

ClientPolicy policy_of(const profiles::ClientProfile& profile) {
  ClientPolicy policy;
  policy.connect_timeout = profile.connect_timeout;
  policy.first_token_timeout = profile.first_token_timeout;
  policy.stall_timeout = profile.stall_timeout;
  policy.total_timeout = profile.total_timeout;
  policy.retry.max_retries = profile.max_retries;
  policy.retry.initial = profile.retry_initial;
  policy.retry.cap = profile.retry_cap;
  policy.retry.jitter = profile.retry_jitter;
  policy.retry.retry_after_limit = profile.retry_after_limit;
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
