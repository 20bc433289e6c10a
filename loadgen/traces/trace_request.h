#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/units.h"

namespace dsbench::loadgen {

// One request as a source tells it. What a source does not say is empty.
struct TraceRequest {
  Nanos at{0};  // on the source's own clock: since its zero, or since the Unix epoch
  std::int32_t input_tokens = 0, output_tokens = 0;
  std::optional<double> reasoning_share;     // of the output, 0 to 1
  std::vector<std::uint64_t> prefix_hashes;  // one a block of the prompt, from its beginning
  std::string id, parent;  // of the request and of the one that it follows (Bailian's chat ids)
  std::string session, tenant;
  bool failed = false;
};

using TraceSink = std::function<void(const TraceRequest&)>;

}  // namespace dsbench::loadgen
