#pragma once

#include <cstdint>
#include <string>

#include "cli/offered_traffic.h"
#include "core/result.h"
#include "loadgen/request_source.h"

namespace dsbench::cli {

// Writes what would be sent, one JSON object a line: the requests of the schedule in its order, each with its
// number, the instant it is due, its stage, its class, its token counts, and the seeds that its body is made
// of. A function of traffic, workload and seed alone: the lines of several workers, sorted by request, are
// the bytes that one worker writes. Requests that follow from others (sessions, agents) depend on answers and
// are not in it. Returns how many lines. `file` "-" is stdout.
[[nodiscard]] Result<std::int64_t> write_send_plan(OfferedTraffic& traffic,
                                                   const loadgen::SharedSource& source,
                                                   const std::string& file);

}  // namespace dsbench::cli
