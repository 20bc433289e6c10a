#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace dsbench::profiles {

// How many tokens: a law for one length. Drawn by its inverse CDF, so that one uniform number gives one
// length.
struct LengthLaw {
  enum class Kind : std::uint8_t { constant, uniform, lognormal };
  Kind kind = Kind::constant;
  std::int32_t
      min = 1,
      max = 1;  // both included; equal when constant. A lognormal length outside is moved to the nearer end
  double median = 1;  // of lognormal
  double sigma = 0;   // of lognormal: standard deviation of the logarithm
  friend bool operator==(const LengthLaw&, const LengthLaw&) = default;
};

// The length at which the law's CDF reaches u; u in (0, 1).
[[nodiscard]] std::int32_t length_at(const LengthLaw& law, double u);

// What the requests are.
struct WorkloadProfile {
  std::string name;
  std::string description;
  LengthLaw prompt_tokens, output_tokens;
};

// Schema "dsbench.workload/1".
[[nodiscard]] Result<WorkloadProfile> parse_workload(std::string_view json, std::string source);
// A shipped name or a path.
[[nodiscard]] Result<WorkloadProfile> load_workload(std::string_view name_or_path);
[[nodiscard]] std::string to_json(const WorkloadProfile& profile);

}  // namespace dsbench::profiles
