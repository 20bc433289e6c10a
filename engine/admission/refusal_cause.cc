#include "engine/admission/refusal_cause.h"

namespace dsbench::engine {

std::string_view to_string(RefusalCause cause) {
  switch (cause) {
    case RefusalCause::queue_requests:
      return "queue_requests";
    case RefusalCause::queue_tokens:
      return "queue_tokens";
    case RefusalCause::predicted_ttft:
      return "predicted_ttft";
    case RefusalCause::adaptive_concurrency:
      return "adaptive_concurrency";
    case RefusalCause::account_rate:
      return "account_rate";
    case RefusalCause::account_tokens:
      return "account_tokens";
    case RefusalCause::account_concurrency:
      return "account_concurrency";
    case RefusalCause::tenant_concurrency:
      return "tenant_concurrency";
  }
  return "?";
}

}  // namespace dsbench::engine
