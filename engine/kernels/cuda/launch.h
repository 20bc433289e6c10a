#pragma once

#include <cstddef>

// How kernels are started, the same on the device and in the emulation.
namespace dsbench::engine::kernels::cuda {

struct Grid {
  unsigned x = 1;
  unsigned y = 1;
};

struct LaunchShape {
  Grid grid;
  unsigned threads = 32;
  std::size_t shared_bytes = 0;
};

// A cudaError_t as a number; 0 is success.
using Status = int;
inline constexpr Status invalid_value = 1;  // cudaErrorInvalidValue

// What the planners need to know of the device that the next launch goes to.
struct DeviceShape {
  int processors = 132;
};
[[nodiscard]] DeviceShape device_shape();

}  // namespace dsbench::engine::kernels::cuda
