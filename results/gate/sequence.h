#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/result.h"
#include "results/gate/judge.h"
#include "results/gate/many_tests.h"

// When to look, when to measure more, when to stop.
namespace dsbench::results::gate {

struct Look {
  std::size_t runs = 0;  // a side, so far
  double alpha = 0.05;
};
struct Sequence {
  std::vector<Look> looks;       // one to three
  std::size_t confirmation = 0;  // runs a side of a confirmation after the last look; 0: none
};

// Looks at `runs`, at `max_runs`, and half-way where there is room for a third. Errors: usage, for max_runs
// below runs or above three times as many (looks would be further apart than α was split for), and for an α
// without a table.
[[nodiscard]] Result<Sequence> plan_sequence(std::size_t runs, std::size_t max_runs, double alpha,
                                             Spending spending, std::size_t confirmation);

// The fewest runs a side whose smallest p can be below alpha for each of so many metrics.
[[nodiscard]] std::size_t runs_needed(double alpha, std::size_t metrics);

enum class Next { stop, measure_more, confirm };
// After a look: a regression asks for a confirmation, an inconclusive metric for more runs where looks are
// left.
[[nodiscard]] Next next_after(const Judgement& judgement, const Sequence& sequence, std::size_t look);

// A regression stands when all runs together still show it and the fresh block alone is worse by at least
// half the margin.
[[nodiscard]] bool is_confirmed(const MetricJudgement& all, std::span<const double> block_baseline,
                                std::span<const double> block_candidate);

// Takes back what is not confirmed: such metrics become INCONCLUSIVE with a note. The values of the block are
// the last `block` of each side. `called` are the names of the metrics that asked for the confirmation;
// others that the pooled runs now call REGRESSED have had no block of their own and are taken back too.
void keep_confirmed(Judgement& all, const std::vector<std::string>& called, std::size_t block);

}  // namespace dsbench::results::gate
