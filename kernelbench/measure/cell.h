#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "kernelbench/device.h"
#include "kernelbench/include/dsbench_kernel.h"
#include "kernelbench/measure/sampler.h"
#include "kernelbench/op.h"

namespace dsbench::kernelbench {

// Why a cell has no time, or whose time is not to be trusted.
enum class CellState : int {
  ok,
  incorrect,    // the check failed, before or after timing: not timed, or its times are worth nothing
  throttled,    // more than a fifth of the samples fell to a lowered clock
  unsupported,  // the kernel says that it does not do this problem
  misbehaved,   // it synchronises, allocates or leaves its stream: its time would not be that of an engine
  failed,       // it returned an error, crashed or did not come back
  skipped,      // too large for this device's memory, or the run was interrupted
};
[[nodiscard]] std::string_view to_word(CellState state);

// How the tokens of a MoE case fell on the experts.
struct RoutingFacts {
  std::int64_t experts = 0;
  std::int64_t active = 0;                     // with at least one row
  std::int64_t rows_median = 0, rows_max = 0;  // of the active ones
};

// A problem's operands in host and device memory, shared by all kernels that are tried on it.
class Scene {
 public:
  // Fails when it does not fit.
  [[nodiscard]] static Result<std::unique_ptr<Scene>> make(const Problem& problem, Device& device,
                                                           CacheState cache);

  [[nodiscard]] const Problem& problem() const { return problem_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& json() const { return json_; }
  [[nodiscard]] const Op& op() const { return *op_; }
  [[nodiscard]] const Operands& host() const { return host_; }
  [[nodiscard]] const Work& work() const { return work_; }
  [[nodiscard]] const std::optional<RoutingFacts>& routing() const { return routing_; }
  [[nodiscard]] int slots() const { return static_cast<int>(in_.size()); }
  [[nodiscard]] const std::vector<dsb_tensor>& in(int slot) const {
    return in_[static_cast<std::size_t>(slot)];
  }
  [[nodiscard]] std::vector<dsb_tensor>& out(int slot) { return out_[static_cast<std::size_t>(slot)]; }

  // Outputs as they were made: poisoned.
  [[nodiscard]] Result<void> poison_outputs(Device& device);
  [[nodiscard]] Result<std::vector<HostTensor>> read_outputs(Device& device, int slot);

 private:
  Problem problem_;
  std::string name_, json_;
  const Op* op_ = nullptr;
  Operands host_;
  Work work_;
  std::optional<RoutingFacts> routing_;
  std::vector<DeviceMemory> memory_;
  std::vector<std::vector<dsb_tensor>> in_, out_;  // [slot][operand]
};

// How many operand sets a case needs: 1 when the cache is flushed; else so many that together they are twice
// the cache, at least 2 and at most 64.
[[nodiscard]] int slots_for(double operand_bytes, std::int64_t cache_bytes, CacheState cache);

// One kernel on one scene.
class Cell {
 public:
  Cell(Scene& scene, const dsb_kernel& kernel, Device& device)
      : scene_{scene}, kernel_{kernel}, device_{device} {}
  ~Cell();
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  [[nodiscard]] bool supported() const;
  // Allocates the workspace and prepares every slot. Must be called again when another cell of the same
  // kernel was prepared in between.
  [[nodiscard]] Result<void> prepare();
  // Poisons the outputs, runs once on every slot, compares all of them with the oracle.
  [[nodiscard]] Result<CheckResult> check(double budget_flops);
  [[nodiscard]] Result<std::string> conduct();
  [[nodiscard]] Result<void> warm_up(const SamplerOptions& options, Clock& clock);
  [[nodiscard]] Result<std::vector<Sample>> sample(const SamplerOptions& options, Clock& clock,
                                                   const std::atomic<bool>& stop);

 private:
  int launch(int slot);
  [[nodiscard]] Error explain(int error, std::string_view doing) const;

  Scene& scene_;
  const dsb_kernel& kernel_;
  Device& device_;
  DeviceMemory workspace_;
  std::vector<dsb_call> calls_;
  bool prepared_ = false;
};

}  // namespace dsbench::kernelbench
