#include "engine/kernels/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cassert>
#include <utility>

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

// Refused, the thread runs where it likes: slower at worst.
void pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

ThreadPool::ThreadPool(int threads, std::vector<int> cpus) : cpus_{std::move(cpus)} {
  assert(cpus_.empty() || cpus_.size() >= static_cast<std::size_t>(threads));
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i] {
      if (!cpus_.empty()) pin_this_thread(cpus_[static_cast<std::size_t>(i)]);
      work(i);
    });
  }
}

void ThreadPool::pin_caller() {
  if (cpus_.empty() || caller_pinned_) return;
  pin_this_thread(cpus_.front());
  caller_pinned_ = true;
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
