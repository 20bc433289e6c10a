#pragma once

#include <cstdint>

namespace dsbench::engine::kernels {

// How the latent of a cache entry is kept. The rotary part of a key, which carries positions, is never
// coarser than bf16.
enum class KvType : std::uint8_t {
  fp32,
  bf16,  // rounded to nearest, ties to even
  int8,  // symmetric, a scale for every kKvGroup numbers; rotary part bf16
  fp8,   // e4m3, a scale for every kKvGroup numbers; rotary part bf16
};

// As DeepSeek's own FP8 cache has it (FlashMLA): 512 codes, 4 scales and 64 numbers in bf16 are 656 bytes a
// token.
inline constexpr std::int32_t kKvGroup = 128;

}  // namespace dsbench::engine::kernels
