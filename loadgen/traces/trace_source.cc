#include "loadgen/traces/trace_source.h"

#include <utility>

namespace dsbench::loadgen {

std::vector<Arrival> trace_arrivals(const Trace& trace, const ScheduleOrigin& origin) {
  std::vector<Arrival> arrivals;
  arrivals.reserve(trace.size());
  for (const TraceRow& row : trace.rows) {
    arrivals.push_back({origin.first_request + arrivals.size(), origin.start + row.due, origin.first_stage});
  }
  return arrivals;
}

SharedSource make_trace_source(std::shared_ptr<const Trace> trace) {
  return SharedSource{[trace = std::move(trace)](std::uint64_t request) {
    const std::size_t row = request % trace->size();
    TraceContent content = trace->content(row);
    Attempt attempt;
    attempt.request = request;
    attempt.content = request;
    attempt.prompt_tokens = content.input_tokens;
    attempt.output_tokens = content.output_tokens;
    attempt.prompt_seed = content.parts.front().seed;
    // A prompt of one part is its seed's text already.
    if (content.parts.size() > 1)
      attempt.parts = std::make_shared<const PromptParts>(std::move(content.parts));
    return attempt;
  }};
}

}  // namespace dsbench::loadgen
