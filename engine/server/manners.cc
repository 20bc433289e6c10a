#include "engine/server/manners.h"

#include <array>

namespace dsbench::engine::server {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// The words of vLLM's error types (vllm/entrypoints: the exception's name, else the status's phrase).
constexpr std::array kVllmErrors{
    ErrorWords{400, "BadRequestError", ""},     ErrorWords{401, "Unauthorized", ""},
    ErrorWords{404, "NotFoundError", ""},       ErrorWords{429, "Too Many Requests", ""},
    ErrorWords{500, "InternalServerError", ""}, ErrorWords{503, "Service Unavailable", ""},
};

// The statuses and what they advise: api-docs.deepseek.com, "Error Codes". The types: assumed.
constexpr std::array kDeepSeekErrors{
    ErrorWords{400, "invalid_request_error", "correct the request's form"},
    ErrorWords{401, "authentication_error", "check the API key"},
    ErrorWords{402, "insufficient_balance_error", "top up the account"},
    ErrorWords{404, "invalid_request_error", ""},
    ErrorWords{422, "invalid_request_error", "correct the request's parameters"},
    ErrorWords{429, "rate_limit_error", "pace the requests, or turn to another provider for a while"},
    ErrorWords{500, "server_error", "try again after a short wait"},
    ErrorWords{503, "service_unavailable_error", "try again after a short wait"},
};

constexpr Manners deepseek(std::string_view name, std::string_view describe) {
  Manners m;
  m.name = name;
  m.describe = describe;
  m.errors = kDeepSeekErrors;
  m.code = "invalid_request_error";
  m.invalid_field_status = 422;
  m.unknown_model_status = 400;
  m.sends_retry_after = false;  // none is documented
  m.checks_key = true;
  m.early_head = true;
  m.keep_alive = seconds{10};  // assumed: the documents give no period
  m.interrupted = "insufficient_system_resource";
  m.cache_usage = CacheUsage::hit_and_miss;
  m.reasoning_share = 0.5;  // assumed
  return m;
}

constexpr Manners openai() {
  Manners m;
  m.name = "openai";
  m.describe = "an error before the first token is a status; no keep-alives, no cut-off";
  m.user_field = "user";
  return m;
}

constexpr Manners vllm() {
  Manners m;
  m.name = "vllm";
  m.describe = "integer error codes; a stream's 200 at once, so that later errors are events on it";
  m.errors = kVllmErrors;
  m.numeric_code = true;
  m.sends_retry_after = false;
  m.early_head = true;  // its response starts before its generator is asked for a first chunk
  m.done_after_error = true;
  m.user_field = "user";
  return m;
}

constexpr Manners deepseek_2025_02() {
  Manners m =
      deepseek("deepseek-2025-02",
               "the 200 at once and keep-alives while a request waits; the connection is closed 30 min "
               "after arrival");
  m.cut_off = minutes{30};
  return m;
}

constexpr Manners deepseek_2026() {
  Manners m = deepseek("deepseek-2026", "as before, but closed when inference has not started after 10 min");
  m.start_cut_off = minutes{10};
  m.user_field = "user_id";
  return m;
}

constexpr std::array kManners{openai(), vllm(), deepseek_2025_02(), deepseek_2026()};

}  // namespace

std::span<const Manners> all_manners() {
  return kManners;
}

const Manners* find_manners(std::string_view name) {
  for (const Manners& manners : kManners)
    if (manners.name == name) return &manners;
  return nullptr;
}

}  // namespace dsbench::engine::server
