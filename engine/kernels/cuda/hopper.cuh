#pragma once

#include "engine/kernels/cuda/simt.h"
#include "engine/kernels/cuda/tensor_map.h"

// What Hopper adds to simt.h: barriers that count bytes, copies by TMA, products of a warpgroup, registers
// handed from one warpgroup to another.
//
//   Barrier; init_barrier(b, arrivals), fence_barriers(), expect_bytes(b, n) [arrives], arrive(b),
//   wait_barrier(b, parity)
//   copy_box(to, map, b, byte, row)       a box of a TensorMap; its bytes count at b
//   prefetch_map(map)                     by one thread, while the block sets itself up
//   prefetch(from, bytes)                 into the second-level cache; both multiples of 16
//   copy_word(to, from, valid)            4 bytes by cp.async; zeros when not valid
//   arrive_with_copies(b)                 arrives once this thread's copies by cp.async so far are there. Who
//       multiplies them says fence_async() after having waited: they came as if threads had written them.
//   cluster_rank(), sync_cluster()        see LaunchShape::cluster
//   arrive_at(b, rank)                    at the same barrier of a block of the cluster
//   copy_box_to_pair(to, map, b, byte, row)
//       to both blocks of a cluster of two, counted at the barrier of each
//   store_box(map, from, byte, row)       the way back, after fence_async() by those who wrote the box
//       (nothing is written beyond the matrix)
//   commit_stores(), wait_stores()        by the thread that stores: until the boxes may be overwritten, and
//       before it ends
//   wgmma_e4m3, wgmma_bf16_…(c, a, b, add)
//       64 × n × 32 bytes of k by all 128 threads of a warpgroup. a and b are descriptors of shared memory; a
//       may be registers, laid out as those of mma (mma_layout.h) in each warp. _trans: n is contiguous in b.
//   wgmma_fence(r…)                       before the first product of a group; r: its sums and, where a is
//       registers, those. Nothing may touch them from then on. The compiler has to be told, too, which would
//       else move what it computes into them behind the fence.
//   wgmma_commit(), wgmma_wait<n>(c…)     groups of products; waits until at most n are under way. Until then
//       neither the sums nor the operands may be touched; c names the sums that are read next.
//   release_registers<n>(), take_registers<n>()
#ifdef __CUDACC__

namespace dsbench::engine::kernels::cuda::simt {

#define DSB_GRID_CONSTANT __grid_constant__

struct alignas(8) Barrier {
  std::uint64_t state;
};

DSB_DEVICE void init_barrier(Barrier* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
}
DSB_DEVICE void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
DSB_DEVICE void expect_bytes(Barrier* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes)
               : "memory");
}
DSB_DEVICE void arrive(Barrier* b) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
DSB_DEVICE void wait_barrier(Barrier* b, int parity) {
  asm volatile(
      "{\n.reg .pred p;\nAGAIN%=:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra "
      "DONE%=;\nbra AGAIN%=;\nDONE%=:\n}" ::"r"(shared_address(b)),
      "r"(parity)
      : "memory");
}
DSB_DEVICE void copy_box(void* to, const TensorMap& map, Barrier* b, int byte, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], "
      "[%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(b)), "r"(byte), "r"(row)
      : "memory");
}
DSB_DEVICE void prefetch_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
DSB_DEVICE void prefetch(const void* from, int bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}
DSB_DEVICE void copy_word(void* to, const void* from, bool valid) {
  const int bytes = valid ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}
DSB_DEVICE void arrive_with_copies(Barrier* b) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(b)) : "memory");
}
DSB_DEVICE int cluster_rank() {
  int rank = 0;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
DSB_DEVICE void sync_cluster() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
// Released for the own block only: said to hold for the cluster it becomes a fence of the whole GPU each
// time. What is handed back are stages that wgmma has read, which is over when its group was waited for.
DSB_DEVICE void arrive_at(Barrier* b, int rank) {
  asm volatile(
      "{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(shared_address(b)),
      "r"(rank)
      : "memory");
}
DSB_DEVICE void copy_box_to_pair(void* to, const TensorMap& map, Barrier* b, int byte, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(b)), "r"(byte), "r"(row), "h"(static_cast<std::uint16_t>(3))
      : "memory");
}
DSB_DEVICE void store_box(const TensorMap& map, const void* from, int byte, int row) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map),
               "r"(shared_address(from)), "r"(byte), "r"(row)
               : "memory");
}
DSB_DEVICE void commit_stores() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
DSB_DEVICE void wait_stores() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}
template <int kSums>
DSB_DEVICE void settle(float (&c)[kSums]) {
  DSB_UNROLL
  for (int e = 0; e < kSums; ++e) asm volatile("" : "+f"(c[e])::"memory");
}
template <int kSteps>
DSB_DEVICE void settle(std::uint32_t (&a)[kSteps][4]) {
  DSB_UNROLL
  for (int step = 0; step < kSteps; ++step) {
    DSB_UNROLL
    for (int i = 0; i < 4; ++i) asm volatile("" : "+r"(a[step][i])::"memory");
  }
}
template <class... Registers>
DSB_DEVICE void wgmma_fence(Registers&... taken) {
  (settle(taken), ...);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
DSB_DEVICE void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kLeft = 0, class... Sums>
DSB_DEVICE void wgmma_wait(Sums&... settled) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
  (settle(settled), ...);
}

#define DSB_F4(c, i) "+f"(c[i]), "+f"(c[(i) + 1]), "+f"(c[(i) + 2]), "+f"(c[(i) + 3])
#define DSB_F16(c, i) DSB_F4(c, i), DSB_F4(c, (i) + 4), DSB_F4(c, (i) + 8), DSB_F4(c, (i) + 12)
DSB_DEVICE void wgmma_e4m3(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%"
      "27,%28,%29,%30,%31,"
      "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%"
      "57,%58,%59,%60,%61,%62,"
      "%63}, %64, %65, p, 1, 1;\n}"
      : DSB_F16(c, 0), DSB_F16(c, 16), DSB_F16(c, 32), DSB_F16(c, 48)
      : "l"(a), "l"(b), "r"(keep));
}
DSB_DEVICE void wgmma_e4m3_n8(float (&c)[4], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%0,%1,%2,%3}, %4, %5, p, 1, 1;\n}"
      : DSB_F4(c, 0)
      : "l"(a), "l"(b), "r"(keep));
}
DSB_DEVICE void wgmma_e4m3_n16(float (&c)[8], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %10, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n16k32.f32.e4m3.e4m3 {%0,%1,%2,%3,%4,%5,%6,%7}, %8, %9, p, 1, 1;\n}"
      : DSB_F4(c, 0), DSB_F4(c, 4)
      : "l"(a), "l"(b), "r"(keep));
}
DSB_DEVICE void wgmma_e4m3_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n32k32.f32.e4m3.e4m3 {"
      "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
      "}, %16, %17, p, 1, 1;\n}"
      : DSB_F16(c, 0)
      : "l"(a), "l"(b), "r"(keep));
}
DSB_DEVICE void wgmma_e4m3_n64(float (&c)[32], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3 {"
      "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,"
      "%27,%28,%29,%30,%31"
      "}, %32, %33, p, 1, 1;\n}"
      : DSB_F16(c, 0), DSB_F16(c, 16)
      : "l"(a), "l"(b), "r"(keep));
}
DSB_DEVICE void wgmma_bf16_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {"
      "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
      "}, %16, %17, p, 1, 1, 0, 0;\n}"
      : DSB_F16(c, 0)
      : "l"(a), "l"(b), "r"(keep));
}
DSB_DEVICE void wgmma_bf16_n64(float (&c)[32], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
      "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,"
      "%27,%28,%29,%30,%31"
      "}, %32, %33, p, 1, 1, 0, 0;\n}"
      : DSB_F16(c, 0), DSB_F16(c, 16)
      : "l"(a), "l"(b), "r"(keep));
}
#define DSB_64_SUMS                                                                                        \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27," \
  "%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,"   \
  "%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
DSB_DEVICE void wgmma_bf16_n128(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" DSB_64_SUMS "}, %64, %65, p, 1, 1, 0, 0;\n}"
      : DSB_F16(c, 0), DSB_F16(c, 16), DSB_F16(c, 32), DSB_F16(c, 48)
      : "l"(a), "l"(b), "r"(keep));
}
DSB_DEVICE void wgmma_bf16_n128_trans(float (&c)[64], const std::uint32_t (&a)[4], std::uint64_t b,
                                      bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" DSB_64_SUMS
      "}, {%64,%65,%66,%67}, %68, p, 1, 1, 1;\n}"
      : DSB_F16(c, 0), DSB_F16(c, 16), DSB_F16(c, 32), DSB_F16(c, 48)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(keep));
}
#undef DSB_64_SUMS
#define DSB_128_SUMS                                                                                     \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,"   \
  "%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51," \
  "%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76," \
  "%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,"    \
  "%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120," \
  "%121,%122,%123,%124,%125,%126,%127"
DSB_DEVICE void wgmma_bf16_n256_trans(float (&c)[128], std::uint64_t a, std::uint64_t b, bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" DSB_128_SUMS
      "}, %128, %129, p, 1, 1, 0, 1;\n}"
      : DSB_F16(c, 0), DSB_F16(c, 16), DSB_F16(c, 32), DSB_F16(c, 48), DSB_F16(c, 64), DSB_F16(c, 80),
        DSB_F16(c, 96), DSB_F16(c, 112)
      : "l"(a), "l"(b), "r"(keep));
}
DSB_DEVICE void wgmma_bf16_n256_trans(float (&c)[128], const std::uint32_t (&a)[4], std::uint64_t b,
                                      bool add) {
  const int keep = add ? 1 : 0;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %133, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" DSB_128_SUMS
      "}, {%128,%129,%130,%131}, %132, p, 1, 1, 1;\n}"
      : DSB_F16(c, 0), DSB_F16(c, 16), DSB_F16(c, 32), DSB_F16(c, 48), DSB_F16(c, 64), DSB_F16(c, 80),
        DSB_F16(c, 96), DSB_F16(c, 112)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(keep));
}
#undef DSB_128_SUMS
#undef DSB_F4
#undef DSB_F16

DSB_DEVICE void fence_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
DSB_DEVICE void sync_threads_of(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

template <int kRegisters>
DSB_DEVICE void release_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
DSB_DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace dsbench::engine::kernels::cuda::simt

#else
#include "engine/kernels/cuda/emulation/hopper_host.h"
#endif
