#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "core/units.h"

// Flags whose value carries its unit. A value that cannot be read is a CLI::ValidationError with the parser's
// sentence, and the help shows the default in the form that the flag accepts.
namespace dsbench::cli {

CLI::Option* add_duration(CLI::App& app, const std::string& flag, Nanos& value, const std::string& help);
// No default: `absent` is what the help says happens without it.
CLI::Option* add_duration(CLI::App& app, const std::string& flag, std::optional<Nanos>& value,
                          const std::string& help, const std::string& absent);
CLI::Option* add_rate(CLI::App& app, const std::string& flag, std::optional<Rate>& value,
                      const std::string& help, const std::string& absent);
// A whole number in [low, high].
CLI::Option* add_count(CLI::App& app, const std::string& flag, std::int32_t& value, std::int32_t low,
                       std::int32_t high, const std::string& help);
CLI::Option* add_count(CLI::App& app, const std::string& flag, std::optional<std::int32_t>& value,
                       std::int32_t low, std::int32_t high, const std::string& help,
                       const std::string& absent);
CLI::Option* add_text(CLI::App& app, const std::string& flag, std::string& value, const std::string& type,
                      const std::string& help);

}  // namespace dsbench::cli
