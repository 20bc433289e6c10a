#pragma once

#include <cstdint>

namespace dsbench::engine::kernels::cuda {

// The element types that the kernels of this folder are compiled for.
enum class Element : int { f32, bf16, e4m3 };

// A bf16 number as its bits.
using Bf16 = std::uint16_t;

// Elements that a thread takes at once from rows of `row` elements: 16 bytes of them where rows are a
// multiple of that, else one.
[[nodiscard]] constexpr int vector_width(int row, Element type) {
  const int whole = type == Element::f32 ? 4 : type == Element::bf16 ? 8 : 16;
  return row % whole == 0 ? whole : 1;
}

}  // namespace dsbench::engine::kernels::cuda
