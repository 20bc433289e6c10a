#include "results/metrics.h"

namespace dsbench::results {

std::string_view to_word(Metric metric) {
  static constexpr std::array<std::string_view, metric_count> words{
      "ttft", "ttft_service", "tpot", "itl", "e2e", "e2e_service", "ntpot", "send_lag", "read_lag"};
  return words[static_cast<std::size_t>(metric)];
}

std::optional<Nanos> latency_of(const RequestRecord& request, Metric metric) {
  if (request.first_token == never || request.last_token == never) return std::nullopt;
  const Nanos e2e = request.last_token - request.due;
  const bool sent = request.final_sent != never;
  switch (metric) {
    case Metric::ttft:
      return request.first_token - request.due;
    case Metric::e2e:
      return e2e;
    case Metric::ttft_service:
      return sent ? std::optional{request.first_token - request.final_sent} : std::nullopt;
    case Metric::e2e_service:
      return sent ? std::optional{request.last_token - request.final_sent} : std::nullopt;
    case Metric::tpot:
      if (request.output_tokens < 2) return std::nullopt;
      return (request.last_token - request.first_token) / (request.output_tokens - 1);
    case Metric::ntpot:
      if (request.output_tokens < 1) return std::nullopt;
      return e2e / request.output_tokens;
    case Metric::itl:
    case Metric::send_lag:
    case Metric::read_lag:
      break;
  }
  return std::nullopt;
}

void MetricSet::add(const RequestRecord& request) {
  if (!ended_well(request.reason)) {
    for (std::size_t i = 0; i < metric_count; ++i) {
      const auto metric = static_cast<Metric>(i);
      if (metric != Metric::send_lag && metric != Metric::read_lag) sets_[i].record_infinite();
    }
    return;
  }
  for (std::size_t i = 0; i < metric_count; ++i) {
    if (const auto latency = latency_of(request, static_cast<Metric>(i))) sets_[i].record(*latency);
  }
}

void MetricSet::add(const AttemptRecord& attempt) {
  for (const Nanos gap : attempt.gaps) at(Metric::itl).record(gap);
  if (attempt.sent != never)
    at(Metric::send_lag).record(attempt.sent - attempt.due);
  else if (attempt.reason == Reason::unsent)
    at(Metric::send_lag).record_infinite();
  if (attempt.read_lag != never) at(Metric::read_lag).record(attempt.read_lag);
}

void MetricSet::add(const MetricSet& other) {
  for (std::size_t i = 0; i < metric_count; ++i) sets_[i].add(other.sets_[i]);
}

}  // namespace dsbench::results
