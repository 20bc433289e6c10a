#include "kernelbench/measure/stand.h"

#include <fmt/format.h>

#include <utility>

namespace dsbench::kernelbench {
namespace {

OpenReport refused(CellState state, std::string why) {
  OpenReport report;
  report.state = state;
  report.why = std::move(why);
  return report;
}

std::string text_of(const char* s) {
  return s == nullptr ? std::string{} : std::string{s};
}

}  // namespace

KernelId identify(const dsb_kernel& kernel) {
  return {.name = text_of(kernel.name),
          .op = text_of(kernel.op),
          .author = text_of(kernel.author),
          .device = kernel.device == DSB_CUDA ? "cuda" : "cpu",
          .baseline = kernel.role == 1};
}

LocalStand::LocalStand(Device& device, std::span<const dsb_kernel> table, const StandOptions& options,
                       Clock& clock, const std::atomic<bool>& stop)
    : device_{device}, options_{options}, clock_{clock}, stop_{stop} {
  const std::int32_t here = device.sm_arch() == 0 ? DSB_CPU : DSB_CUDA;
  for (const dsb_kernel& kernel : table) {
    if (kernel.device != here) continue;
    table_.push_back(&kernel);
    ids_.push_back(identify(kernel));
  }
}

LocalStand::~LocalStand() = default;

Result<std::shared_ptr<Scene>> LocalStand::scene_of(const Problem& problem) {
  std::weak_ptr<Scene>& known = scenes_[to_json(problem)];
  if (auto scene = known.lock()) return scene;
  DSBENCH_TRY(std::unique_ptr<Scene> made, Scene::make(problem, device_, options_.sampler.cache));
  std::shared_ptr<Scene> scene = std::move(made);
  known = scene;
  return scene;
}

Result<void> LocalStand::make_current(int id, Opened& opened) {
  const auto it = current_.find(opened.kernel);
  if (it != current_.end() && it->second == id) return {};
  current_.erase(opened.kernel);
  DSBENCH_CHECK(opened.cell->prepare());
  current_[opened.kernel] = id;
  return {};
}

Result<OpenReport> LocalStand::open(int id, std::size_t kernel, const Problem& problem) {
  const dsb_kernel& table = *table_[kernel];
  const std::string json = to_json(problem);
  if (table.supports != nullptr && table.supports(json.c_str(), device_.sm_arch()) == 0)
    return refused(CellState::unsupported, "the kernel does not do this problem here");

  auto scene = scene_of(problem);
  if (!scene) {
    if (scene.error().kind == ErrorKind::memory) return refused(CellState::skipped, scene.error().message);
    return tl::unexpected(scene.error());
  }
  Opened opened{.scene = *scene, .kernel = &table, .cell = std::make_unique<Cell>(**scene, table, device_)};
  OpenReport report;
  report.work = opened.scene->work();
  report.routing = opened.scene->routing();
  const auto failed = [&](const Error& error) {
    report.state = CellState::failed;
    report.why = error.message;
    current_.erase(&table);
    return report;
  };
  if (auto made = make_current(id, opened); !made) {
    // A baseline that is not to be had for this problem is no fault of anybody here.
    if (table.role == 1) return refused(CellState::unsupported, made.error().message);
    return failed(made.error());
  }
  auto check = opened.cell->check(options_.check_flops);
  if (!check) return failed(check.error());
  report.check = *check;
  if (!report.check.passed) {
    report.state = CellState::incorrect;
    report.why = report.check.what;
    current_.erase(&table);
    return report;
  }
  auto conduct = opened.cell->conduct();
  if (!conduct) return failed(conduct.error());
  if (!conduct->empty()) {
    report.state = CellState::misbehaved;
    report.why = *conduct;
    current_.erase(&table);
    return report;
  }
  if (auto warm = opened.cell->warm_up(options_.sampler, clock_); !warm) return failed(warm.error());
  open_.insert_or_assign(id, std::move(opened));
  return report;
}

Result<Stand::Taken> LocalStand::sample(int id) {
  Opened& opened = open_.at(id);
  Taken taken;
  const auto failed = [&](const Error& error) {
    taken.state = CellState::failed;
    taken.why = error.message;
    return taken;
  };
  if (auto made = make_current(id, opened); !made) return failed(made.error());
  auto samples = opened.cell->sample(options_.sampler, clock_, stop_);
  if (!samples) return failed(samples.error());
  taken.samples = std::move(*samples);
  return taken;
}

Result<OpenReport> LocalStand::close(int id) {
  Opened opened = std::move(open_.at(id));
  open_.erase(id);
  OpenReport report;
  // On poisoned outputs again: a kernel that computes only when it meets operands for the first time is
  // found.
  auto check = [&]() -> Result<CheckResult> {
    DSBENCH_CHECK(make_current(id, opened));
    return opened.cell->check(options_.check_flops);
  }();
  if (!check) {
    report.state = CellState::failed;
    report.why = check.error().message;
  } else {
    report.check = *check;
    if (!check->passed) {
      report.state = CellState::incorrect;
      report.why = fmt::format("after timing: {}", check->what);
    }
  }
  current_.erase(opened.kernel);
  return report;
}

}  // namespace dsbench::kernelbench
