#pragma once

#include <string_view>

#include "core/units.h"
#include "engine/server/api_request.h"
#include "engine/server/manners.h"

namespace dsbench::engine::server {

// The headers that say who asks, empty where there is none.
struct CallerHeaders {
  std::string_view authorization = {};  // Authorization: Bearer KEY
  std::string_view api_key = {};        // x-api-key: KEY
  std::string_view tenant = {};         // x-dsbench-tenant: NAME, up to 64 of A-Z a-z 0-9 . _ -
  std::string_view attempt = {};        // x-dsbench-attempt: N, from 0
  std::string_view retry_count = {};    // x-stainless-retry-count: N, as the OpenAI and Anthropic SDKs say it
  std::string_view timeout = {};        // x-request-timeout: 30s, 500ms, or a number of seconds
};

// Fills in the account, the tenant, the attempt and the expiry of `request`, which arrived at `arrived`. A
// key and a user are kept as hashes: they come from outside and may be secrets. The account is empty without
// both, "key-…", "user-…", or "key-…/user-…" where the manners tell apart the users behind one key.
[[nodiscard]] ApiResult<void> read_caller(const CallerHeaders& headers, const Manners& manners, Nanos arrived,
                                          ApiRequest& request);

}  // namespace dsbench::engine::server
