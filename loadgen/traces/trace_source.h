#pragma once

#include <memory>
#include <vector>

#include "loadgen/request_source.h"
#include "loadgen/schedule.h"
#include "loadgen/traces/trace.h"

namespace dsbench::loadgen {

// Replays: arrival i of the trace's schedule is request i of its source.

// When the requests are due, numbered and timed from the origin, all of one stage.
[[nodiscard]] std::vector<Arrival> trace_arrivals(const Trace& trace, const ScheduleOrigin& origin = {});

// What they are. Beyond the last it begins again (with the same prompts), so that a traffic profile can give
// the times where the trace has none.
[[nodiscard]] SharedSource make_trace_source(std::shared_ptr<const Trace> trace);

}  // namespace dsbench::loadgen
