#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.h"
#include "results/gate/outcome.h"

// gate.json, schema "dsbench.gate/1", read back: what `gate run` keeps beside its runs is enough to render
// the outcome again.
namespace dsbench::results::gate {

// The inverse of render_json(). Errors: usage, for a text that is something else, with what is wrong.
[[nodiscard]] Result<Outcome> parse_outcome(std::string_view text, std::string_view source);

// The gate.json that `path` is, or that lies in the folder that `path` is; empty when there is none.
[[nodiscard]] std::filesystem::path find_outcome(const std::filesystem::path& path);

}  // namespace dsbench::results::gate
