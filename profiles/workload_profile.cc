#include "profiles/workload_profile.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/rng.h"
#include "core/text.h"
#include "profiles/catalog.h"
#include "profiles/json_object.h"

namespace dsbench::profiles {
namespace {

using Json = nlohmann::ordered_json;

// The longest context a model of today claims is a few million tokens.
constexpr std::int64_t most_tokens = 16'777'216;

std::int32_t read_tokens(JsonObject& in, std::string_view key) {
  const std::int64_t n = in.integer(key);
  if (in.has(key) && (n < 1 || n > most_tokens)) {
    in.complain(key, fmt::format("found {} tokens; accepted: 1 to {}", n, most_tokens));
    return 1;
  }
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(n, 1, most_tokens));
}

LengthLaw read_law(JsonObject in) {
  LengthLaw law;
  law.kind = static_cast<LengthLaw::Kind>(in.choice("law", {"constant", "uniform", "lognormal"}));
  if (law.kind == LengthLaw::Kind::constant) {
    law.min = law.max = read_tokens(in, "value");
    return law;
  }
  law.min = read_tokens(in, "min");
  law.max = read_tokens(in, "max");
  if (law.min > law.max) in.complain("max", fmt::format("found {}, below min {}", law.max, law.min));
  if (law.kind == LengthLaw::Kind::lognormal) {
    law.median = in.number("median");
    law.sigma = in.number("sigma");
    if (in.has("median") && !(law.median >= law.min && law.median <= law.max)) {
      in.complain("median",
                  fmt::format("found {}; accepted: from min {} to max {}", law.median, law.min, law.max));
    }
    if (in.has("sigma") && !(law.sigma >= 0 && law.sigma <= 5)) {
      in.complain("sigma", fmt::format("found {}; accepted: 0 to 5 (the standard deviation of the logarithm)",
                                       law.sigma));
    }
  }
  return law;
}

Json write_law(const LengthLaw& law) {
  switch (law.kind) {
    case LengthLaw::Kind::constant:
      return {{"law", "constant"}, {"value", law.min}};
    case LengthLaw::Kind::uniform:
      return {{"law", "uniform"}, {"min", law.min}, {"max", law.max}};
    case LengthLaw::Kind::lognormal:
      break;
  }
  return {
      {"law", "lognormal"}, {"median", law.median}, {"sigma", law.sigma}, {"min", law.min}, {"max", law.max}};
}

}  // namespace

std::int32_t length_at(const LengthLaw& law, double u) {
  double length = law.min;
  if (law.kind == LengthLaw::Kind::uniform) {
    length = law.min + std::floor(u * (static_cast<double>(law.max) - law.min + 1));
  } else if (law.kind == LengthLaw::Kind::lognormal) {
    length = std::round(law.median * std::exp(law.sigma * inverse_normal_cdf(u)));
  }
  return static_cast<std::int32_t>(
      std::clamp(length, static_cast<double>(law.min), static_cast<double>(law.max)));
}

Result<WorkloadProfile> parse_workload(std::string_view json, std::string source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(json, std::move(source)));
  WorkloadProfile profile;
  profile.name = root.source();
  root.schema("workload", 1);
  profile.description = root.text("description", "");
  profile.prompt_tokens = read_law(root.object("prompt_tokens"));
  profile.output_tokens = read_law(root.object("output_tokens"));
  DSBENCH_CHECK(root.finish());
  return profile;
}

Result<WorkloadProfile> load_workload(std::string_view name_or_path) {
  DSBENCH_TRY(const ProfileText found, find_profile("workload", name_or_path));
  DSBENCH_TRY(WorkloadProfile profile, parse_workload(found.text, found.source));
  profile.name = std::string(name_or_path);
  return profile;
}

std::string to_json(const WorkloadProfile& profile) {
  Json root;
  root["schema"] = "dsbench.workload/1";
  if (!profile.description.empty()) root["description"] = profile.description;
  root["prompt_tokens"] = write_law(profile.prompt_tokens);
  root["output_tokens"] = write_law(profile.output_tokens);
  return root.dump();
}

}  // namespace dsbench::profiles
