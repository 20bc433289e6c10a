#include "loadgen/wire/prometheus_text.h"

#include <charconv>
#include <cmath>

namespace dsbench::loadgen {
namespace {

// Past the closing brace of a label set, quotes and escapes respected; npos when it does not close.
std::size_t skip_labels(std::string_view line, std::size_t at) {
  bool quoted = false;
  for (; at < line.size(); ++at) {
    if (quoted && line[at] == '\\') {
      ++at;
    } else if (line[at] == '"') {
      quoted = !quoted;
    } else if (!quoted && line[at] == '}') {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

// "name{labels} value [timestamp]"; nothing for comments and nonsense.
struct Sample {
  std::string_view name;
  double value = 0;
};
std::optional<Sample> parse_sample(std::string_view line) {
  if (line.empty() || line.front() == '#') return std::nullopt;
  std::size_t at = line.find_first_of("{ \t");
  if (at == std::string_view::npos || at == 0) return std::nullopt;
  Sample sample{.name = line.substr(0, at)};
  if (line[at] == '{' && (at = skip_labels(line, at)) == std::string_view::npos) return std::nullopt;
  at = line.find_first_not_of(" \t", at);
  if (at == std::string_view::npos) return std::nullopt;
  if (line[at] == '+') ++at;
  const auto [end, error] = std::from_chars(line.data() + at, line.data() + line.size(), sample.value);
  if (error != std::errc{} || !std::isfinite(sample.value)) return std::nullopt;
  const std::string_view rest{end, static_cast<std::size_t>(line.data() + line.size() - end)};
  if (!rest.empty() && rest.front() != ' ' && rest.front() != '\t' && rest.front() != '\r')
    return std::nullopt;
  return sample;
}

struct Name {
  std::string_view name;  // without "_total"
  std::optional<double> EngineMetrics::*field;
};
constexpr Name names[] = {
    {"vllm:num_requests_running", &EngineMetrics::running},
    {"vllm:num_requests_waiting", &EngineMetrics::waiting},
    {"vllm:kv_cache_usage_perc", &EngineMetrics::kv_used_share},
    {"vllm:gpu_cache_usage_perc", &EngineMetrics::kv_used_share},
    {"vllm:prompt_tokens", &EngineMetrics::prompt_tokens},
    {"vllm:generation_tokens", &EngineMetrics::generated_tokens},
    {"vllm:num_preemptions", &EngineMetrics::preemptions},
    {"dsbench_computed_tokens", &EngineMetrics::computed_tokens},
    {"dsbench_recomputed_tokens", &EngineMetrics::recomputed_tokens},
    {"dsbench_abandoned_tokens", &EngineMetrics::abandoned_tokens},
};

std::int64_t whole(std::optional<double> v) {
  return v ? std::llround(*v) : 0;
}

}  // namespace

std::optional<results::Ledger> EngineMetrics::ledger() const {
  if (!computed_tokens) return std::nullopt;
  return results::Ledger{.computed_tokens = whole(computed_tokens),
                         .recomputed_tokens = whole(recomputed_tokens),
                         .abandoned_tokens = whole(abandoned_tokens),
                         .generated_tokens = whole(generated_tokens),
                         .preemptions = whole(preemptions)};
}

EngineMetrics parse_prometheus_text(std::string_view page) {
  EngineMetrics metrics;
  while (!page.empty()) {
    const std::size_t end = page.find('\n');
    const std::string_view line = page.substr(0, end);
    page.remove_prefix(end == std::string_view::npos ? page.size() : end + 1);
    const auto sample = parse_sample(line);
    if (!sample) continue;
    std::string_view name = sample->name;
    if (name.ends_with("_total")) name.remove_suffix(6);
    for (const Name& known : names) {
      if (known.name != name) continue;
      std::optional<double>& field = metrics.*known.field;
      if (known.field == &EngineMetrics::kv_used_share) {
        field = std::max(field.value_or(0), sample->value);
      } else {
        field = field.value_or(0) + sample->value;
      }
    }
  }
  return metrics;
}

}  // namespace dsbench::loadgen
