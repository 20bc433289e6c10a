#pragma once

#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/simt.h"

namespace dsbench::engine::kernels::cuda {

// A pair of an output's rotary numbers, turned back; `turns`: [requests, mla_rope], cosines, then sines.
DSB_DEVICE void turn_back(const float* turns, int request, int pair, float& x, float& y) {
  const float* const cosines = turns + static_cast<long long>(request) * mla_rope;
  const float cosine = cosines[pair];
  const float sine = cosines[mla_rope / 2 + pair];
  const float turned = x * cosine + y * sine;
  y = y * cosine - x * sine;
  x = turned;
}

}  // namespace dsbench::engine::kernels::cuda
