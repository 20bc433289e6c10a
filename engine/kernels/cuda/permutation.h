#pragma once

#include "engine/kernels/cuda/host_device.h"

// How moe_align deals the pairs to warps: each gets a run of whole batches of 32, in order, so that counting
// in warp order and within a batch in lane order gives the stable order.
namespace dsbench::engine::kernels::cuda {

struct PairRun {
  long long begin;
  long long end;
};

[[nodiscard]] DSB_HD constexpr PairRun pairs_of_warp(long long pairs, int warps, int warp) {
  const long long per_warp = round_up<long long>(ceil_div<long long>(pairs, warps), 32);
  const long long begin = per_warp * warp < pairs ? per_warp * warp : pairs;
  const long long end = begin + per_warp < pairs ? begin + per_warp : pairs;
  return {begin, end};
}

}  // namespace dsbench::engine::kernels::cuda
