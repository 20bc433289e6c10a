#pragma once

#include <optional>
#include <string>
#include <vector>

#include "loadgen/runner.h"
#include "results/record.h"
#include "results/run_summary.h"

namespace dsbench::loadgen {

// From which point on the generator is not fit to measure.
struct ValidityLimits {
  double send_lag_share = 0.10;      // of the tightest SLO bound, at the 99th percentile
  double worker_cpu = 0.90;          // of one core, the busiest issuer thread
  double cpu = 0.95;                 // of the cores its threads may use, all of them together
  double descriptors = 0.80;         // of the limit
  double ports = 0.80;               // of the ephemeral range
  double undelivered_share = 0.005;  // offered, but never sent
};

// Why a stage says more of us than of the target: one sentence each, with what was found, what is accepted
// and the remedy. Empty: the generator was fit to measure it. A run that is slow because we are slow is never
// called a pass or a failure.
//
// Send lag is judged at the highest percentile up to the 99th that the stage's samples can carry (p90 takes
// 64 of them; below that, at its maximum); the platform's own jitter, measured beside it, is no excuse for it
// (a number that is wrong is wrong) but names the culprit.
// The send lag alone, of which records tell; a health without a jitter says nothing of the machine.
[[nodiscard]] std::optional<std::string> lag_cause(const GeneratorHealth& health,
                                                   const results::StageSummary& stage,
                                                   const results::Slo& slo,
                                                   const ValidityLimits& limits = {});

[[nodiscard]] std::vector<std::string> validity_causes(const GeneratorHealth& health,
                                                       const results::StageSummary& stage,
                                                       const results::Slo& slo,
                                                       const ValidityLimits& limits = {});

}  // namespace dsbench::loadgen
