#pragma once

#include <optional>
#include <string_view>

#include "engine/kernels/weight_type.h"

// Apart from the type, because the kernels' own translation units must not compile inline functions of the
// standard library.
namespace dsbench::engine::kernels {

[[nodiscard]] constexpr std::string_view name_of(WeightType type) {
  return type == WeightType::fp32 ? "fp32" : type == WeightType::bf16 ? "bf16" : "int8";
}

[[nodiscard]] constexpr std::optional<WeightType> weight_type_named(std::string_view name) {
  for (const WeightType type : {WeightType::fp32, WeightType::bf16, WeightType::int8}) {
    if (name_of(type) == name) return type;
  }
  return std::nullopt;
}

}  // namespace dsbench::engine::kernels
