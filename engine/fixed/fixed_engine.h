#pragma once

#include <memory>

#include "core/clock.h"
#include "engine/engine.h"
#include "engine/fixed/fixed_schedule.h"

namespace dsbench::engine {

// An engine whose timing is known beforehand: what a client measures beyond the law is the client's error,
// the network's and ours. One thread sleeps until the next token is due and hands over all that is due then:
// late it may be, early never. The tokens spell the alphabet, whatever was asked.
//
// Of the configuration it heeds what FixedSchedule does. The clock is CLOCK_MONOTONIC, because the thread
// waits on it.
[[nodiscard]] Result<std::unique_ptr<Engine>> start_fixed_engine(const FixedLaw& law,
                                                                 const SchedulerConfig& config,
                                                                 SteadyClock& clock);

// The token at a place of an answer: the letters in turn.
[[nodiscard]] constexpr TokenId fixed_token(std::int32_t position) {
  return 'a' + position % 26;
}

}  // namespace dsbench::engine
