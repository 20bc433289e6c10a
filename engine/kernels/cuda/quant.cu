#include "engine/kernels/cuda/quant.h"

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/vectors.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int block_threads = 256;
constexpr int group_lanes = 16;  // lanes to a group of 128: 8 bf16 each

DSB_DEVICE float silu_times(float gate, float up) {
  return simt::divide(gate, 1.0f + simt::exp_e(-gate)) * up;
}

// Half a warp to a group of 128.
template <bool kSwiglu>
DSB_KERNEL(block_threads, 4)
group_quant_kernel(const Bf16* x, unsigned char* y, float* scale, long long groups, int width) {
  const long long group =
      (static_cast<long long>(simt::block_x()) * block_threads + simt::thread()) / group_lanes;
  const int lane = simt::thread() % group_lanes;
  const bool mine = group < groups;  // the shuffles want every lane, also those beyond the end
  const int per_row = width / 128;
  float v[8] = {};
  if (mine) {
    const long long row = group / per_row;
    const long long at = (group % per_row) * 128 + lane * 8;
    if constexpr (kSwiglu) {
      float up[8];
      load_vector(x + row * 2 * width + at, v);
      load_vector(x + row * 2 * width + width + at, up);
      DSB_UNROLL
      for (int k = 0; k < 8; ++k) v[k] = silu_times(v[k], up[k]);
    } else {
      load_vector(x + row * width + at, v);
    }
  }
  float amax = 0;
  DSB_UNROLL
  for (int k = 0; k < 8; ++k) amax = simt::larger(amax, simt::absolute(v[k]));
  amax = largest_over(amax, group_lanes);
  if (!mine) return;
  const float s = simt::divide(simt::larger(amax, 1e-4f), 448.0f);
  DSB_UNROLL
  for (int k = 0; k < 8; ++k) v[k] = simt::divide(v[k], s);
  simt::store8(y + group * 128 + lane * 8, simt::to_e4m3x4(v[0], v[1], v[2], v[3]),
               simt::to_e4m3x4(v[4], v[5], v[6], v[7]));
  if (lane == 0) scale[group] = s;
}

template <class T, int kWidth>
DSB_KERNEL(block_threads, 4)
swiglu_kernel(const T* x, T* y, long long pieces, int inter) {
  constexpr int width = kWidth;
  const long long piece = static_cast<long long>(simt::block_x()) * block_threads + simt::thread();
  if (piece >= pieces) return;
  const int per_row = inter / width;
  const long long row = piece / per_row;
  const long long at = (piece % per_row) * width;
  float gate[width];
  float up[width];
  load_vector(x + row * 2 * inter + at, gate);
  load_vector(x + row * 2 * inter + inter + at, up);
  DSB_UNROLL
  for (int k = 0; k < width; ++k) gate[k] = silu_times(gate[k], up[k]);
  store_vector(y + row * inter + at, gate);
}

template <class T, int kWidth>
Status start(const SwigluArgs& args, void* stream) {
  const std::int64_t pieces = args.rows * (args.inter / kWidth);
  const LaunchShape shape{
      {static_cast<unsigned>(ceil_div<std::int64_t>(pieces, block_threads)), 1}, block_threads, 0};
  return launch(&swiglu_kernel<T, kWidth>, shape, stream, static_cast<const T*>(args.x),
                static_cast<T*>(args.y), static_cast<long long>(pieces), args.inter);
}

}  // namespace

Status group_quant(const GroupQuantArgs& args, void* stream) {
  if (args.width % 128 != 0) return invalid_value;
  const std::int64_t groups = args.rows * (args.width / 128);
  if (groups == 0) return 0;
  const LaunchShape shape{
      {static_cast<unsigned>(ceil_div<std::int64_t>(groups * group_lanes, block_threads)), 1},
      block_threads,
      0};
  const auto kernel = args.swiglu ? &group_quant_kernel<true> : &group_quant_kernel<false>;
  return launch(kernel, shape, stream, static_cast<const Bf16*>(args.x), static_cast<unsigned char*>(args.y),
                args.scale, static_cast<long long>(groups), args.width);
}

Status swiglu(const SwigluArgs& args, void* stream) {
  if (args.rows == 0) return 0;
  const bool whole = vector_width(args.inter, args.type) > 1;
  if (args.type == Element::f32) return whole ? start<float, 4>(args, stream) : start<float, 1>(args, stream);
  return whole ? start<Bf16, 8>(args, stream) : start<Bf16, 1>(args, stream);
}

}  // namespace dsbench::engine::kernels::cuda
