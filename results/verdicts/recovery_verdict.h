#pragma once

#include <span>

#include "core/units.h"
#include "results/run_summary.h"
#include "results/second_counts.h"

namespace dsbench::results {

// A crowd in flight that shrinks by less than this over half a hold is standing, not on its way out.
inline constexpr double standing_share = 0.2;

struct RecoveryRule {
  double share = 0.95;                // good ÷ offered that counts as back
  int windows = 5;                    // consecutive windows, one second apart, that must have it
  std::int64_t window_requests = 20;  // a window is as many whole seconds as offer this many at the base rate
  double metastable_share = 0.9;      // good ÷ offered must stay below this with confidence
  Nanos min_hold{0};                  // shorter holds are never called metastable; see metastable_hold()
};

struct RecoveryEvidence {
  Rate base;                            // offered after the trigger
  Nanos trigger_end{0};                 // when the offered rate was back at the base
  std::span<const SecondCounts> after;  // whole seconds after that, in order, the whole hold
  std::span<const double> in_flight;    // at the end of each of these seconds
};

// Did the service come back once the trigger was gone?
//
// Seconds after the last decided one are left out; a request before it that has not ended counts as not good.
// recovered:  `time` runs from the trigger's end to the first second from which `windows` consecutive windows
// have the share,
//             and from which on all that was offered has it too: a relapse moves it behind the relapse.
// metastable: the hold lasted at least min_hold; over its later half the upper 97.5 % bound of good ÷ offered
// (open requests
//             counted as good) is below 0.9; and what is in flight does not fall: either its trend is not
//             significantly negative or it takes less than 20 % off it over that half
// (clients who leave and come back make what is in flight wander by a tenth of itself).
// undecided:  anything else, with what was missing.
//
// Fills everything but highest_recovered. ratio and ratio_upper are of the later half.
[[nodiscard]] Recovery judge_recovery(const RecoveryEvidence& evidence, const RecoveryRule& rule);

// How long to hold before METASTABLE may be said: max(10 × client patience, 5 × the time the queue took to
// drain before).
[[nodiscard]] Nanos metastable_hold(Nanos client_patience, Nanos drain_time);

}  // namespace dsbench::results
