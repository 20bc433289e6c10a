#pragma once

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/simt.h"

// Sixteen bytes of f32 or bf16 as floats, and sums over warps and blocks.
namespace dsbench::engine::kernels::cuda {

template <class T>
inline constexpr int per16 = 16 / static_cast<int>(sizeof(T));

DSB_DEVICE float to_float(float v) {
  return v;
}
DSB_DEVICE float to_float(Bf16 v) {
  return simt::from_bf16(v);
}
template <class T>
DSB_DEVICE T from_float(float v) {
  if constexpr (sizeof(T) == 2)
    return simt::to_bf16(v);
  else
    return v;
}

DSB_DEVICE void unpack(const Bytes16& raw, float (&v)[4]) {
  DSB_UNROLL
  for (int i = 0; i < 4; ++i) v[i] = simt::bits_float(raw.word[i]);
}
DSB_DEVICE void unpack(const Bytes16& raw, float (&v)[8]) {
  DSB_UNROLL
  for (int i = 0; i < 4; ++i) {
    v[2 * i] = simt::bits_float(raw.word[i] << 16);
    v[2 * i + 1] = simt::bits_float(raw.word[i] & 0xffff0000u);
  }
}
DSB_DEVICE Bytes16 pack(const float (&v)[4]) {
  Bytes16 raw;
  DSB_UNROLL
  for (int i = 0; i < 4; ++i) raw.word[i] = simt::float_bits(v[i]);
  return raw;
}
DSB_DEVICE Bytes16 pack(const float (&v)[8]) {
  Bytes16 raw;
  DSB_UNROLL
  for (int i = 0; i < 4; ++i) raw.word[i] = simt::to_bf16x2(v[2 * i], v[2 * i + 1]);
  return raw;
}

// Sixteen bytes at once, or one element where rows do not start on sixteen bytes.
template <class T, int kWidth>
DSB_DEVICE void load_vector(const T* p, float (&v)[kWidth]) {
  if constexpr (kWidth == 1)
    v[0] = to_float(*p);
  else
    unpack(simt::load16(p), v);
}
template <class T, int kWidth>
DSB_DEVICE void store_vector(T* p, const float (&v)[kWidth]) {
  if constexpr (kWidth == 1)
    *p = from_float<T>(v[0]);
  else
    simt::store16(p, pack(v));
}

// Of two numbers what rounding them to bf16 cuts off.
DSB_DEVICE void keep_rounded_off(float& low, float& high) {
  const std::uint32_t rounded = simt::to_bf16x2(low, high);
  low -= simt::bits_float(rounded << 16);
  high -= simt::bits_float(rounded & 0xffff0000u);
}

// Over `width` neighbouring lanes (a power of two); every lane gets the result.
DSB_DEVICE float sum_over(float v, int width) {
  for (int mask = width / 2; mask > 0; mask /= 2) v += simt::shuffle_xor(v, mask);
  return v;
}
DSB_DEVICE float largest_over(float v, int width) {
  for (int mask = width / 2; mask > 0; mask /= 2) v = simt::larger(v, simt::shuffle_xor(v, mask));
  return v;
}

// Over the block; `scratch`: 32 floats of shared memory.
DSB_DEVICE float sum_over_block(float v, float* scratch) {
  const int lane = simt::thread() % 32;
  const int warp = simt::thread() / 32;
  const int warps = simt::threads() / 32;
  v = sum_over(v, 32);
  if (lane == 0) scratch[warp] = v;
  simt::sync_block();
  return sum_over(lane < warps ? scratch[lane] : 0.0f, 32);
}

}  // namespace dsbench::engine::kernels::cuda
