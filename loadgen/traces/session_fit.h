#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loadgen/traces/session_finder.h"
#include "loadgen/traces/trace.h"

// The laws of conversations, in the form that a workload profile's "session" can say.
namespace dsbench::loadgen {

// Values at 0, 1/n, …, 1 of their distribution, which is linear in between: the last gives way so that the
// mean is that of the values. Sorts them; needs at least one.
[[nodiscard]] std::vector<double> quantiles_with_mean(std::vector<double> values, std::size_t n);

// A trace ends, and conversations go on: of turns near its end only those successors are seen that come soon.
// The law of the time to the next turn from gaps that were seen because they were no longer than what was
// left of the trace: the product-limit estimator for truncated data (Lynden-Bell 1971; Woodroofe 1985). Of
// gaps longer than the trace nothing is known.
class GapLaw {
 public:
  struct Gap {
    double seconds = 0, watched_s = 0;  // watched_s: from the turn before it to the trace's end
  };
  explicit GapLaw(std::span<const Gap> gaps);
  // The probability that a next turn, if there is one, comes within this time.
  [[nodiscard]] double within(double seconds) const;
  // Its quantiles at 0, 1/n, …, 1, the last giving way to the mean.
  [[nodiscard]] std::vector<double> quantiles(std::size_t n) const;

 private:
  std::vector<double> gap_s_, cumulated_;  // cumulated_: 1 at the last
};

// Of the sessions that begin with these rows.
[[nodiscard]] GapLaw gap_law(const Trace& trace, const SessionForest& forest,
                             std::span<const std::uint32_t> firsts);

struct TurnLaw {
  std::vector<double> weights;  // of 1, 2, … turns; add up to 1
  [[nodiscard]] double mean() const;
};

struct SessionLaws {
  TurnLaw turns;
  TurnLaw fork_turns;
  double fork_share = 0;                 // forks per turn that has a next one
  std::vector<double> gap_quantiles;     // seconds, from due to due; empty where the source has no times
  std::vector<double> user_quantiles;    // tokens that a turn adds beside the answer before it
  std::vector<double> output_quantiles;  // of turns after the first
  [[nodiscard]] bool has_turns() const { return turns.weights.size() > 1 || fork_share > 0; }
};

// The laws of the sessions that begin with these rows. What they have too few of (30 turns after the first)
// is taken from `of_all`, which is null for the laws of all sessions.
[[nodiscard]] SessionLaws fit_session_laws(const Trace& trace, const SessionForest& forest,
                                           std::span<const std::uint32_t> firsts, const SessionLaws* of_all);

}  // namespace dsbench::loadgen
