#pragma once

#include <cstdint>
#include <span>

#include "core/result.h"

// Fits the step-time law of a hardware profile to measured (or synthesised) steps.
namespace dsbench::profiles {

struct StepSample {
  double prefill_tokens = 0;
  double decode_tokens = 0;
  double kv_tokens = 0;
  double seconds = 0;
};

struct StepLawFit {
  double base_s = 0, prefill_token_s = 0, decode_token_s = 0, kv_token_s = 0;
  std::int64_t steps = 0;    // used
  std::int64_t dropped = 0;  // steps whose time was far from every law: something else had the machine
  // |law − measured| ÷ measured over the steps that were used.
  double median_error = 0, p90_error = 0;
  // The same for a law fitted to every second step and asked for the others: what a prediction is worth.
  double held_out_median_error = 0, held_out_p90_error = 0;
  double max_prefill_tokens = 0, max_decode_tokens = 0, max_kv_tokens = 0;  // the range of the samples
};

// Least squares of the relative error, no coefficient below zero (the best of all 16 choices of which are
// zero: Lawson and Hanson's problem with four unknowns). Steps further than max(6 × the median error, 25 %)
// from a first fit are dropped and the law fitted again. Errors (usage): fewer than 20 steps, a time that is
// not positive, no step with prompt tokens or none with decode tokens, or columns that always move together
// so that their costs cannot be told apart (it says which).
[[nodiscard]] Result<StepLawFit> fit_step_law(std::span<const StepSample> steps);

[[nodiscard]] double predict(const StepLawFit& law, const StepSample& step);

}  // namespace dsbench::profiles
