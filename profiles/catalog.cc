#include "profiles/catalog.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/files.h"
#include "core/text.h"
#include "shipped_profiles.h"

namespace dsbench::profiles {

std::vector<std::string_view> kinds() {
  return {"traffic", "workload", "slo", "client", "model", "hardware", "fleet"};
}

std::vector<std::string_view> shipped_names(std::string_view kind) {
  std::vector<std::string_view> names;
  for (const std::string_view key : shipped::embedded_keys()) {
    if (key.starts_with(kind) && key.substr(kind.size()).starts_with('/'))
      names.push_back(key.substr(kind.size() + 1));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<ProfileText> find_profile(std::string_view kind, std::string_view name_or_path) {
  if (name_or_path.find('/') != std::string_view::npos || name_or_path.ends_with(".json")) {
    DSBENCH_TRY(std::string text, read_file(name_or_path));
    return ProfileText{std::move(text), std::string(name_or_path)};
  }
  const std::string_view text = shipped::embedded(fmt::format("{}/{}", kind, name_or_path));
  if (!text.empty())
    return ProfileText{std::string(text), fmt::format("shipped profile '{}/{}'", kind, name_or_path)};
  const auto names = shipped_names(kind);
  const std::string_view near = nearest_word(name_or_path, names);
  return fail(ErrorKind::usage, "no {} profile '{}'; shipped: {}; or give a path to a .json file{}", kind,
              name_or_path, names.empty() ? "none" : join(names),
              near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

}  // namespace dsbench::profiles
