#pragma once

#include "engine/kernels/cuda/emulation/simt_host.h"
#include "engine/kernels/cuda/tensor_map.h"

#define DSB_GRID_CONSTANT

// hopper.cuh on the host. A copy by TMA arrives only when somebody waits at its barrier, and spoils its
// destination before: who reads without waiting, or fetches into a stage that is still read, gets NaN. So
// does what a thread copies by cp.async and arrives with; what it never arrives with never comes, and
// products see it only after a thread that waited for it has fenced and met others. A box is stored when the
// thread that asked for it waits, with what was there when it asked, or, in the backward order, with what is
// there then: it must be the same. A product is computed only when somebody waits for its group: its sums are
// NaN until then, and operands that were overwritten meanwhile show. TMA and products see of shared memory
// what came by TMA and what threads had written when one of them last fenced and met others; of what they
// wrote since, what was there before.
namespace dsbench::engine::kernels::cuda::simt {

struct alignas(8) Barrier {
  std::int16_t pending;  // arrivals that this phase lacks
  std::int16_t arrivals;
  std::int32_t bytes;  // · 2 + the parity of the phase that runs
};
static_assert(sizeof(Barrier) == 8);

void init_barrier(Barrier* b, int arrivals);
inline void fence_barriers() {}
void expect_bytes(Barrier* b, int bytes);
void arrive(Barrier* b);
void wait_barrier(Barrier* b, int parity);
void copy_box(void* to, const TensorMap& map, Barrier* b, int byte, int row);
inline void prefetch_map(const TensorMap& /*map*/) {}
inline void prefetch(const void* from, int bytes) {
  require_aligned(from, 16);
  if (bytes <= 0 || bytes % 16 != 0) throw std::logic_error("a prefetch of no pieces of 16 bytes");
}
inline void copy_word(void* to, const void* from, bool valid) {
  detail::queue_copy(to, from, 4, valid);
}
void arrive_with_copies(Barrier* b);
void arrive_at(Barrier* b, int rank);
void copy_box_to_pair(void* to, const TensorMap& map, Barrier* b, int byte, int row);
void store_box(const TensorMap& map, const void* from, int byte, int row);
void commit_stores();
void wait_stores();
std::uint32_t shared_address(const void* p);
namespace detail {
// Of those that the barrier was told to expect.
void bytes_came(Barrier& b, int bytes);
void settle_products(int left);
void fence_registers(void* registers, std::size_t bytes);
}  // namespace detail
// A product must have had its sums and its registers named by a fence since the last wait, and finds them as
// they were then.
template <class... Registers>
void wgmma_fence(Registers&... taken) {
  (detail::fence_registers(&taken, sizeof taken), ...);
}
void wgmma_commit();
template <int kLeft = 0, class... Sums>
void wgmma_wait(Sums&... /*settled*/) {
  detail::settle_products(kLeft);
}
void wgmma_e4m3(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_e4m3_n8(float (&c)[4], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_e4m3_n16(float (&c)[8], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_e4m3_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_e4m3_n64(float (&c)[32], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_bf16_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_bf16_n64(float (&c)[32], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_bf16_n128(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_bf16_n128_trans(float (&c)[64], const std::uint32_t (&a)[4], std::uint64_t b, bool add);
void wgmma_bf16_n256_trans(float (&c)[128], std::uint64_t a, std::uint64_t b, bool add);
void wgmma_bf16_n256_trans(float (&c)[128], const std::uint32_t (&a)[4], std::uint64_t b, bool add);
inline void fence_async() {
  detail::fence_async();
}
void sync_threads_of(int id, int threads);
namespace detail {
void set_registers(int registers, bool more);
}
// Warpgroups that together want more than the block was launched with would wait for ever; what a group asks
// for when it has more than that, or leaves when it has less, is undefined.
template <int kRegisters>
void release_registers() {
  static_assert(kRegisters >= 24 && kRegisters <= 256 && kRegisters % 8 == 0);
  detail::set_registers(kRegisters, false);
}
template <int kRegisters>
void take_registers() {
  static_assert(kRegisters >= 24 && kRegisters <= 256 && kRegisters % 8 == 0);
  detail::set_registers(kRegisters, true);
}

}  // namespace dsbench::engine::kernels::cuda::simt
