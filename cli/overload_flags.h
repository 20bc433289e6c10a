#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "engine/admission/overload_config.h"

namespace dsbench::cli {

// Overload control as flags, each off by default: --max-queued-tokens, --ttft-target, --adaptive-concurrency,
// --queue-order, --codel-target, --standing-queue, --account-rate, --account-tokens, --account-concurrency,
// --tenant, --expire-after, --cancel-expired.
void add_overload_flags(CLI::App& app, engine::OverloadConfig& config, const std::string& prefix,
                        const std::string& group);

// Whether a flag, without the dashes and the prefix, is one of these: a simulated fleet takes them too.
[[nodiscard]] bool is_overload_flag(std::string_view name);

}  // namespace dsbench::cli
