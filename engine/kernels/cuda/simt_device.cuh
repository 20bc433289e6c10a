#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>

#define DSB_KERNEL(threads, per_sm) __global__ void __launch_bounds__(threads, per_sm)
#define DSB_DEVICE __device__ __forceinline__
#define DSB_UNROLL _Pragma("unroll")
#define DSB_NO_UNROLL _Pragma("unroll 1")
#define DSB_UNROLL_4 _Pragma("unroll 4")

namespace dsbench::engine::kernels::cuda {

struct alignas(16) Bytes16 {
  std::uint32_t word[4];
};

namespace simt {

DSB_DEVICE int thread() {
  return static_cast<int>(threadIdx.x);
}
DSB_DEVICE int threads() {
  return static_cast<int>(blockDim.x);
}
// The same number, but what is computed from it is computed here: kept from before a loop it would take
// registers all the way.
DSB_DEVICE int computed_here(int v) {
  asm volatile("" : "+r"(v));
  return v;
}
// The same number, which the compiler does not take apart: what is added to a descriptor is added to it as a
// whole, and not put together from two halves each time.
DSB_DEVICE std::uint64_t whole(std::uint64_t v) {
  asm("" : "+l"(v));
  return v;
}
DSB_DEVICE int block_x() {
  return static_cast<int>(blockIdx.x);
}
DSB_DEVICE int block_y() {
  return static_cast<int>(blockIdx.y);
}
DSB_DEVICE int grid_x() {
  return static_cast<int>(gridDim.x);
}

DSB_DEVICE unsigned char* shared() {
  extern __shared__ __align__(1024) unsigned char dsb_shared[];
  return dsb_shared;
}
DSB_DEVICE std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

DSB_DEVICE void sync_block() {
  __syncthreads();
}
DSB_DEVICE float shuffle_xor(float v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}
DSB_DEVICE int shuffle_xor(int v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}
DSB_DEVICE float shuffle(float v, int lane) {
  return __shfl_sync(0xffffffffu, v, lane);
}
DSB_DEVICE int shuffle(int v, int lane) {
  return __shfl_sync(0xffffffffu, v, lane);
}
// The compiler knows of a shuffle from one lane that all get the same, and keeps it, and what is computed
// from it, once for the warp.
DSB_DEVICE int uniform(int v) {
  return __shfl_sync(0xffffffffu, v, 0);
}
DSB_DEVICE std::uint32_t match(int v) {
  return __match_any_sync(0xffffffffu, v);
}
DSB_DEVICE std::uint32_t ballot(bool p) {
  return __ballot_sync(0xffffffffu, p);
}
DSB_DEVICE void sync_warp() {
  __syncwarp();
}
DSB_DEVICE int count_bits(std::uint32_t v) {
  return __popc(v);
}
DSB_DEVICE int lowest_bit(std::uint32_t v) {
  return __ffs(static_cast<int>(v)) - 1;
}
DSB_DEVICE int add_shared(int* p, int v) {
  return atomicAdd(p, v);
}

DSB_DEVICE void load_matrix(std::uint32_t (&r)[4], const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(p))
               : "memory");
}
DSB_DEVICE void load_matrix_trans(std::uint32_t (&r)[4], const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(p))
               : "memory");
}
DSB_DEVICE void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
DSB_DEVICE void mma_e4m3(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DSB_DEVICE void copy_async(void* to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(bytes)
               : "memory");
}
DSB_DEVICE void copy_async8(void* to, const void* from, bool valid) {
  const int bytes = valid ? 8 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}
DSB_DEVICE void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kLeft>
DSB_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

DSB_DEVICE void wait_for_previous() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}
DSB_DEVICE void launch_next() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

// The same pointer, which points to global memory: of one that was chosen from several the compiler may not
// see it, and reads as from memory of any kind.
DSB_DEVICE const unsigned char* in_global(const unsigned char* p) {
  __builtin_assume(__isGlobal(p));
  return p;
}
DSB_DEVICE Bytes16 load16(const void* p) {
  const uint4 v = *static_cast<const uint4*>(p);
  return {{v.x, v.y, v.z, v.w}};
}
DSB_DEVICE void load8(const void* p, std::uint32_t& low, std::uint32_t& high) {
  const uint2 v = *static_cast<const uint2*>(p);
  low = v.x;
  high = v.y;
}
DSB_DEVICE void store16(void* p, const Bytes16& v) {
  *static_cast<uint4*>(p) = make_uint4(v.word[0], v.word[1], v.word[2], v.word[3]);
}
DSB_DEVICE void store8(void* p, std::uint32_t low, std::uint32_t high) {
  *static_cast<uint2*>(p) = make_uint2(low, high);
}

DSB_DEVICE float from_bf16(std::uint16_t bits) {
  return __uint_as_float(static_cast<std::uint32_t>(bits) << 16);
}
DSB_DEVICE std::uint16_t to_bf16(float v) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(v));
}
// Two at once; the first in the low half.
DSB_DEVICE std::uint32_t to_bf16x2(float low, float high) {
  std::uint32_t out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
// Four values to e4m3, saturated; the first in the low byte.
DSB_DEVICE std::uint32_t to_e4m3x4(float v0, float v1, float v2, float v3) {
  const std::uint32_t low = __nv_cvt_float2_to_fp8x2(make_float2(v0, v1), __NV_SATFINITE, __NV_E4M3);
  const std::uint32_t high = __nv_cvt_float2_to_fp8x2(make_float2(v2, v3), __NV_SATFINITE, __NV_E4M3);
  return low | (high << 16);
}
// The two e4m3 numbers of the low half.
DSB_DEVICE void from_e4m3x2(std::uint32_t codes, float& low, float& high) {
  const __half2_raw raw = __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(codes), __NV_E4M3);
  const float2 v = __half22float2(__half2(raw));
  low = v.x;
  high = v.y;
}
DSB_DEVICE std::uint32_t float_bits(float v) {
  return __float_as_uint(v);
}
DSB_DEVICE float bits_float(std::uint32_t v) {
  return __uint_as_float(v);
}
DSB_DEVICE float infinity() {
  return __int_as_float(0x7f800000);
}
DSB_DEVICE float divide(float a, float b) {
  return __fdiv_rn(a, b);
}
DSB_DEVICE float square_root(float v) {
  return __fsqrt_rn(v);
}
DSB_DEVICE float exp_e(float v) {
  return expf(v);
}
DSB_DEVICE float exp_2(float v) {
  return exp2f(v);
}
DSB_DEVICE float exp_2_fast(float v) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(v));
  return out;
}
DSB_DEVICE float log_e(float v) {
  return logf(v);
}
DSB_DEVICE float log_1p(float v) {
  return log1pf(v);
}
DSB_DEVICE float larger(float a, float b) {
  return fmaxf(a, b);
}
DSB_DEVICE float absolute(float v) {
  return fabsf(v);
}

}  // namespace simt
}  // namespace dsbench::engine::kernels::cuda
