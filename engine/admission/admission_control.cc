#include "engine/admission/admission_control.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "core/text.h"

namespace dsbench::engine {
namespace {

Submitted refused(SubmitStatus status, std::string message, std::optional<Nanos> retry_after = std::nullopt) {
  return {status, 0, std::move(message), retry_after};
}

RefusalCause cause_of(AccountTable::Refusal::Limit limit) {
  using Limit = AccountTable::Refusal::Limit;
  switch (limit) {
    case Limit::requests:
      return RefusalCause::account_rate;
    case Limit::tokens:
      return RefusalCause::account_tokens;
    case Limit::concurrency:
      return RefusalCause::account_concurrency;
    case Limit::tenant_concurrency:
      break;
  }
  return RefusalCause::tenant_concurrency;
}

}  // namespace

AdmissionControl::AdmissionControl(const OverloadConfig& config, std::optional<std::int32_t> max_queued,
                                   std::int32_t ceiling)
    : config_{config}, max_queued_{max_queued} {
  if (config.limits_accounts()) accounts_.emplace(config.account, config.tenants);
  if (config.ttft_target) predictor_.emplace();
  if (config.adaptive_concurrency) gradient_.emplace(*config.adaptive_concurrency, ceiling);
}

std::optional<AdmissionControl::Refusal> AdmissionControl::judge(const Caller& caller,
                                                                 std::int32_t prompt_tokens,
                                                                 std::int32_t max_tokens, const Load& load,
                                                                 Nanos now) const {
  // The caller's own limits first: whoever is beyond them is told so, however the server is.
  if (accounts_) {
    if (auto refusal =
            accounts_->judge(caller.account, caller.tenant, std::int64_t{prompt_tokens} + max_tokens, now)) {
      return Refusal{cause_of(refusal->limit),
                     refused(SubmitStatus::rate_limited, std::move(refusal->message), refusal->retry_after)};
    }
  }
  if (max_queued_ && load.waiting >= *max_queued_) {
    return Refusal{RefusalCause::queue_requests,
                   refused(SubmitStatus::queue_full,
                           fmt::format("{} requests already wait to be admitted; at most {} may",
                                       load.waiting, *max_queued_))};
  }
  // A prompt longer than the bound gets in when nobody waits, or it never would.
  if (config_.max_queued_tokens && load.waiting > 0 &&
      load.waiting_tokens + prompt_tokens > *config_.max_queued_tokens) {
    return Refusal{
        RefusalCause::queue_tokens,
        refused(SubmitStatus::queue_full,
                fmt::format(
                    "{} prompt tokens already wait to be admitted, and this request has {}; at most {} may",
                    load.waiting_tokens, prompt_tokens, *config_.max_queued_tokens))};
  }
  if (gradient_) {
    // Some may wait, so that a free slot finds somebody at once.
    const std::int64_t limit = gradient_->limit();
    const auto headroom = static_cast<std::int64_t>(std::sqrt(static_cast<double>(limit)));
    if (load.running + load.waiting >= limit + headroom) {
      return Refusal{RefusalCause::adaptive_concurrency,
                     refused(SubmitStatus::overloaded,
                             fmt::format("{} requests are in flight; the adaptive limit is {} now",
                                         load.running + load.waiting, limit + headroom))};
    }
  }
  if (predictor_) {
    const auto expected = predictor_->first_token(prompt_tokens, load.ahead, load.backlog_tokens);
    if (expected && *expected > *config_.ttft_target) {
      return Refusal{RefusalCause::predicted_ttft,
                     refused(SubmitStatus::overloaded,
                             fmt::format("the first token is expected after {}; the server refuses above {}",
                                         format_duration(*expected), format_duration(*config_.ttft_target)),
                             *expected - *config_.ttft_target)};
    }
  }
  return std::nullopt;
}

std::optional<AdmissionControl::Refusal> AdmissionControl::enter(const Caller& caller,
                                                                 std::int32_t prompt_tokens,
                                                                 std::int32_t max_tokens, const Load& load,
                                                                 Nanos now) {
  auto refusal = judge(caller, prompt_tokens, max_tokens, load, now);
  if (!refusal && accounts_)
    accounts_->entered(caller.account, caller.tenant, std::int64_t{prompt_tokens} + max_tokens, now);
  return refusal;
}

void AdmissionControl::left(const Caller& caller) {
  if (accounts_) accounts_->left(caller.account, caller.tenant);
}

void AdmissionControl::step(Nanos time, const StepSeen& step, const Load& load) {
  if (predictor_) predictor_->step(time, step.prompt_tokens, step.admitted, load.waiting);
  if (gradient_ && step.decode_tokens > 0) gradient_->step(time, load.running + load.waiting);
}

std::optional<std::int32_t> AdmissionControl::running_limit() const {
  if (!gradient_) return std::nullopt;
  return gradient_->limit();
}

}  // namespace dsbench::engine
