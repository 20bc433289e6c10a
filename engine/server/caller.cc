#include "engine/server/caller.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

#include "core/rng.h"
#include "core/text.h"

namespace dsbench::engine::server {
namespace {

constexpr std::size_t kLongestTenant = 64;
constexpr std::int32_t kMostAttempts = 1'000'000;
constexpr double kLongestTimeout = 86400;  // seconds

std::string hashed(std::string_view what, std::string_view secret) {
  return fmt::format("{}-{:016x}", what, derive_seed(0, secret));
}

// As HTTP compares the names of schemes.
bool starts_with_bearer(std::string_view text) {
  constexpr std::string_view bearer = "bearer ";
  return text.size() >= bearer.size() &&
         std::equal(bearer.begin(), bearer.end(), text.begin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
         });
}

std::optional<std::string_view> key_of(std::string_view authorization) {
  if (!starts_with_bearer(authorization)) return std::nullopt;
  std::string_view key = authorization.substr(std::string_view{"bearer "}.size());
  while (key.starts_with(' ')) key.remove_prefix(1);
  while (key.ends_with(' ')) key.remove_suffix(1);
  if (key.empty()) return std::nullopt;
  return key;
}

bool is_tenant(std::string_view text) {
  return text.size() <= kLongestTenant && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '_' || c == '-';
         });
}

std::optional<std::int32_t> attempt_of(std::string_view text) {
  std::int32_t attempt = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), attempt);
  if (error != std::errc{} || end != text.data() + text.size() || attempt < 0 || attempt > kMostAttempts)
    return std::nullopt;
  return attempt;
}

std::optional<Nanos> timeout_of(std::string_view text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc{} && end == text.data() + text.size()) {
    if (!(seconds > 0) || seconds > kLongestTimeout) return std::nullopt;
    return Nanos{std::llround(seconds * 1e9)};
  }
  const auto duration = parse_duration(text);
  if (!duration || *duration <= Nanos{0} || to_seconds(*duration) > kLongestTimeout) return std::nullopt;
  return *duration;
}

}  // namespace

ApiResult<void> read_caller(const CallerHeaders& headers, const Manners& manners, Nanos arrived,
                            ApiRequest& request) {
  const auto key = key_of(headers.authorization);
  if (manners.checks_key && !headers.authorization.empty() && !key) {
    return tl::unexpected(ApiError{.status = 401,
                                   .message = "the Authorization header holds no key; accepted: 'Bearer KEY'",
                                   .type = "authentication_error",
                                   .code = "invalid_api_key"});
  }
  std::string account;
  if (key) {
    account = hashed("key", *key);
  } else if (!headers.api_key.empty()) {
    account = hashed("key", headers.api_key);
  }
  const std::string& user = manners.user_field == "user_id" ? request.user_id : request.user;
  if (!manners.user_field.empty() && !user.empty()) {
    if (!account.empty()) account += '/';
    account += hashed("user", user);
  }
  request.generate.account = std::move(account);

  if (!is_tenant(headers.tenant)) {
    return tl::unexpected(ApiError{
        .status = 400,
        .message = fmt::format("the x-dsbench-tenant header is no tenant's name; accepted: up to {} of A-Z, "
                               "a-z, 0-9, '.', '_' and '-'",
                               kLongestTenant)});
  }
  request.generate.tenant = headers.tenant;

  if (!headers.attempt.empty()) {
    const auto attempt = attempt_of(headers.attempt);
    if (!attempt) {
      return tl::unexpected(
          ApiError{.status = 400,
                   .message = fmt::format("the x-dsbench-attempt header holds '{}'; accepted: a whole number "
                                          "from 0 (the first attempt) to {}",
                                          headers.attempt.substr(0, 40), kMostAttempts)});
    }
    request.generate.attempt = *attempt;
  } else {
    request.generate.attempt = attempt_of(headers.retry_count).value_or(0);  // not ours: no reason to refuse
  }

  if (headers.timeout.empty()) return {};
  const auto timeout = timeout_of(headers.timeout);
  if (!timeout) {
    return tl::unexpected(ApiError{
        .status = 400,
        .message = fmt::format("the x-request-timeout header holds '{}'; accepted: a duration or a number of "
                               "seconds, above 0 and up to a day, as in 30s, 500ms or 30",
                               headers.timeout.substr(0, 40))});
  }
  request.generate.expiry = arrived + *timeout;
  return {};
}

}  // namespace dsbench::engine::server
