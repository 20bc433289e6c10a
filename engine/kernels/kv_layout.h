#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/kernels/kv_type.h"

// Apart from the type, because the kernels' own translation units must not compile inline functions.
namespace dsbench::engine::kernels {

inline constexpr std::array<std::string_view, 4> kKvTypeNames{"fp32", "bf16", "int8", "fp8"};

[[nodiscard]] constexpr std::string_view name_of(KvType type) {
  return kKvTypeNames[static_cast<std::size_t>(type)];
}

[[nodiscard]] constexpr std::optional<KvType> kv_type_named(std::string_view name) {
  for (std::size_t i = 0; i < kKvTypeNames.size(); ++i) {
    if (kKvTypeNames[i] == name) return static_cast<KvType>(i);
  }
  return std::nullopt;
}

// Where things stand in a cache entry: codes of the latent (padded to whole words), their scales in fp32, the
// rotary part. An entry in fp32 or bf16 is one row of numbers.
struct KvLayout {
  KvType type = KvType::fp32;
  std::int32_t kv_lora = 0;
  std::int32_t rope = 0;
  std::int32_t groups = 0;     // scales of an entry
  std::int32_t scales_at = 0;  // bytes from its beginning
  std::int32_t rope_at = 0;
  std::int64_t slot_bytes = 0;
};

[[nodiscard]] constexpr KvLayout kv_layout(KvType type, std::int32_t kv_lora, std::int32_t rope) {
  KvLayout layout{.type = type, .kv_lora = kv_lora, .rope = rope};
  const std::int32_t number = type == KvType::fp32 ? 4 : type == KvType::bf16 ? 2 : 1;
  if (type == KvType::int8 || type == KvType::fp8) {
    layout.groups = (kv_lora + kKvGroup - 1) / kKvGroup;
    layout.scales_at = (kv_lora + 3) / 4 * 4;
    layout.rope_at = layout.scales_at + 4 * layout.groups;
    layout.slot_bytes = (layout.rope_at + 2 * rope + 3) / 4 * 4;
  } else {
    layout.rope_at = number * kv_lora;
    layout.slot_bytes = (number * (kv_lora + rope) + 3) / 4 * 4;
  }
  return layout;
}

}  // namespace dsbench::engine::kernels
