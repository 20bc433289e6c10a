#pragma once

#include "engine/kernels/cuda/simt.h"

namespace dsbench::engine::kernels::cuda {

// Inclusive sum over the lanes of a warp.
DSB_DEVICE int scan_of_warp(int v) {
  const int lane = simt::thread() % 32;
  for (int step = 1; step < 32; step *= 2) {
    const int other = simt::shuffle(v, lane >= step ? lane - step : lane);
    if (lane >= step) v += other;
  }
  return v;
}

// first[0] = 0, first[i + 1] = first[i] + count(i), by one whole warp.
template <class Count>
DSB_DEVICE void prefix_of(int* first, int items, const Count& count) {
  const int lane = simt::thread() % 32;
  int carried = 0;
  for (int at = 0; at < items; at += 32) {
    const int i = at + lane;
    const int sum = scan_of_warp(i < items ? count(i) : 0) + carried;
    carried = simt::shuffle(sum, 31);
    if (i < items) first[i + 1] = sum;
  }
  if (lane == 0) first[0] = 0;
}

}  // namespace dsbench::engine::kernels::cuda
