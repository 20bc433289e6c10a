#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace dsbench::engine::kernels::cpu {

// A few threads that share out the units of one job at a time. Units are claimed one by one, so a thread that
// the operating system has put aside holds up at most the one unit it is in. Which thread computes a unit
// never changes what it computes.
class ThreadPool {
 public:
  // The caller of run() is one of the `threads`. With `cpus`, as many as threads, each thread stays on a
  // processor of its own: the caller, from its next pin_caller(), on the first.
  explicit ThreadPool(int threads, std::vector<int> cpus = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Puts the calling thread where the pool's plan has it; once is enough. Without a plan, nothing.
  void pin_caller();

  // Calls f(unit, thread) for every unit in [0, units), thread in [0, threads()); returns when all are done.
  // f must not throw.
  template <class F>
  void run(int units, F&& f) {
    using Body = std::remove_reference_t<F>;
    if (units <= 1 || workers_.empty()) {
      for (int unit = 0; unit < units; ++unit) f(unit, 0);
      return;
    }
    run_job(
        units,
        [](const void* context, int unit, int thread) { (*static_cast<const Body*>(context))(unit, thread); },
        &f);
  }

 private:
  using Call = void (*)(const void* context, int unit, int thread);
  void run_job(int units, Call call, const void* context);
  void work(int thread);
  bool claim_and_run(int thread);

  // Job number (24 bits) | units (20) | next unit (20). A claim succeeds only while its job is the current
  // one, and a job stays current until all its claimed units are done, so call_ and context_ may be read
  // after a claim.
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<int> done_{0};
  std::atomic<std::uint32_t> jobs_{0};  // what idle threads wait on
  std::atomic<bool> stopping_{false};
  Call call_ = nullptr;
  const void* context_ = nullptr;
  std::vector<int> cpus_;
  bool caller_pinned_ = false;
  std::vector<std::thread> workers_;
};

// The processors that this process may run on, in order.
[[nodiscard]] std::vector<int> allowed_cpus();

}  // namespace dsbench::engine::kernels::cpu
