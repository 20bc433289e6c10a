#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/units.h"
#include "results/gate/judge.h"
#include "results/gate/sequence.h"

// What a self-test must be so that it can end in an answer on the machine that it finds: the margins and the
// slowdown follow from the noise of a pilot, whose runs are not judged; the number of runs from the time
// there is. Where the noise is too large for any of it, that is the answer, with what it would take.
namespace dsbench::results::gate {

struct SelftestLimits {
  Nanos budget{600'000'000'000};   // of the judged runs, all sides
  std::size_t least_runs = 6;      // a side
  std::size_t most_runs = 20;      // a side, over all looks
  double least_slowdown = 0.15;    // what is injected at least
  double most_slowdown = 1.0;      // a gate that only sees more is of no use
  bool slowdown_is_given = false;  // least_slowdown is what is injected
};

struct SelftestPlan {
  Sequence sequence;                      // no confirmation: both answers are known beforehand
  std::map<std::string, double> margins;  // by metric; those that were given stay
  double slow_by = 0.15;
  std::string blocker;  // why there is none, and what would be needed; empty: there is one
};

// A spread as a few runs show it, taken on the safe side: the larger of the robust and the plain one, and
// half as much again.
[[nodiscard]] double cautious_spread(std::span<const double> a, std::span<const double> b);

// The margin within which `runs` a side of runs that spread by so much are shown to be the same 19 times in
// 20: half the width of the Hodges-Lehmann interval at `alpha`, and as much for where its middle falls.
[[nodiscard]] double margin_to_be_same(std::size_t runs, double spread, double alpha);

// `spreads`: of each gated metric, by cautious_spread() of the pilot. `round`: how long one round of all
// three sides takes. A metric that no slowdown moves (good_rate) needs its margin all the same.
[[nodiscard]] SelftestPlan plan_selftest(const std::vector<std::pair<std::string, double>>& spreads,
                                         Nanos round, const JudgeSettings& settings, std::string_view kind,
                                         const SelftestLimits& limits);

}  // namespace dsbench::results::gate
