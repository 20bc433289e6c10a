#pragma once

#include <cstdint>

#include "loadgen/request_source.h"
#include "profiles/workload_profile.h"

namespace dsbench::loadgen {

// What request i consists of: a function of (workload, seed, i) alone, whoever asks and in whatever order.
// Streams of randomness, by request number: "prompt_tokens", "output_tokens", "prompts"; a new kind of
// property gets a stream of its own, so that the ones here stay as they are.
[[nodiscard]] SharedSource make_source(const profiles::WorkloadProfile& workload, std::uint64_t seed);

}  // namespace dsbench::loadgen
