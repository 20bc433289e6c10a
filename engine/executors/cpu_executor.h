#pragma once

#include <cstdint>
#include <memory>

#include "core/result.h"
#include "engine/executors/executor.h"
#include "profiles/model_profile.h"

namespace dsbench::engine {

// The executor that really computes: a decoder with weights from `seed`, and a latent cache of `blocks`
// blocks of `block_size` tokens. `threads` includes the thread that calls execute(). Greedy output is a
// function of (profile, seed, prompt) alone.
//
// Refuses (ErrorKind::memory) with the bill when weights and cache do not fit into what memory is available,
// before allocating anything. What a server needs to know beside it (end-of-sequence token, vocabulary,
// context) is in the profile.
[[nodiscard]] Result<std::unique_ptr<Executor>> make_cpu_executor(const profiles::ModelProfile& profile,
                                                                  std::uint64_t seed, int threads, int blocks,
                                                                  int block_size);

}  // namespace dsbench::engine
