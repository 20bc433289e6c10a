#pragma once

#include <memory>

#include "core/clock.h"
#include "engine/engine.h"
#include "engine/fixed/fixed_schedule.h"

namespace dsbench::engine {

// An engine whose timing is known beforehand: what a client measures beyond the law is the client's error,
// the network's and ours. It has no thread (see Engine::driver); tokens may be late, early never. They spell
// the alphabet, whatever was asked.
//
// Of the configuration it heeds what FixedSchedule does. `clock` must outlive the engine.
[[nodiscard]] Result<std::unique_ptr<Engine>> make_fixed_engine(const FixedLaw& law,
                                                                const SchedulerConfig& config, Clock& clock);

// The token at a place of an answer: the letters in turn.
[[nodiscard]] constexpr TokenId fixed_token(std::int32_t position) {
  return 'a' + position % 26;
}

}  // namespace dsbench::engine
