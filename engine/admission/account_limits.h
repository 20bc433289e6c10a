#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/units.h"
#include "engine/admission/overload_config.h"

namespace dsbench::engine {

// A limit that refills. Starts full.
class TokenBucket {
 public:
  TokenBucket(const Bucket& law, Nanos now) : law_{law}, level_{law.burst}, at_{now} {}
  // How long until `amount` could be taken; zero when it can be now. An amount above the burst is judged as
  // the burst: a full bucket lets it through and goes into debt, or it would be refused for ever.
  [[nodiscard]] Nanos wait(double amount, Nanos now) const;
  void take(double amount, Nanos now);
  [[nodiscard]] bool full(Nanos now) const { return level(now) >= law_.burst; }

 private:
  [[nodiscard]] double level(Nanos now) const;
  Bucket law_;
  double level_;
  Nanos at_;
};

// Requests and tokens per second and requests at a time, per account and per tenant class. Accounts are known
// while they have requests in flight or a bucket that is not full again: memory follows the callers of the
// last while, not all that ever called.
class AccountTable {
 public:
  AccountTable(AccountLimits general, const std::vector<TenantClass>& tenants);

  struct Refusal {
    enum class Limit : std::uint8_t { requests, tokens, concurrency, tenant_concurrency };
    Limit limit = Limit::requests;
    std::optional<Nanos> retry_after;  // unknown where it depends on when others end
    std::string message;
  };
  // Nothing when the request may come in; it must then be told to entered().
  [[nodiscard]] std::optional<Refusal> judge(std::uint64_t account, std::uint8_t tenant, std::int64_t tokens,
                                             Nanos now) const;
  void entered(std::uint64_t account, std::uint8_t tenant, std::int64_t tokens, Nanos now);
  void left(std::uint64_t account, std::uint8_t tenant);

  [[nodiscard]] std::size_t accounts() const { return accounts_.size(); }

 private:
  struct Account {
    std::optional<TokenBucket> requests, tokens;
    std::int32_t in_flight = 0;
  };
  [[nodiscard]] const AccountLimits& limits(std::uint8_t tenant) const;
  void forget_idle(Nanos now);

  AccountLimits general_;
  std::vector<TenantClass> tenants_;
  std::vector<std::int32_t> tenant_in_flight_;
  // By account and class: a caller that changes class has another contract.
  std::unordered_map<std::uint64_t, Account> accounts_;
  std::size_t sweep_at_ = 1024;
};

}  // namespace dsbench::engine
