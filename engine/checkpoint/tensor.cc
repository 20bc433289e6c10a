#include "engine/checkpoint/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace dsbench::engine::checkpoint {
namespace {

float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1Fu;
  const std::uint32_t fraction = bits & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = std::ldexp(static_cast<float>(fraction), -24);  // subnormal, or zero
  return sign != 0 ? -magnitude : magnitude;
}

float from_e4m3(std::uint8_t bits) {
  const int exponent = (bits >> 3) & 0xF;
  const int fraction = bits & 7;
  if (exponent == 0xF && fraction == 7) return std::numeric_limits<float>::quiet_NaN();
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                        : std::ldexp(static_cast<float>(8 + fraction), exponent - 10);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

std::array<float, 256> make_e4m3_table() {
  std::array<float, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = from_e4m3(static_cast<std::uint8_t>(i));
  return table;
}

template <class Bits, class F>
std::vector<float> widened(std::span<const std::byte> bytes, const F& widen) {
  std::vector<float> out(bytes.size() / sizeof(Bits));
  for (std::size_t i = 0; i < out.size(); ++i) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i * sizeof(Bits), sizeof(Bits));
    out[i] = widen(bits);
  }
  return out;
}

}  // namespace

std::optional<TensorType> tensor_type(std::string_view word) {
  if (word == "F32") return TensorType::f32;
  if (word == "BF16") return TensorType::bf16;
  if (word == "F16") return TensorType::f16;
  if (word == "F8_E4M3") return TensorType::f8_e4m3;
  return std::nullopt;
}

std::optional<std::int64_t> bytes_per_number(std::string_view word) {
  static constexpr std::pair<std::string_view, std::int64_t> known[] = {
      {"F64", 8},     {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
      {"F8_E8M0", 1}, {"I64", 8}, {"I32", 4}, {"I16", 2},  {"I8", 1},      {"U64", 8},
      {"U32", 4},     {"U16", 2}, {"U8", 1},  {"BOOL", 1}};
  for (const auto& [name, bytes] : known) {
    if (name == word) return bytes;
  }
  return std::nullopt;
}

std::string describe_shape(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string describe(const Tensor& tensor) {
  return fmt::format("{} {}", tensor.type, describe_shape(tensor.shape));
}

std::vector<float> to_floats(TensorType type, std::span<const std::byte> bytes) {
  static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");
  switch (type) {
    case TensorType::f32:
      return widened<float>(bytes, [](float x) { return x; });
    case TensorType::bf16:
      return widened<std::uint16_t>(bytes, from_bf16);
    case TensorType::f16:
      return widened<std::uint16_t>(bytes, from_f16);
    case TensorType::f8_e4m3:
      break;
  }
  static const std::array<float, 256> table = make_e4m3_table();
  return widened<std::uint8_t>(bytes, [](std::uint8_t bits) { return table[bits]; });
}

}  // namespace dsbench::engine::checkpoint
