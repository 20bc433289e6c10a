#include "results/record.h"

#include <array>

namespace dsbench::results {

std::string_view to_word(Reason reason) {
  static constexpr std::array<std::string_view, reason_count> words{"ok",
                                                                    "connect_failed",
                                                                    "connect_timeout",
                                                                    "tls_failed",
                                                                    "send_failed",
                                                                    "first_token_timeout",
                                                                    "stall_timeout",
                                                                    "total_timeout",
                                                                    "abandoned",
                                                                    "superseded",
                                                                    "breaker_open",
                                                                    "http_429",
                                                                    "http_503",
                                                                    "http_4xx",
                                                                    "http_5xx",
                                                                    "http_other",
                                                                    "closed_early",
                                                                    "error_frame",
                                                                    "insufficient_resource",
                                                                    "malformed",
                                                                    "empty",
                                                                    "unsent",
                                                                    "interrupted",
                                                                    "cancelled"};
  return words[static_cast<std::size_t>(reason)];
}

std::string_view to_word(TokenSource source) {
  static constexpr std::array<std::string_view, 4> words{"usage", "chunks", "asked", "retokenised"};
  return words[static_cast<std::size_t>(source)];
}

std::string_view to_word(ProviderChange change) {
  static constexpr std::array<std::string_view, provider_change_count> words{"ejected", "probed", "reopened",
                                                                             "closed", "readmitted"};
  return words[static_cast<std::size_t>(change)];
}

bool is_good(const RequestRecord& request, const Slo& slo) {
  if (!ended_well(request.reason)) return false;
  if (slo.ttft && request.first_token - request.due > *slo.ttft) return false;
  if (slo.e2e && request.last_token - request.due > *slo.e2e) return false;
  if (slo.tpot && request.output_tokens > 1) {
    if ((request.last_token - request.first_token) / (request.output_tokens - 1) > *slo.tpot) return false;
  }
  return true;
}

}  // namespace dsbench::results
