#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "results/gate/evidence.h"

// Whether two sets of runs measured the same thing in the same way.
namespace dsbench::results::gate {

struct Mismatch {
  std::string key;
  std::vector<std::string> baseline, candidate;  // the different values of each side, sorted
  bool allowed = false;
};

// Keys whose values differ, between the sides or within one. Of "seed" the sorted lists of both sides are
// compared, and of "kind" and "schema" nothing can be allowed. Errors: usage, for an allowed key that no run
// has, with those that there are.
[[nodiscard]] Result<std::vector<Mismatch>> compare_keys(std::span<const Evidence> baseline,
                                                         std::span<const Evidence> candidate,
                                                         const std::vector<std::string>& allowed);

// "seed: baseline 1, 2; candidate 1, 3", one line for each that is not allowed; long values shortened to
// where they differ. Empty: comparable.
[[nodiscard]] std::string describe_refused(const std::vector<Mismatch>& mismatches);
[[nodiscard]] std::string describe(const Mismatch& mismatch);

}  // namespace dsbench::results::gate
