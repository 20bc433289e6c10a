#include "loadgen/retry_budget.h"

#include <algorithm>
#include <cmath>

namespace dsbench::loadgen {
namespace {

constexpr std::int64_t whole = 1000;

}  // namespace

RetryBudget::RetryBudget(const RetryBudgetLaw& law) : law_{law} {}

void RetryBudget::move_to(Nanos now) {
  const std::int64_t length = std::max<std::int64_t>(1, law_.ttl.count() / static_cast<std::int64_t>(slices));
  const std::int64_t slice = now.count() / length;
  const std::int64_t passed = std::min(slice - slice_, static_cast<std::int64_t>(slices));
  for (std::int64_t i = 0; i < passed; ++i) {
    ++slice_;
    std::int64_t& old = balance_[static_cast<std::size_t>(slice_) % slices];
    sum_ -= old;
    old = 0;
  }
  slice_ = std::max(slice_, slice);
}

void RetryBudget::request_began(Nanos now) {
  if (law_.kind != RetryBudgetLaw::Kind::deposits) return;
  move_to(now);
  const auto deposit = std::llround(law_.share * whole);
  balance_[static_cast<std::size_t>(slice_) % slices] += deposit;
  sum_ += deposit;
}

bool RetryBudget::take(Nanos now, std::size_t active) {
  if (law_.kind == RetryBudgetLaw::Kind::concurrent) {
    const double limit = std::max(law_.minimum, std::floor(law_.share * static_cast<double>(active)));
    if (static_cast<double>(active_retries_ + 1) > limit) return false;
  } else {
    move_to(now);
    const auto reserve = std::llround(law_.minimum * to_seconds(law_.ttl) * whole);
    if (reserve + sum_ < whole) return false;
    balance_[static_cast<std::size_t>(slice_) % slices] -= whole;
    sum_ -= whole;
  }
  ++active_retries_;
  return true;
}

void RetryBudget::retry_ended() {
  active_retries_ = std::max<std::int64_t>(0, active_retries_ - 1);
}

}  // namespace dsbench::loadgen
