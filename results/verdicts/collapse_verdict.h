#pragma once

#include <optional>
#include <span>

#include "core/units.h"
#include "results/run_summary.h"
#include "results/second_counts.h"

namespace dsbench::results {

inline constexpr double collapse_share = 0.8;  // of the peak good rate

struct CollapseEvidence {
  Rate at;                             // offered rate of the hold
  std::span<const SecondCounts> hold;  // whole seconds of the hold, from its beginning, in order
  std::span<const SecondCounts> peak;  // the measured seconds of the stage with the highest good rate
};

// Has the good rate fallen below 0.8 × its peak while more was offered?
//
// Which seconds count. Of the hold, everything up to its last decided second (what is due later may still
// end), less its transient: at first the queue is still filling and answers are still good, so leading
// seconds are cut by the MSER rule, at most half. Requests inside that stretch that have not ended count as
// good for the upper bound and as not good for the lower one. At least 8 seconds must remain; the peak needs
// 4 decided ones.
//
// collapsed: the 95 % interval of the ratio lies below 0.8, and so does the ratio of the later half alone.
// none:      it lies above 0.8, and so does the later half's ratio (the hold was long enough for it not to be
// on its way down). undecided: anything else, with what was missing. Never guessed.
//
// Fills everything but collapse_load.
[[nodiscard]] Collapse judge_collapse(const CollapseEvidence& evidence);

// The lowest offered rate of a probe, step or hold at which the good rate was below 0.8 × peak. Descent and
// recovery are left out: there the load of the past still shows. Probes and steps that offered less than 0.8
// × peak do not count either: they cannot reach it.
[[nodiscard]] std::optional<Rate> lowest_collapsed_load(std::span<const StageSummary> stages,
                                                        Rate peak_good_rate);

}  // namespace dsbench::results
