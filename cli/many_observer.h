#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "loadgen/observer.h"

namespace dsbench::cli {

// Several targets as one: what they count is added up, and the fullest KV cache is the one that matters. One
// that does not answer (it was killed) leaves its last counters, so that sums never go back.
class ManyObserver final : public loadgen::Observer {
 public:
  explicit ManyObserver(std::vector<loadgen::Observer*> parts)
      : parts_{std::move(parts)}, last_(parts_.size()) {}

  std::optional<loadgen::Observation> observe() override;

 private:
  std::vector<loadgen::Observer*> parts_;
  std::vector<std::optional<loadgen::Observation>> last_;
};

}  // namespace dsbench::cli
