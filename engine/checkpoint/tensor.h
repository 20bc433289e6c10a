#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dsbench::engine::checkpoint {

// The number formats of weights that we can widen to fp32.
enum class TensorType : std::uint8_t {
  f32,
  bf16,
  f16,
  f8_e4m3,  // 4 exponent bits, bias 7, no infinities, 0x7F and 0xFF are not numbers (OCP FP8 "E4M3FN")
};

// By safetensors' word ("BF16"); nothing for a type that we do not read.
[[nodiscard]] std::optional<TensorType> tensor_type(std::string_view word);
// Bytes of one number of any type that safetensors knows ("I64": 8); nothing for a word it does not.
[[nodiscard]] std::optional<std::int64_t> bytes_per_number(std::string_view word);

// A tensor where it lies, in a mapped file: row-major, not necessarily aligned.
struct Tensor {
  std::string type;  // safetensors' word
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

// "BF16 [512, 64]".
[[nodiscard]] std::string describe(const Tensor& tensor);
// "[512, 64]".
[[nodiscard]] std::string describe_shape(std::span<const std::int64_t> shape);

// The numbers in fp32, exactly: each of the four types is a part of fp32.
[[nodiscard]] std::vector<float> to_floats(TensorType type, std::span<const std::byte> bytes);

}  // namespace dsbench::engine::checkpoint
