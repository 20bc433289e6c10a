#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::profiles {

// The text of a profile and where it came from.
struct ProfileText {
  std::string text;
  std::string source;  // for messages: the path, or "shipped profile 'traffic/ramp'"
};

// The folders of profiles/: "traffic", "workload", "slo", "client", "model", "hardware", "fleet".
[[nodiscard]] std::vector<std::string_view> kinds();

// Names of the profiles of a kind that are compiled into the binary, sorted.
[[nodiscard]] std::vector<std::string_view> shipped_names(std::string_view kind);

// A profile by shipped name ("tiny") or by path (anything with a '/' or ending in ".json"). An unknown name
// is a usage error that lists the shipped ones and suggests the nearest.
[[nodiscard]] Result<ProfileText> find_profile(std::string_view kind, std::string_view name_or_path);

}  // namespace dsbench::profiles
