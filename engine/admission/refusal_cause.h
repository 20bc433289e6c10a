#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dsbench::engine {

// Why a request was not let in; the label of vllm:admission_rejections_total.
enum class RefusalCause : std::uint8_t {
  queue_requests,
  queue_tokens,
  predicted_ttft,
  adaptive_concurrency,
  account_rate,
  account_tokens,
  account_concurrency,
  tenant_concurrency,
};
inline constexpr std::size_t kRefusalCauses = 8;
[[nodiscard]] std::string_view to_string(RefusalCause cause);

}  // namespace dsbench::engine
