#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "engine/kernels/weight_type.h"

namespace dsbench::cli {

// How the CPU executor keeps its weights and where its threads run.
struct WeightsOptions {
  std::string type = "fp32";
  bool pin = false;
};

void add_weights_flags(CLI::App& app, WeightsOptions& options, const std::string& prefix,
                       const std::string& group);

[[nodiscard]] Result<engine::kernels::WeightType> weight_type(const WeightsOptions& options);

// Refuses these flags on executors that have neither weights nor threads. `given`: flags on the command line.
[[nodiscard]] Result<void> refuse_idle_weights_flags(
    const std::vector<std::pair<std::string, std::string>>& given, std::string_view executor);

}  // namespace dsbench::cli
