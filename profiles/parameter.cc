#include "profiles/parameter.h"

#include <fmt/format.h>

#include <cmath>

namespace dsbench::profiles {
namespace {

void read_label(JsonObject& entry, Parameter& parameter) {
  parameter.provenance =
      static_cast<Provenance>(entry.choice("provenance", {"measured", "published", "assumed"}));
  parameter.source = entry.text("source");
}

}  // namespace

std::string_view to_string(Provenance provenance) {
  switch (provenance) {
    case Provenance::measured:
      return "measured";
    case Provenance::published:
      return "published";
    case Provenance::assumed:
      return "assumed";
  }
  return "assumed";
}

Parameter read_number(JsonObject& object, std::string_view key) {
  JsonObject entry = object.object(key);
  Parameter parameter;
  parameter.value = entry.number("value");
  if (!std::isfinite(parameter.value) || parameter.value < 0) {
    entry.complain("value", fmt::format("found {}; it must not be negative", parameter.value));
  }
  read_label(entry, parameter);
  return parameter;
}

Parameter read_count(JsonObject& object, std::string_view key) {
  constexpr std::int64_t most = 2'000'000'000;
  JsonObject entry = object.object(key);
  Parameter parameter;
  const std::int64_t value = entry.integer("value");
  if (entry.has("value") && (value < 1 || value > most)) {
    entry.complain("value", fmt::format("found {}; accepted: 1 to {}", value, most));
  }
  parameter.value = static_cast<double>(value);
  read_label(entry, parameter);
  return parameter;
}

Parameter read_duration(JsonObject& object, std::string_view key) {
  JsonObject entry = object.object(key);
  Parameter parameter;
  parameter.value = to_seconds(entry.duration("value"));
  read_label(entry, parameter);
  return parameter;
}

}  // namespace dsbench::profiles
