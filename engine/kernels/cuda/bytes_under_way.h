#pragma once

#include "engine/kernels/cuda/launch.h"

// How much a kernel that memory bounds has to have asked for at any time (Little's law: bandwidth × latency).
namespace dsbench::engine::kernels::cuda {

// An H200: 4.8 TB/s by its data sheet. 700 ns from a copy being issued until its bytes are there is what is
// assumed of a loaded memory; it is not yet measured on a device.
inline constexpr long long memory_bytes_per_us = 4'800'000;
inline constexpr long long memory_latency_ns = 700;

// By a processor, if all of them ask for the same.
[[nodiscard]] constexpr long long needed_bytes_under_way(const DeviceShape& device) {
  return memory_bytes_per_us * memory_latency_ns / 1000 / device.processors;
}

// By a processor, of a ring of which one stage is being worked on.
[[nodiscard]] constexpr long long bytes_under_way(int stages, int stage_bytes, int blocks) {
  return static_cast<long long>(stages - 1) * stage_bytes * blocks;
}

}  // namespace dsbench::engine::kernels::cuda
