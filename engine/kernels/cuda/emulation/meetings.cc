#include <bit>
#include <stdexcept>
#include <utility>

#include "engine/kernels/cuda/emulation/block.h"

// What threads wait at for others.
namespace dsbench::engine::kernels::cuda::simt {

namespace detail {

void warps_met(std::size_t first, std::size_t count) {
  if (watcher == nullptr) return;
  const auto before = static_cast<std::size_t>(cluster_rank()) * most_warps;
  for (std::size_t w = first; w < first + count; ++w) watcher->warp_met(static_cast<int>(before + w));
}

namespace {

template <int kThreads>
void meet(Together<kThreads>& place, void* slot, void (*work)(void* const*)) {
  place.slots[block->running % kThreads] = slot;
  if (++place.arrived == kThreads) {
    place.arrived = 0;
    threads_met();
    warps_met(static_cast<std::size_t>(block->running / kThreads) * (kThreads / 32), kThreads / 32);
    {
      struct Working {
        Working() { working = true; }
        ~Working() { working = false; }
      } const for_all;
      work(place.slots);
    }
    ++place.turns;
    return;
  }
  wait_for(&place.turns);
}

}  // namespace

void together(void* slot, void (*work)(void* const*)) {
  meet(block->warps[static_cast<std::size_t>(block->running / 32)], slot, work);
}

void together_group(void* slot, void (*work)(void* const*)) {
  meet(block->groups[static_cast<std::size_t>(block->running / 128)], slot, work);
}

void meet_named(int id, int threads) {
  if (id < 1 || id > 15 || threads % 32 != 0) throw std::logic_error("no such named barrier");
  Block::Named& place = block->named[id];
  place.warps |= 1u << (block->running / 32);
  if (++place.arrived == threads) {
    place.arrived = 0;
    threads_met();
    for (std::uint32_t left = std::exchange(place.warps, 0); left != 0; left &= left - 1)
      warps_met(static_cast<std::size_t>(std::countr_zero(left)), 1);
    ++place.turns;
    return;
  }
  wait_for(&place.turns);
}

void let_others_run() {
  wait_for(&block->passes);
}

void wait_for_change(const std::uint64_t* word) {
  wait_for(word);
}

}  // namespace detail

void sync_cluster() {
  if (++detail::cluster_meeting.arrived ==
      static_cast<int>(detail::cluster.size() * detail::block->fibers.size())) {
    detail::cluster_meeting.arrived = 0;
    ++detail::cluster_meeting.turns;
    detail::threads_met();
    detail::Block* const last = detail::block;
    for (detail::Block* const each : detail::cluster) {
      detail::block = each;
      detail::warps_met(0, each->warps.size());
    }
    detail::block = last;
    return;
  }
  detail::wait_for(&detail::cluster_meeting.turns);
}

void sync_block() {
  detail::Block& b = *detail::block;
  if (++b.arrived == static_cast<int>(b.fibers.size())) {
    b.arrived = 0;
    detail::threads_met();
    detail::warps_met(0, b.warps.size());
    ++b.turns;
    return;
  }
  detail::wait_for(&b.turns);
}

void sync_warp() {
  detail::together(nullptr, [](void* const*) {});
}

}  // namespace dsbench::engine::kernels::cuda::simt
