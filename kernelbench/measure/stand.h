#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "kernelbench/measure/cell.h"

namespace dsbench::kernelbench {

// A kernel as a report names it.
struct KernelId {
  std::string name;
  std::string op;
  std::string author;
  std::string device;     // "cpu", "cuda"
  bool baseline = false;  // the other side of the ratio column
};

// What opening a cell found: it may be timed when the state is ok.
struct OpenReport {
  CellState state = CellState::ok;
  std::string why;
  CheckResult check;
  Work work;
  std::optional<RoutingFacts> routing;
};

// Where cells are opened, timed and closed: in this process, or in one of its own (a plug-in's). Several may
// be open at once, each under a number of the caller's choosing.
class Stand {
 public:
  virtual ~Stand() = default;
  [[nodiscard]] virtual const std::vector<KernelId>& kernels() const = 0;
  // Makes the operands, prepares, checks, watches the kernel's conduct, warms up. An error is one of the
  // stand, after which it is of no use; what a kernel did wrong is in the report.
  [[nodiscard]] virtual Result<OpenReport> open(int cell, std::size_t kernel, const Problem& problem) = 0;
  struct Taken {
    CellState state = CellState::ok;
    std::string why;
    std::vector<Sample> samples;
  };
  // The samples of one repetition.
  [[nodiscard]] virtual Result<Taken> sample(int cell) = 0;
  // Checks once more what the timed launches left, and frees everything.
  [[nodiscard]] virtual Result<OpenReport> close(int cell) = 0;
};

struct StandOptions {
  SamplerOptions sampler;
  double check_flops = 4e9;  // what an oracle may spend on one check
};

class LocalStand final : public Stand {
 public:
  // The kernels of `table` that live on this device. All references outlive the stand.
  LocalStand(Device& device, std::span<const dsb_kernel> table, const StandOptions& options, Clock& clock,
             const std::atomic<bool>& stop);
  ~LocalStand() override;

  [[nodiscard]] const std::vector<KernelId>& kernels() const override { return ids_; }
  [[nodiscard]] Result<OpenReport> open(int cell, std::size_t kernel, const Problem& problem) override;
  [[nodiscard]] Result<Taken> sample(int cell) override;
  [[nodiscard]] Result<OpenReport> close(int cell) override;

 private:
  struct Opened {
    std::shared_ptr<Scene> scene;
    const dsb_kernel* kernel = nullptr;
    std::unique_ptr<Cell> cell;
  };
  [[nodiscard]] Result<std::shared_ptr<Scene>> scene_of(const Problem& problem);
  [[nodiscard]] Result<void> make_current(int id, Opened& opened);

  Device& device_;
  StandOptions options_;
  Clock& clock_;
  const std::atomic<bool>& stop_;
  std::vector<const dsb_kernel*> table_;
  std::vector<KernelId> ids_;
  std::map<std::string, std::weak_ptr<Scene>> scenes_;  // by problem as JSON
  std::map<int, Opened> open_;
  std::map<const dsb_kernel*, int> current_;  // whose prepare() was the last
};

[[nodiscard]] KernelId identify(const dsb_kernel& kernel);

}  // namespace dsbench::kernelbench
