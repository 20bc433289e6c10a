#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/embedded_engine.h"
#include "core/clock.h"
#include "results/failover_summary.h"

namespace dsbench::cli {

// Does to engines of ours what faults say, at their times: kills the process and starts it anew on its port,
// or stops it and lets it go on. A thread of its own, which lives until the destructor: a process that it has
// started would die with it.
class FaultInjector {
 public:
  // `engines` by provider, null where it is not ours; they must outlive the injector. `run_now` is the time
  // since the start of the run at this call. The faults are sorted.
  FaultInjector(std::vector<EmbeddedEngine*> engines, std::vector<results::Fault> faults, Nanos run_now);
  // What is still out of order is healed, at once.
  ~FaultInjector();
  FaultInjector(const FaultInjector&) = delete;
  FaultInjector& operator=(const FaultInjector&) = delete;

  // What was done so far, with the times at which it was done.
  [[nodiscard]] std::vector<results::Fault> done();
  // What could not be done, in words.
  [[nodiscard]] std::vector<std::string> problems();

 private:
  struct Deed {
    Nanos at{0};  // since the start of the run
    std::size_t fault = 0;
    bool heals = false;
  };
  void run();
  void perform(const Deed& deed);
  [[nodiscard]] Nanos run_now() const { return clock_.now() - epoch_; }

  SteadyClock clock_;
  Nanos epoch_;
  std::vector<EmbeddedEngine*> engines_;
  std::vector<results::Fault> faults_;
  std::vector<Deed> deeds_;  // by time
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<results::Fault> done_;
  std::vector<std::size_t> done_index_;  // of each in done_: its fault
  std::vector<std::string> problems_;
  std::thread thread_;
};

}  // namespace dsbench::cli
