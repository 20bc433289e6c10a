#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dsbench::loadgen {

// The smallest picture that image_bytes() can make.
inline constexpr std::int64_t least_image_bytes = 128;

// A PNG of exactly `bytes` bytes (at least least_image_bytes): a square of grey noise, not compressed, so
// that a server that decodes what it is sent finds a real picture. A function of (seed, bytes) alone.
[[nodiscard]] std::string image_bytes(std::uint64_t seed, std::int64_t bytes);

// RFC 4648, with padding.
[[nodiscard]] std::string base64(std::string_view bytes);

}  // namespace dsbench::loadgen
