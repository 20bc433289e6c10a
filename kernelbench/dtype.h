#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kernelbench/include/dsbench_kernel.h"

// Element types of operands, and what their bits are worth.
namespace dsbench::kernelbench {

enum class Dtype : std::int32_t {
  f64 = DSB_F64,
  f32 = DSB_F32,
  bf16 = DSB_BF16,
  f16 = DSB_F16,
  e4m3 = DSB_E4M3,
  i8 = DSB_I8,
  u8 = DSB_U8,
  i32 = DSB_I32,
};

[[nodiscard]] std::int64_t size_of(Dtype type);
[[nodiscard]] std::string_view to_word(Dtype type);
[[nodiscard]] std::optional<Dtype> dtype_from(std::string_view word);

// The value of one element.
[[nodiscard]] double decode(Dtype type, const void* element);
// Rounds to the nearest value that the type has, ties to even; e4m3 saturates at ±448, integers at their
// ends.
void encode(Dtype type, double value, void* element);

// NaN where the type has one, else a value that no right answer contains (i8 −128, u8 255, i32 −2147483647).
void poison(Dtype type, void* element);

}  // namespace dsbench::kernelbench
