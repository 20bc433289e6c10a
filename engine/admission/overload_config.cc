#include "engine/admission/overload_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace dsbench::engine {
namespace {

constexpr std::array<std::pair<QueueOrder, std::string_view>, 4> orders{
    {{QueueOrder::fcfs, "fcfs"},
     {QueueOrder::shortest_prompt, "shortest-prompt"},
     {QueueOrder::priority, "priority"},
     {QueueOrder::adaptive_lifo, "adaptive-lifo"}}};

constexpr std::array<std::string_view, 8> tenant_keys{"rank",   "weight",      "rate",        "burst",
                                                      "tokens", "token-burst", "concurrency", "all"};

Result<double> number(std::string_view text, std::string_view key, std::string_view whole) {
  if (text.ends_with("/s")) text.remove_suffix(2);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0)) {
    return fail(ErrorKind::usage, "tenant '{}': {} is '{}'; accepted is a number that is not negative", whole,
                key, text);
  }
  return value;
}

Result<void> check_bucket(const std::optional<Bucket>& bucket, std::string_view what, double smallest_burst) {
  if (!bucket) return {};
  if (!(bucket->rate > 0)) {
    return fail(ErrorKind::usage, "the {} rate of an account is {}; it must be above 0", what, bucket->rate);
  }
  if (bucket->burst < smallest_burst) {
    return fail(ErrorKind::usage,
                "the {} burst of an account is {}; below {} it would refuse everything for ever", what,
                bucket->burst, smallest_burst);
  }
  return {};
}

Result<void> check_limits(const AccountLimits& limits) {
  DSBENCH_CHECK(check_bucket(limits.requests, "request", 1));
  DSBENCH_CHECK(check_bucket(limits.tokens, "token", 1));
  if (limits.concurrency && *limits.concurrency < 1) {
    return fail(ErrorKind::usage, "the concurrency of an account is {}; it must be at least 1",
                *limits.concurrency);
  }
  return {};
}

bool any(const AccountLimits& limits) {
  return limits.requests || limits.tokens || limits.concurrency;
}

}  // namespace

bool OverloadConfig::limits_accounts() const {
  return any(account) || std::any_of(tenants.begin(), tenants.end(), [](const TenantClass& t) {
           return t.concurrency || (t.account && any(*t.account));
         });
}

Result<void> check_overload(const OverloadConfig& config) {
  const auto positive = [](std::optional<Nanos> time, std::string_view name) -> Result<void> {
    if (!time || *time > Nanos{0}) return {};
    return fail(ErrorKind::usage, "overload control: {} is {} ns; it must be positive, or left out", name,
                time->count());
  };
  DSBENCH_CHECK(positive(config.ttft_target, "ttft_target"));
  DSBENCH_CHECK(positive(config.codel_target, "codel_target"));
  DSBENCH_CHECK(positive(config.standing, "standing"));
  DSBENCH_CHECK(positive(config.expire_after, "expire_after"));
  if (config.max_queued_tokens && *config.max_queued_tokens < 1) {
    return fail(ErrorKind::usage, "overload control: max_queued_tokens is {}; it must be at least 1",
                *config.max_queued_tokens);
  }
  if (config.adaptive_concurrency && !(*config.adaptive_concurrency > 1)) {
    return fail(
        ErrorKind::usage,
        "overload control: adaptive_concurrency is {}; it is how many times the unloaded time per token "
        "is tolerated, and must be above 1",
        *config.adaptive_concurrency);
  }
  DSBENCH_CHECK(check_limits(config.account));
  if (config.tenants.size() > 250)
    return fail(ErrorKind::usage, "{} tenant classes; at most 250 are accepted", config.tenants.size());
  for (std::size_t i = 0; i < config.tenants.size(); ++i) {
    const TenantClass& t = config.tenants[i];
    if (t.name.empty()) return fail(ErrorKind::usage, "a tenant class has no name");
    for (std::size_t j = 0; j < i; ++j) {
      if (config.tenants[j].name == t.name)
        return fail(ErrorKind::usage, "the tenant class '{}' is given twice", t.name);
    }
    if (!(t.weight > 0)) {
      return fail(ErrorKind::usage, "the weight of tenant class '{}' is {}; it must be above 0", t.name,
                  t.weight);
    }
    if (t.account) DSBENCH_CHECK(check_limits(*t.account));
    if (t.concurrency && *t.concurrency < 1) {
      return fail(ErrorKind::usage, "tenant class '{}' may have {} requests at a time; it must be at least 1",
                  t.name, *t.concurrency);
    }
  }
  return {};
}

Result<QueueOrder> parse_queue_order(std::string_view text) {
  for (const auto& [order, name] : orders) {
    if (name == text) return order;
  }
  return fail(ErrorKind::usage,
              "no queue order '{}'; accepted: fcfs, shortest-prompt, priority, adaptive-lifo", text);
}

std::string_view to_string(QueueOrder order) {
  for (const auto& [value, name] : orders) {
    if (value == order) return name;
  }
  return "?";
}

Result<TenantClass> parse_tenant(std::string_view text) {
  TenantClass tenant;
  const std::size_t colon = text.find(':');
  tenant.name = text.substr(0, colon);
  if (tenant.name.empty()) return fail(ErrorKind::usage, "tenant '{}': it begins with a name", text);
  AccountLimits own;
  std::string_view rest = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const std::size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    if (equals == std::string_view::npos) {
      return fail(ErrorKind::usage, "tenant '{}': '{}' is no key=value", text, part);
    }
    if (std::find(tenant_keys.begin(), tenant_keys.end(), key) == tenant_keys.end()) {
      return fail(ErrorKind::usage, "tenant '{}': no key '{}'; accepted: {}", text, key,
                  fmt::join(tenant_keys, ", "));
    }
    DSBENCH_TRY(const double value, number(part.substr(equals + 1), key, text));
    const auto bucket = [&](std::optional<Bucket>& b) -> Bucket& { return b ? *b : b.emplace(); };
    if (key == "rank") {
      tenant.rank = static_cast<std::int32_t>(value);
    } else if (key == "weight") {
      tenant.weight = value;
    } else if (key == "rate") {
      bucket(own.requests).rate = value;
    } else if (key == "burst") {
      bucket(own.requests).burst = value;
    } else if (key == "tokens") {
      bucket(own.tokens).rate = value;
    } else if (key == "token-burst") {
      bucket(own.tokens).burst = value;
    } else if (key == "concurrency") {
      own.concurrency = static_cast<std::int32_t>(value);
    } else {
      tenant.concurrency = static_cast<std::int32_t>(value);
    }
  }
  // A burst that is not said is a second's worth, and at least one request.
  if (own.requests && own.requests->burst == 0) own.requests->burst = std::max(1.0, own.requests->rate);
  if (own.tokens && own.tokens->burst == 0) own.tokens->burst = own.tokens->rate;
  if (any(own)) tenant.account = own;
  return tenant;
}

}  // namespace dsbench::engine
