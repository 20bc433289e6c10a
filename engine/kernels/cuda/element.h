#pragma once

#include <cstdint>

namespace dsbench::engine::kernels::cuda {

// The element types that the kernels of this folder are compiled for.
enum class Element : int { f32, bf16, e4m3 };

// A bf16 number as its bits.
using Bf16 = std::uint16_t;

}  // namespace dsbench::engine::kernels::cuda
