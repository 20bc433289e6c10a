#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "engine/kernels/cuda/emulation/block.h"
#include "engine/kernels/cuda/emulation/thread_copies.h"

// Shared memory, as threads and as TMA and wgmma see it, and who accesses what.
namespace dsbench::engine::kernels::cuda::simt::detail {

void* in_block(void* p, int rank) {
  if (rank < 0 || rank >= static_cast<int>(cluster.size()))
    throw std::logic_error("no block of that rank in the cluster");
  const Block& other = *cluster[static_cast<std::size_t>(rank)];
  if (other.left == 0) throw std::logic_error("a block reaches into another of its cluster that has ended");
  return other.shared + (static_cast<unsigned char*>(p) - block->shared);
}

unsigned char* async_view(const void* p) {
  const auto* const at = static_cast<const unsigned char*>(p);
  for (Block* const each : cluster) {
    if (at >= each->shared && at < each->shared + each->shared_bytes)
      return each->seen.data() + (at - each->shared);
  }
  throw std::logic_error("access outside of the shared memory that was asked for");
}

void fence_async() {
  block->fenced = true;
  fence_arrived();
}

void threads_met() {
  if (!block->fenced) return;
  block->fenced = false;
  std::memcpy(block->seen.data(), block->shared, block->shared_bytes);
  hide_unfenced();
}

bool in_shared(const void* p) {
  const auto* const at = static_cast<const unsigned char*>(p);
  return at >= block->shared && at < block->shared + block->shared_bytes;
}

void check_shared(const void* p, int bytes, int alignment) {
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  const auto inside = [&](const Block* each) {
    const auto begin = reinterpret_cast<std::uintptr_t>(each->shared);
    return at >= begin && at + static_cast<std::uintptr_t>(bytes) <= begin + each->shared_bytes;
  };
  if (std::ranges::none_of(cluster, inside))
    throw std::logic_error("access outside of the shared memory that was asked for");
  if (at % static_cast<std::uintptr_t>(alignment) != 0)
    throw std::logic_error("misaligned access to shared memory");
}

void watch(std::uintptr_t site, const void* p, int bytes, Touch touch) {
  if (watcher == nullptr || block == nullptr || working) return;
  constexpr std::uintptr_t launcher_bytes = 256 * 1024;
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  const auto within = [at](const void* begin, std::uintptr_t size) {
    return at - reinterpret_cast<std::uintptr_t>(begin) < size;
  };
  // A thread's registers are its stack; arguments of the kernel are on that of the launcher. The table is an
  // instruction of the machine.
  if (within(mine().stack.get(), stack_bytes) || within(launcher_stack, launcher_bytes) ||
      within(e4m3_table(), 256 * sizeof(float)))
    return;
  const bool shared = std::ranges::any_of(
      cluster, [&](const Block* each) { return within(each->shared, each->shared_bytes); });
  watcher->access({site, cluster_rank() * most_warps * 32 + block->running, at, bytes,
                   shared ? Space::shared : Space::global, touch});
}

}  // namespace dsbench::engine::kernels::cuda::simt::detail
