#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "core/clock.h"
#include "core/result.h"
#include "loadgen/observer.h"

namespace dsbench::cli {

// Reads a target's /metrics. A process that is started anew counts from nought again: what its predecessor
// had counted when it was last seen is kept, so that sums never go back.
class MetricsObserver final : public loadgen::Observer {
 public:
  using Fetch = std::function<Result<std::string>()>;
  MetricsObserver(Fetch fetch, const Clock& clock) : fetch_{std::move(fetch)}, clock_{clock} {}

  // A page that failed three times in a row and was never there is asked for no more. One that has gone is
  // asked for on: a process that is away refuses at once. When it hung three times in a row, which costs the
  // whole timeout, it is asked for every tenth time only.
  std::optional<loadgen::Observation> observe() override;

  // How often the counters were found to have begun anew.
  [[nodiscard]] int restarts() const { return restarts_; }

 private:
  Fetch fetch_;
  const Clock& clock_;
  std::optional<results::Ledger> last_;  // as the page had it
  results::Ledger before_;               // of the processes before this one
  bool answered_ = false;
  int failures_ = 0, hung_ = 0, passed_over_ = 0, restarts_ = 0;
};

}  // namespace dsbench::cli
