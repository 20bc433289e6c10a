#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/result.h"
#include "loadgen/observer.h"

namespace dsbench::cli {

// Reads a target's /metrics. A process that is started anew counts from nought again: what its predecessor
// had counted when it was last seen is kept, so that sums never go back.
class MetricsObserver final : public loadgen::Observer {
 public:
  using Fetch = std::function<Result<std::string>()>;
  explicit MetricsObserver(Fetch fetch) : fetch_{std::move(fetch)} {}

  // A page that failed three times in a row has gone: it is asked for every tenth time only, because one that
  // hangs costs its whole timeout; and no more at all when it was never there.
  std::optional<loadgen::Observation> observe() override;

  // How often the counters were found to have begun anew.
  [[nodiscard]] int restarts() const { return restarts_; }

 private:
  Fetch fetch_;
  std::optional<results::Ledger> last_;  // as the page had it
  results::Ledger before_;               // of the processes before this one
  bool answered_ = false;
  int failures_ = 0, passed_over_ = 0, restarts_ = 0;
};

}  // namespace dsbench::cli
