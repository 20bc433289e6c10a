#include "results/metrics.h"

namespace dsbench::results {

std::string_view to_word(Metric metric) {
  static constexpr std::array<std::string_view, metric_count> words{
      "ttft", "ttft_service", "tpot", "itl", "e2e", "e2e_service", "ntpot", "send_lag"};
  return words[static_cast<std::size_t>(metric)];
}

void MetricSet::add(const RequestRecord& request) {
  if (!ended_well(request.reason)) {
    for (std::size_t i = 0; i < metric_count; ++i) {
      if (i != static_cast<std::size_t>(Metric::send_lag)) sets_[i].record_infinite();
    }
    return;
  }
  if (request.first_token == never || request.last_token == never) return;
  const Nanos e2e = request.last_token - request.due;
  at(Metric::ttft).record(request.first_token - request.due);
  at(Metric::e2e).record(e2e);
  if (request.final_sent != never) {
    at(Metric::ttft_service).record(request.first_token - request.final_sent);
    at(Metric::e2e_service).record(request.last_token - request.final_sent);
  }
  if (request.output_tokens > 1) {
    at(Metric::tpot).record((request.last_token - request.first_token) / (request.output_tokens - 1));
  }
  if (request.output_tokens > 0) at(Metric::ntpot).record(e2e / request.output_tokens);
}

void MetricSet::add(const AttemptRecord& attempt) {
  for (const Nanos gap : attempt.gaps) at(Metric::itl).record(gap);
  if (attempt.sent != never)
    at(Metric::send_lag).record(attempt.sent - attempt.due);
  else if (attempt.reason == Reason::unsent)
    at(Metric::send_lag).record_infinite();
}

void MetricSet::add(const MetricSet& other) {
  for (std::size_t i = 0; i < metric_count; ++i) sets_[i].add(other.sets_[i]);
}

}  // namespace dsbench::results
