#pragma once

// Functions that g++ and nvcc both compile: index arithmetic that the kernels use on the device and the tests
// on the host.
#ifdef __CUDACC__
#define DSB_HD __host__ __device__
#else
#define DSB_HD
#endif

namespace dsbench::engine::kernels::cuda {

template <class T>
[[nodiscard]] DSB_HD constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

template <class T>
[[nodiscard]] DSB_HD constexpr T round_up(T a, T b) {
  return ceil_div(a, b) * b;
}

}  // namespace dsbench::engine::kernels::cuda
