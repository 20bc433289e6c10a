#pragma once

#include <cstdint>

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

// bf16 rows to e4m3 with an f32 scale for every 128 neighbours: scale = max(amax, 1e-4)/448, code = x/scale.
struct GroupQuantArgs {
  const void* x = nullptr;  // [rows, width], or [rows, 2·width] with `swiglu`
  void* y = nullptr;        // e4m3 [rows, width]
  float* scale = nullptr;   // [rows, width/128]
  std::int64_t rows = 0;
  int width = 0;        // a multiple of 128
  bool swiglu = false;  // quantises silu(gate)·up of x = [gate, up] instead of x
};
[[nodiscard]] Status group_quant(const GroupQuantArgs& args, void* stream);

// y[rows, inter] = silu(x[:, :inter]) · x[:, inter:].
struct SwigluArgs {
  const void* x = nullptr;
  void* y = nullptr;
  std::int64_t rows = 0;
  int inter = 0;
  Element type = Element::bf16;
};
[[nodiscard]] Status swiglu(const SwigluArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
