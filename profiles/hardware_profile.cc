#include "profiles/hardware_profile.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "profiles/catalog.h"

namespace dsbench::profiles {
namespace {

// One table for reading, listing and printing, so that the three cannot differ.
struct Field {
  std::string_view group;
  std::string_view key;
  Parameter HardwareProfile::*member;
  bool count;  // a whole number, at least 1
};

constexpr std::array<Field, 12> fields{{
    {"step_time", "base_s", &HardwareProfile::base_s, false},
    {"step_time", "prefill_token_s", &HardwareProfile::prefill_token_s, false},
    {"step_time", "decode_token_s", &HardwareProfile::decode_token_s, false},
    {"step_time", "kv_token_s", &HardwareProfile::kv_token_s, false},
    {"range", "max_prefill_tokens", &HardwareProfile::max_prefill_tokens, true},
    {"range", "max_decode_tokens", &HardwareProfile::max_decode_tokens, true},
    {"range", "max_kv_tokens", &HardwareProfile::max_kv_tokens, true},
    {"capacity", "kv_tokens", &HardwareProfile::kv_capacity_tokens, true},
    {"capacity", "block_size", &HardwareProfile::block_size, true},
    {"capacity", "max_running", &HardwareProfile::max_running, true},
    {"capacity", "max_batched_tokens", &HardwareProfile::max_batched_tokens, true},
    {"capacity", "max_model_len", &HardwareProfile::max_model_len, true},
}};

}  // namespace

void HardwareProfile::each_parameter(const std::function<void(std::string_view, const Parameter&)>& f) const {
  for (const Field& field : fields) f(fmt::format("{}.{}", field.group, field.key), this->*field.member);
}

HardwareProfile read_hardware(JsonObject& object) {
  HardwareProfile profile;
  profile.name = object.text("name");
  profile.description = object.text("description");
  JsonObject step_time = object.object("step_time");
  JsonObject range = object.object("range");
  JsonObject capacity = object.object("capacity");
  for (const Field& field : fields) {
    JsonObject& group = field.group == "step_time" ? step_time : field.group == "range" ? range : capacity;
    profile.*field.member = field.count ? read_count(group, field.key) : read_number(group, field.key);
  }
  // A step that costs nothing would let virtual time stand still for ever.
  if (step_time.has("base_s") && !(profile.base_s.value > 0)) {
    step_time.complain("base_s", "a step must take some time: the value must be above 0");
  }
  if (profile.block_size.value > profile.kv_capacity_tokens.value) {
    capacity.complain("kv_tokens", fmt::format("found {}, which is less than one block of {} tokens",
                                               profile.kv_capacity_tokens.value, profile.block_size.value));
  }
  return profile;
}

Result<HardwareProfile> parse_hardware(std::string_view text, const std::string& source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(text, source));
  root.schema("hardware", 1);
  HardwareProfile profile = read_hardware(root);
  DSBENCH_CHECK(root.finish());
  return profile;
}

Result<HardwareProfile> load_hardware(std::string_view name_or_path) {
  DSBENCH_TRY(const ProfileText found, find_profile("hardware", name_or_path));
  return parse_hardware(found.text, found.source);
}

std::string print_hardware(const HardwareProfile& profile) {
  nlohmann::ordered_json json;
  json["schema"] = "dsbench.hardware/1";
  json["name"] = profile.name;
  json["description"] = profile.description;
  for (const Field& field : fields) {
    const Parameter& parameter = profile.*field.member;
    auto& entry = json[std::string(field.group)][std::string(field.key)];
    if (field.count) {
      entry["value"] = static_cast<std::int64_t>(std::llround(parameter.value));
    } else {
      entry["value"] = parameter.value;
    }
    entry["provenance"] = to_string(parameter.provenance);
    entry["source"] = parameter.source;
  }
  return json.dump(2) + "\n";
}

}  // namespace dsbench::profiles
