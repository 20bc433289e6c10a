#include "engine/kernels/cpu/thread_pool.h"

#include <algorithm>
#include <cassert>

namespace dsbench::engine::kernels::cpu {
namespace {

constexpr std::uint64_t kUnitMask = (1U << 20) - 1;
// Long enough to bridge the gaps between the jobs of one step (some microseconds), short enough not to take a
// core from the server and the load generator that share the machine.
constexpr int kSpins = 400;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  jobs_.fetch_add(1);
  jobs_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_job(int units, Call call, const void* context) {
  assert(static_cast<std::uint64_t>(units) <= kUnitMask);
  call_ = call;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  const std::uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 40) + 1;
  ticket_.store((job & 0xFFFFFF) << 40 | static_cast<std::uint64_t>(units) << 20, std::memory_order_release);
  jobs_.fetch_add(1, std::memory_order_release);
  jobs_.notify_all();
  while (claim_and_run(0)) {
  }
  for (int spins = 0; done_.load(std::memory_order_acquire) != units;) {
    if (++spins > kSpins) {
      std::this_thread::yield();
    } else {
      relax();
    }
  }
}

bool ThreadPool::claim_and_run(int thread) {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if ((ticket & kUnitMask) >= (ticket >> 20 & kUnitMask)) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
  call_(context_, static_cast<int>(ticket & kUnitMask), thread);
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void ThreadPool::work(int thread) {
  std::uint32_t seen = 0;
  for (;;) {
    int spins = 0;
    while (jobs_.load(std::memory_order_acquire) == seen && ++spins < kSpins) relax();
    jobs_.wait(seen, std::memory_order_acquire);
    seen = jobs_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    while (claim_and_run(thread)) {
    }
  }
}

}  // namespace dsbench::engine::kernels::cpu
