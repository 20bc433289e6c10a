#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::engine::server {
struct Manners;
}

namespace dsbench::cli {

// `--api` and what may be changed about it.
struct MannersOptions {
  std::string api = "openai";
  std::optional<Nanos> keep_alive;
  std::optional<double> time_scale;
  std::optional<double> reasoning_share;
};

void add_manners_flags(CLI::App& app, MannersOptions& options, const std::string& prefix,
                       const std::string& group);

// Errors: usage for a name that is none, a share outside 0 … 1, a scale that has nothing to scale.
[[nodiscard]] Result<engine::server::Manners> make_manners(const MannersOptions& options);

}  // namespace dsbench::cli
