#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::profiles {

// What a request must meet to be good. An absent bound is not checked; at least one is there.
struct SloProfile {
  std::string name;
  std::string description;
  std::optional<Nanos> ttft, tpot, e2e;
};

class JsonObject;

// The bounds of an object, without its schema and description: for a profile that has one inside.
[[nodiscard]] SloProfile read_slo(JsonObject& in);
// Schema "dsbench.slo/1".
[[nodiscard]] Result<SloProfile> parse_slo(std::string_view json, std::string source);
// "ttft=500ms,tpot=50ms,e2e=5s" if there is an '=' in it, else a shipped name or a path.
[[nodiscard]] Result<SloProfile> load_slo(std::string_view text_or_name_or_path);
[[nodiscard]] std::string to_json(const SloProfile& profile);

}  // namespace dsbench::profiles
