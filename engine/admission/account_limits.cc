#include "engine/admission/account_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dsbench::engine {
namespace {

Nanos seconds(double s) {
  return Nanos{static_cast<std::int64_t>(std::min(s, 1e9) * 1e9) + 1};
}

std::uint64_t key_of(std::uint64_t account, std::uint8_t tenant) {
  return account * 0x9e3779b97f4a7c15ULL + tenant;
}

}  // namespace

double TokenBucket::level(Nanos now) const {
  return std::min(law_.burst, level_ + law_.rate * static_cast<double>((now - at_).count()) * 1e-9);
}

Nanos TokenBucket::wait(double amount, Nanos now) const {
  const double missing = std::min(amount, law_.burst) - level(now);
  return missing <= 0 ? Nanos{0} : seconds(missing / law_.rate);
}

void TokenBucket::take(double amount, Nanos now) {
  level_ = level(now) - amount;
  at_ = now;
}

AccountTable::AccountTable(AccountLimits general, const std::vector<TenantClass>& tenants)
    : general_{std::move(general)},
      tenants_{tenants},
      tenant_in_flight_(std::max<std::size_t>(1, tenants.size())) {}

const AccountLimits& AccountTable::limits(std::uint8_t tenant) const {
  return tenant < tenants_.size() && tenants_[tenant].account ? *tenants_[tenant].account : general_;
}

std::optional<AccountTable::Refusal> AccountTable::judge(std::uint64_t account, std::uint8_t tenant,
                                                         std::int64_t tokens, Nanos now) const {
  using Limit = Refusal::Limit;
  const AccountLimits& l = limits(tenant);
  const auto found = accounts_.find(key_of(account, tenant));
  if (tenant < tenants_.size() && tenants_[tenant].concurrency &&
      tenant_in_flight_[tenant] >= *tenants_[tenant].concurrency) {
    return Refusal{
        Limit::tenant_concurrency, std::nullopt,
        fmt::format("the tenant class '{}' has {} requests in flight; at most {} may be",
                    tenants_[tenant].name, tenant_in_flight_[tenant], *tenants_[tenant].concurrency)};
  }
  if (found == accounts_.end()) return std::nullopt;  // full buckets, nothing in flight
  const Account& a = found->second;
  if (l.concurrency && a.in_flight >= *l.concurrency) {
    return Refusal{
        Limit::concurrency, std::nullopt,
        fmt::format("the account has {} requests in flight; at most {} may be", a.in_flight, *l.concurrency)};
  }
  if (a.requests) {
    if (const Nanos wait = a.requests->wait(1, now); wait > Nanos{0}) {
      return Refusal{Limit::requests, wait,
                     fmt::format("the account is beyond {:g} requests a second (burst {:g})",
                                 l.requests->rate, l.requests->burst)};
    }
  }
  if (a.tokens) {
    if (const Nanos wait = a.tokens->wait(static_cast<double>(tokens), now); wait > Nanos{0}) {
      return Refusal{
          Limit::tokens, wait,
          fmt::format("the account is beyond {:g} tokens a second (burst {:g}): this request asks for {}",
                      l.tokens->rate, l.tokens->burst, tokens)};
    }
  }
  return std::nullopt;
}

void AccountTable::entered(std::uint64_t account, std::uint8_t tenant, std::int64_t tokens, Nanos now) {
  if (accounts_.size() >= sweep_at_) forget_idle(now);
  const AccountLimits& l = limits(tenant);
  const auto [it, fresh] = accounts_.try_emplace(key_of(account, tenant));
  Account& a = it->second;
  if (fresh) {
    if (l.requests) a.requests.emplace(*l.requests, now);
    if (l.tokens) a.tokens.emplace(*l.tokens, now);
  }
  if (a.requests) a.requests->take(1, now);
  if (a.tokens) a.tokens->take(static_cast<double>(tokens), now);
  ++a.in_flight;
  if (tenant < tenant_in_flight_.size()) ++tenant_in_flight_[tenant];
}

void AccountTable::left(std::uint64_t account, std::uint8_t tenant) {
  if (tenant < tenant_in_flight_.size()) --tenant_in_flight_[tenant];
  const auto it = accounts_.find(key_of(account, tenant));
  if (it == accounts_.end()) return;
  Account& a = it->second;
  --a.in_flight;
  if (a.in_flight == 0 && !a.requests && !a.tokens) accounts_.erase(it);
}

void AccountTable::forget_idle(Nanos now) {
  std::erase_if(accounts_, [&](const auto& entry) {
    const Account& a = entry.second;
    return a.in_flight == 0 && (!a.requests || a.requests->full(now)) && (!a.tokens || a.tokens->full(now));
  });
  sweep_at_ = std::max<std::size_t>(1024, 2 * accounts_.size());
}

}  // namespace dsbench::engine
