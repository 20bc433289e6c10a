#include "cli/fault_injector.h"

#include <algorithm>
#include <utility>

#include "loadgen/faulty_target.h"

namespace dsbench::cli {
namespace {

// How often the thread looks whether it is to end.
constexpr Nanos glance{20'000'000};

}  // namespace

FaultInjector::FaultInjector(std::vector<EmbeddedEngine*> engines, std::vector<results::Fault> faults,
                             Nanos run_now)
    : epoch_{clock_.now() - run_now}, engines_{std::move(engines)}, faults_{std::move(faults)} {
  for (std::size_t i = 0; i < faults_.size(); ++i) {
    deeds_.push_back({faults_[i].at, i, false});
    if (faults_[i].heal) deeds_.push_back({*faults_[i].heal, i, true});
  }
  std::stable_sort(deeds_.begin(), deeds_.end(), [](const Deed& a, const Deed& b) { return a.at < b.at; });
  thread_ = std::thread{[this] { run(); }};
}

FaultInjector::~FaultInjector() {
  stop_.store(true);
  thread_.join();
}

void FaultInjector::run() {
  std::size_t next = 0;
  while (!stop_.load()) {
    const Nanos now = run_now();
    if (next < deeds_.size() && deeds_[next].at <= now) {
      perform(deeds_[next++]);
      continue;
    }
    const Nanos until = next < deeds_.size() ? std::min(deeds_[next].at, now + glance) : now + glance;
    clock_.sleep_until(epoch_ + until);
  }
}

void FaultInjector::perform(const Deed& deed) {
  const results::Fault& fault = faults_[deed.fault];
  EmbeddedEngine& engine = *engines_.at(fault.provider);
  const Nanos at = run_now();
  Result<void> result;
  if (fault.kind == results::FaultKind::stall) {
    result = deed.heals ? engine.resume() : engine.stall();
  } else if (deed.heals) {
    result = engine.restart();
  } else {
    engine.kill();
  }
  const std::lock_guard lock{mutex_};
  if (!result) {
    problems_.push_back(fmt::format("the fault '{}' was not {}: {}", loadgen::print_fault(fault),
                                    deed.heals ? "healed" : "made", result.error().message));
    return;
  }
  if (!deed.heals) {
    results::Fault made = fault;
    made.at = at;
    made.heal.reset();
    done_.push_back(made);
    done_index_.push_back(deed.fault);
    return;
  }
  for (std::size_t i = 0; i < done_.size(); ++i) {
    if (done_index_[i] == deed.fault) done_[i].heal = run_now();
  }
}

std::vector<results::Fault> FaultInjector::done() {
  const std::lock_guard lock{mutex_};
  return done_;
}

std::vector<std::string> FaultInjector::problems() {
  const std::lock_guard lock{mutex_};
  return problems_;
}

}  // namespace dsbench::cli
