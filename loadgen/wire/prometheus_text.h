#pragma once

#include <optional>
#include <string_view>

#include "results/run_summary.h"

namespace dsbench::loadgen {

// What an engine's /metrics page says, as far as a rehearsal asks. What a page does not have is absent.
struct EngineMetrics {
  std::optional<double> running;                                               // requests in the batch
  std::optional<double> waiting;                                               // requests in the queue
  std::optional<double> kv_used_share;                                         // 0 to 1
  std::optional<double> computed_tokens, recomputed_tokens, abandoned_tokens;  // dsbench serve only
  std::optional<double> prompt_tokens, generated_tokens, preemptions;

  // Present when the page accounts for computed tokens (dsbench serve does, vLLM does not).
  [[nodiscard]] std::optional<results::Ledger> ledger() const;
};

// Prometheus text format 0.0.4. By vLLM's names ("vllm:…", with or without "_total") and dsbench's own
// ("dsbench_…_total"); series of one name (labels: model, engine) are added up, but for the KV share, of
// which the largest counts. Lines that make no sense are passed over.
[[nodiscard]] EngineMetrics parse_prometheus_text(std::string_view page);

}  // namespace dsbench::loadgen
