#include "engine/faults/engine_faults.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace dsbench::engine {
namespace {

// A machine that stood still for longer than this does not make the next steps faster.
constexpr Nanos most_ahead{2'000'000};

class FaultyExecutor final : public Executor {
 public:
  FaultyExecutor(std::unique_ptr<Executor> inner, Clock& clock, std::shared_ptr<const EngineFaults> faults,
                 bool stretch)
      : inner_{std::move(inner)}, clock_{clock}, faults_{std::move(faults)}, stretch_{stretch} {}

  Result<Nanos> execute(const StepBatch& batch, std::span<TokenId> sampled) override {
    DSBENCH_CHECK(up());
    DSBENCH_TRY(Nanos took, inner_->execute(batch, sampled));
    if (stretch_) took += rest_after(took);
    DSBENCH_CHECK(up());
    return took;
  }

  const StepReport& report() const override { return inner_->report(); }

  std::string describe() const override { return inner_->describe(); }

 private:
  Nanos rest_after(Nanos took) {
    const double slowdown = faults_->slowdown.load(std::memory_order_relaxed);
    if (slowdown <= 1) return Nanos{0};
    const Nanos rest{std::llround(static_cast<double>(took.count()) * (slowdown - 1))};
    const Nanos before = clock_.now();
    owed_ += rest;
    clock_.sleep_until(before + owed_);
    owed_ = std::max(owed_ - (clock_.now() - before), -most_ahead);
    return rest;
  }

  Result<void> up() const {
    if (!faults_->down.load(std::memory_order_relaxed)) return {};
    return fail(ErrorKind::internal, "the executor has crashed");
  }

  std::unique_ptr<Executor> inner_;
  Clock& clock_;
  std::shared_ptr<const EngineFaults> faults_;
  bool stretch_;
  Nanos owed_{0};  // of rests: sleeping ends late, and the next rest is shorter for it
};

}  // namespace

std::unique_ptr<Executor> make_faulty_executor(std::unique_ptr<Executor> inner, Clock& clock,
                                               std::shared_ptr<const EngineFaults> faults, bool stretch) {
  return std::make_unique<FaultyExecutor>(std::move(inner), clock, std::move(faults), stretch);
}

}  // namespace dsbench::engine
