#include "loadgen/traces/trace_source.h"

#include <utility>

namespace dsbench::loadgen {

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
