#include "profiles/slo_profile.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/text.h"
#include "profiles/catalog.h"
#include "profiles/json_object.h"

namespace dsbench::profiles {
namespace {

constexpr std::array<std::string_view, 3> bounds{"ttft", "tpot", "e2e"};

std::optional<Nanos>& bound(SloProfile& profile, std::string_view name) {
  return name == "ttft" ? profile.ttft : name == "tpot" ? profile.tpot : profile.e2e;
}

Result<SloProfile> parse_slo_text(std::string_view text) {
  SloProfile profile;
  profile.name = std::string(text);
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    const std::string_view item = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = item.find('=');
    const std::string_view name = item.substr(0, equals);
    if (equals == std::string_view::npos || std::find(bounds.begin(), bounds.end(), name) == bounds.end()) {
      return fail(ErrorKind::usage,
                  "SLO '{}': '{}' is no bound; write bounds as in ttft=500ms,tpot=50ms,e2e=5s", text, item);
    }
    DSBENCH_TRY(const Nanos value, parse_duration(item.substr(equals + 1)));
    if (value <= Nanos{0})
      return fail(ErrorKind::usage, "SLO '{}': '{}' can never be met; give a time above nought", text, item);
    if (bound(profile, name)) return fail(ErrorKind::usage, "SLO '{}': {} is given twice", text, name);
    bound(profile, name) = value;
  }
  return profile;
}

}  // namespace

SloProfile read_slo(JsonObject& root) {
  SloProfile profile;
  bool has_any = false;
  for (const std::string_view name : bounds) {
    if (!root.has(name)) continue;
    has_any = true;
    const Nanos value = root.duration(name, Nanos{1});
    if (value <= Nanos{0}) root.complain(name, "can never be met; give a time above nought");
    bound(profile, name) = value;
  }
  if (!has_any)
    root.complain("ttft", "no bound is given; accepted: any of ttft, tpot, e2e, each with its time");
  return profile;
}

Result<SloProfile> parse_slo(std::string_view json, std::string source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(json, std::move(source)));
  root.schema("slo", 1);
  const std::string description = root.text("description", "");
  SloProfile profile = read_slo(root);
  profile.name = root.source();
  profile.description = description;
  DSBENCH_CHECK(root.finish());
  return profile;
}

Result<SloProfile> load_slo(std::string_view text_or_name_or_path) {
  if (text_or_name_or_path.find('=') != std::string_view::npos) return parse_slo_text(text_or_name_or_path);
  DSBENCH_TRY(const ProfileText found, find_profile("slo", text_or_name_or_path));
  DSBENCH_TRY(SloProfile profile, parse_slo(found.text, found.source));
  profile.name = std::string(text_or_name_or_path);
  return profile;
}

std::string to_json(const SloProfile& profile) {
  nlohmann::ordered_json root;
  root["schema"] = "dsbench.slo/1";
  if (!profile.description.empty()) root["description"] = profile.description;
  if (profile.ttft) root["ttft"] = print_duration(*profile.ttft);
  if (profile.tpot) root["tpot"] = print_duration(*profile.tpot);
  if (profile.e2e) root["e2e"] = print_duration(*profile.e2e);
  return root.dump();
}

}  // namespace dsbench::profiles
