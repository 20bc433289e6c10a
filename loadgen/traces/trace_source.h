#pragma once

#include <memory>

#include "loadgen/request_source.h"
#include "loadgen/traces/trace.h"

namespace dsbench::loadgen {

// What a trace's requests are: number i is due at trace->due()[i]. Beyond the last it begins again (with the
// same prompts), so that a traffic profile can give the times where the trace has none.
[[nodiscard]] SharedSource make_trace_source(std::shared_ptr<const Trace> trace);

}  // namespace dsbench::loadgen
