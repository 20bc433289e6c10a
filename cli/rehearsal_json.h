#pragma once

#include <optional>
#include <string>

#include "loadgen/rehearsal.h"

// How a rehearsal is written into the profile of its run.
namespace dsbench::cli {

// Members of a JSON object: "rehearsal", which must be equal for two rehearsals to be compared, and
// "rehearsal_rules", what else its verdicts hang on.
[[nodiscard]] std::string rehearsal_json(const loadgen::RehearsalConfig& config);

// From a run's profile, as far as its verdicts hang on it; nothing where it was not kept.
[[nodiscard]] std::optional<loadgen::RehearsalConfig> rehearsal_in(const std::string& profile_json);

}  // namespace dsbench::cli
