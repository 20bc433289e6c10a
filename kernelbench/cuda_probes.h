#pragma once

#include <cstdint>

// The small kernels that the CUDA device measures with. `stream` is a cudaStream_t; what is returned is a
// cudaError_t.
namespace dsbench::kernelbench {

// What a blocker and its host share: mapped host memory.
struct BlockerFlags {
  volatile std::int32_t go = 0;         // the host sets it
  volatile std::int32_t timed_out = 0;  // the device sets it: nobody said go for so long
};

// Holds the stream until flags->go is not 0, or until `timeout_ns` have passed: a launcher that waits for the
// device would else wait for ever.
[[nodiscard]] int launch_blocker(BlockerFlags* device_flags, std::uint64_t timeout_ns, void* stream);

// One processor's counters at one moment.
struct ClockStamp {
  std::uint64_t nanoseconds = 0;  // globaltimer
  std::uint64_t cycles = 0;       // clock64
};
// One stamp for each processor that ran one of the blocks, by its number (%smid); the others stay as they
// are.
[[nodiscard]] int launch_clock_stamps(ClockStamp* stamps, int processors, void* stream);

[[nodiscard]] int launch_empty(void* stream);

// A processor's clock between two sets of stamps: the median over processors that have both; 0 when none has.
[[nodiscard]] double clock_between(const ClockStamp* before, const ClockStamp* after, int processors);

}  // namespace dsbench::kernelbench
