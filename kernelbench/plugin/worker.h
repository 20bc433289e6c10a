#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/units.h"
#include "kernelbench/measure/stand.h"

namespace dsbench::kernelbench {

// Answers requests on `in` until it is closed; lines go to `out`. What the plug-in prints goes to stderr.
[[nodiscard]] Result<void> serve_stand(Stand& stand, int in, int out);
// One line that says why there is no stand, as the answer to hello.
void refuse_stand(const Error& error, int out);

// The descriptors that a worker process finds its requests on and writes its answers to.
inline constexpr int kWorkerIn = 3;
inline constexpr int kWorkerOut = 4;

// A plug-in in a process of its own. A kernel that crashes, hangs or answers nonsense ends its cell with a
// reason; the process is started anew for the next one.
class PluginStand final : public Stand {
 public:
  // `command` starts the worker (dsbench itself, with its hidden flag). Waits for its hello.
  [[nodiscard]] static Result<std::unique_ptr<PluginStand>> start(std::vector<std::string> command,
                                                                  Nanos timeout, Clock& clock);
  ~PluginStand() override;

  [[nodiscard]] const std::vector<KernelId>& kernels() const override { return kernels_; }
  [[nodiscard]] Result<OpenReport> open(int cell, std::size_t kernel, const Problem& problem) override;
  [[nodiscard]] Result<Taken> sample(int cell) override;
  [[nodiscard]] Result<OpenReport> close(int cell) override;

 private:
  struct Known {
    std::size_t kernel = 0;
    std::string problem;
    int process = 0;  // which process has it open
  };
  PluginStand(std::vector<std::string> command, Nanos timeout, Clock& clock);
  [[nodiscard]] Result<void> launch();
  // Kills and reaps; says how the process ended.
  std::string bury();
  // A line, or how the process failed to give one.
  [[nodiscard]] Result<std::string> ask(const std::string& request);
  [[nodiscard]] Result<OpenReport> reopen(int cell, Known& known);

  std::vector<std::string> command_;
  Nanos timeout_;
  Clock& clock_;
  std::vector<KernelId> kernels_;
  std::map<int, Known> known_;
  int pid_ = -1;
  int in_ = -1, out_ = -1;
  int process_ = 0;  // counts starts
  std::string rest_;
};

}  // namespace dsbench::kernelbench
