#include "kernelbench/measure/cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace dsbench::kernelbench {
namespace {

dsb_tensor describe_tensor(const HostTensor& t, void* data, std::int32_t device) {
  dsb_tensor d{};
  d.data = data;
  d.dtype = static_cast<std::int32_t>(t.type());
  d.device = device;
  d.ndim = static_cast<std::int32_t>(t.shape().size());
  std::int64_t stride = 1;
  for (std::size_t i = t.shape().size(); i-- > 0;) {
    d.shape[i] = t.shape()[i];
    d.strides[i] = stride;
    stride *= t.shape()[i];
  }
  return d;
}

// From the operand that says which rows are whose: offsets[E+1], rows[E], or the ids of a gate's choice.
std::optional<RoutingFacts> find_routing(const Problem& problem, const Operands& operands) {
  const auto experts = problem.params.find("experts");
  if (experts == problem.params.end()) return std::nullopt;
  std::vector<std::int64_t> rows(static_cast<std::size_t>(experts->second), 0);
  bool found = false;
  for (const HostTensor& t : operands.in) {
    if (t.type() != Dtype::i32) continue;
    const auto* values = t.as<std::int32_t>();
    if (t.name() == "offsets") {
      for (std::size_t e = 0; e < rows.size(); ++e) rows[e] = values[e + 1] - values[e];
      found = true;
    } else if (t.name() == "rows") {
      for (std::size_t e = 0; e < rows.size(); ++e) rows[e] = values[e];
      found = true;
    } else if (t.name() == "ids") {
      for (std::int64_t i = 0; i < t.elements(); ++i) {
        if (values[i] >= 0 && values[i] < experts->second) ++rows[static_cast<std::size_t>(values[i])];
      }
      found = true;
    }
  }
  if (!found) return std::nullopt;
  RoutingFacts facts;
  facts.experts = experts->second;
  std::erase(rows, 0);
  facts.active = static_cast<std::int64_t>(rows.size());
  if (!rows.empty()) {
    std::sort(rows.begin(), rows.end());
    facts.rows_median = rows[rows.size() / 2];
    facts.rows_max = rows.back();
  }
  return facts;
}

}  // namespace

std::string_view to_word(CellState state) {
  switch (state) {
    case CellState::ok:
      return "ok";
    case CellState::incorrect:
      return "incorrect";
    case CellState::throttled:
      return "throttled";
    case CellState::unsupported:
      return "unsupported";
    case CellState::misbehaved:
      return "misbehaved";
    case CellState::failed:
      return "failed";
    case CellState::skipped:
      return "skipped";
  }
  return "failed";
}

int slots_for(double operand_bytes, std::int64_t cache_bytes, CacheState cache) {
  if (cache == CacheState::flush) return 1;
  const double sets = std::ceil(2.0 * static_cast<double>(cache_bytes) / std::max(1.0, operand_bytes));
  return static_cast<int>(std::clamp(sets, 2.0, 64.0));
}

Result<std::unique_ptr<Scene>> Scene::make(const Problem& problem, Device& device, CacheState cache) {
  auto scene = std::make_unique<Scene>();
  scene->problem_ = problem;
  scene->name_ = name_of(problem);
  scene->json_ = to_json(problem);
  scene->op_ = find_op(problem.op);
  if (scene->op_ == nullptr) return fail(ErrorKind::usage, "there is no op '{}'", problem.op);
  const double bytes = scene->op_->operand_bytes(problem);
  const int slots = slots_for(bytes, device.cache_bytes(), cache);
  const double room = 0.8 * static_cast<double>(device.free_bytes());
  // On the CPU the host's operands and the device's share one memory.
  const double wanted = bytes * (slots + (device.sm_arch() == 0 ? 1 : 0));
  if (wanted > room)
    return fail(ErrorKind::memory,
                "its operands take {:.3g} GB in {} set{}; {:.3g} GB of the {}'s memory is free", wanted / 1e9,
                slots, slots == 1 ? "" : "s", static_cast<double>(device.free_bytes()) / 1e9, device.word());
  scene->host_ = scene->op_->make(problem);
  scene->work_ = scene->op_->work(problem, scene->host_);
  scene->routing_ = find_routing(problem, scene->host_);
  const std::int32_t where = device.sm_arch() == 0 ? DSB_CPU : DSB_CUDA;
  for (int slot = 0; slot < slots; ++slot) {
    auto& in = scene->in_.emplace_back();
    auto& out = scene->out_.emplace_back();
    for (const HostTensor& t : scene->host_.in) {
      DSBENCH_TRY(DeviceMemory memory, device.allocate(t.bytes()));
      DSBENCH_CHECK(device.upload(memory.data(), t.data(), t.bytes()));
      in.push_back(describe_tensor(t, memory.data(), where));
      scene->memory_.push_back(std::move(memory));
    }
    for (const HostTensor& t : scene->host_.out) {
      DSBENCH_TRY(DeviceMemory memory, device.allocate(t.bytes()));
      out.push_back(describe_tensor(t, memory.data(), where));
      scene->memory_.push_back(std::move(memory));
    }
  }
  DSBENCH_CHECK(scene->poison_outputs(device));
  return scene;
}

Result<void> Scene::poison_outputs(Device& device) {
  for (auto& slot : out_) {
    for (std::size_t i = 0; i < slot.size(); ++i) {
      DSBENCH_CHECK(device.upload(slot[i].data, host_.out[i].data(), host_.out[i].bytes()));
    }
  }
  return {};
}

Result<std::vector<HostTensor>> Scene::read_outputs(Device& device, int slot) {
  std::vector<HostTensor> outputs;
  for (std::size_t i = 0; i < host_.out.size(); ++i) {
    outputs.push_back(host_.out[i]);
    DSBENCH_CHECK(device.download(outputs.back().data(), out_[static_cast<std::size_t>(slot)][i].data,
                                  outputs.back().bytes()));
  }
  return outputs;
}

Cell::~Cell() {
  if (prepared_ && kernel_.release != nullptr) kernel_.release();
}

bool Cell::supported() const {
  return kernel_.supports == nullptr || kernel_.supports(scene_.json().c_str(), device_.sm_arch()) != 0;
}

Error Cell::explain(int error, std::string_view doing) const {
  const char* said = kernel_.last_error == nullptr ? nullptr : kernel_.last_error();
  return Error{ErrorKind::internal,
               fmt::format("{} returned {} from {}{}{}", kernel_.name, error, doing,
                           said != nullptr && *said != 0 ? ": " : "", said != nullptr ? said : "")};
}

Result<void> Cell::prepare() {
  const std::uint64_t wanted =
      kernel_.workspace_bytes == nullptr ? 0 : kernel_.workspace_bytes(scene_.json().c_str());
  const int slots = scene_.slots();
  const std::uint64_t each = (wanted + 255) / 256 * 256;
  if (workspace_.bytes() < static_cast<std::int64_t>(each) * slots) {
    DSBENCH_TRY(workspace_, device_.allocate(static_cast<std::int64_t>(each) * slots));
  }
  calls_.assign(static_cast<std::size_t>(slots), dsb_call{});
  for (int slot = 0; slot < slots; ++slot) {
    dsb_call& call = calls_[static_cast<std::size_t>(slot)];
    call.size = sizeof(dsb_call);
    call.version = DSB_KERNEL_ABI_VERSION;
    call.stream = device_.stream();
    call.workspace =
        wanted == 0 ? nullptr
                    : static_cast<std::byte*>(workspace_.data()) + each * static_cast<std::uint64_t>(slot);
    call.workspace_bytes = wanted;
    call.in = scene_.in(slot).data();
    call.n_in = static_cast<std::int32_t>(scene_.in(slot).size());
    call.out = scene_.out(slot).data();
    call.n_out = static_cast<std::int32_t>(scene_.out(slot).size());
    call.problem_json = scene_.json().c_str();
    call.threads = device_.threads();
    call.slot = slot;
    if (kernel_.prepare != nullptr) {
      prepared_ = true;
      if (const int error = kernel_.prepare(&call); error != 0)
        return tl::unexpected(explain(error, "prepare()"));
    }
  }
  prepared_ = true;
  return device_.synchronize();
}

int Cell::launch(int slot) {
  return kernel_.run(&calls_[static_cast<std::size_t>(slot)]);
}

Result<CheckResult> Cell::check(double budget_flops) {
  DSBENCH_CHECK(scene_.poison_outputs(device_));
  for (int slot = 0; slot < scene_.slots(); ++slot) {
    if (const int error = launch(slot); error != 0) return tl::unexpected(explain(error, "run()"));
    if (auto done = device_.synchronize(); !done) return tl::unexpected(done.error());
  }
  DSBENCH_TRY(const std::vector<HostTensor> outputs, scene_.read_outputs(device_, 0));
  CheckResult result = scene_.op().check(scene_.problem(), scene_.host().in, outputs, budget_flops);
  // The other sets hold the same inputs: their outputs must be worth the same.
  for (int slot = 1; slot < scene_.slots() && result.passed; ++slot) {
    DSBENCH_TRY(const std::vector<HostTensor> others, scene_.read_outputs(device_, slot));
    for (std::size_t i = 0; i < outputs.size() && result.passed; ++i) {
      if (std::memcmp(others[i].data(), outputs[i].data(), static_cast<std::size_t>(outputs[i].bytes())) == 0)
        continue;
      result = scene_.op().check(scene_.problem(), scene_.host().in, others, budget_flops);
      if (!result.passed) result.what = fmt::format("operand set {}: {}", slot, result.what);
    }
  }
  return result;
}

Result<std::string> Cell::conduct() {
  return device_.conduct([this](int slot) { return launch(slot); });
}

Result<void> Cell::warm_up(const SamplerOptions& options, Clock& clock) {
  return kernelbench::warm_up(
      device_, [this](int slot) { return launch(slot); }, scene_.slots(), options, clock);
}

Result<std::vector<Sample>> Cell::sample(const SamplerOptions& options, Clock& clock,
                                         const std::atomic<bool>& stop) {
  return take_samples(
      device_, [this](int slot) { return launch(slot); }, scene_.slots(), options, clock, stop);
}

}  // namespace dsbench::kernelbench
