#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "results/run_summary.h"

// Made-up runs for tests of what reads a RunSummary. The numbers follow from a small closed form (a queue
// that saturates at 190 requests per second), not from a measurement; they are plausible and always the same.
namespace dsbench::tests {

enum class Sample {
  collapsed,     // unbounded queue: collapses, and does not come back
  bounded,       // the same rehearsal with a bounded queue: sheds load, recovers
  single_stage,  // `load`, one stage, too few samples for p99
  nothing_good,  // every request fails
  invalid,       // the generator was not fit to measure
  many_stages,   // sixty steps over three hours, simulated
  hostile,       // markup and control characters in every text
};
inline constexpr Sample all_samples[] = {Sample::collapsed,    Sample::bounded, Sample::single_stage,
                                         Sample::nothing_good, Sample::invalid, Sample::many_stages,
                                         Sample::hostile};
[[nodiscard]] std::string_view name_of(Sample sample);
[[nodiscard]] results::RunSummary sample_run(Sample sample);

}  // namespace dsbench::tests
