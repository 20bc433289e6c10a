#pragma once

#include <cstdint>

namespace dsbench::engine::kernels {

// How weights are kept. Activations are fp32 in all cases; for int8 they are rounded to int8 as well, row by
// row, where they meet a weight.
enum class WeightType : std::uint8_t {
  fp32,
  bf16,  // rounded to nearest, ties to even; products and sums in fp32
  int8,  // symmetric, one scale per output channel; products and sums in int32, which is exact
};

}  // namespace dsbench::engine::kernels
