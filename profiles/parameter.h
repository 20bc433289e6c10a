#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "profiles/json_object.h"

namespace dsbench::profiles {

// Where a parameter of a simulation came from. A simulation shows it with its results; one without it is
// refused.
enum class Provenance : std::uint8_t {
  measured,   // by dsbench or by whoever wrote the file, on the thing itself
  published,  // by its maker, or derived from what they published; the source shows the arithmetic
  assumed,    // somebody's judgement
};

[[nodiscard]] std::string_view to_string(Provenance provenance);

// In a file: {"value": …, "provenance": "measured" | "published" | "assumed", "source": "where, or the
// arithmetic"}.
struct Parameter {
  double value = 0;  // of a duration: seconds
  Provenance provenance = Provenance::assumed;
  std::string source;
};

// Each reads object[key] as a Parameter and complains about what is missing, provenance and source included.
[[nodiscard]] Parameter read_number(JsonObject& object, std::string_view key);  // finite, not negative
[[nodiscard]] Parameter read_count(JsonObject& object, std::string_view key);   // a whole number, at least 1
[[nodiscard]] Parameter read_duration(JsonObject& object, std::string_view key);

}  // namespace dsbench::profiles
