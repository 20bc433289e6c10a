#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "engine/step_log.h"

namespace dsbench::engine {

// The steps of a log that StepLog wrote; columns are found by name, so that older and newer logs can be read
// too. Errors (usage) name the line and the column. A last line that was cut off is left out.
[[nodiscard]] Result<std::vector<StepRecord>> read_step_log(const std::string& path);

}  // namespace dsbench::engine
