#include "results/gap_codec.h"

#include <algorithm>

namespace dsbench::results {

void append_gaps(std::string& out, std::span<const Nanos> gaps) {
  std::int64_t total_ns = 0, total_us = 0;
  for (const Nanos gap : gaps) {
    total_ns += std::max<std::int64_t>(gap.count(), 0);
    const std::int64_t rounded = (total_ns + 500) / 1000;
    auto us = static_cast<std::uint64_t>(rounded - total_us);
    total_us = rounded;
    while (us >= 0x80) {
      out.push_back(static_cast<char>((us & 0x7f) | 0x80));
      us >>= 7;
    }
    out.push_back(static_cast<char>(us));
  }
}

std::optional<std::vector<Nanos>> decode_gaps(std::string_view bytes) {
  std::vector<Nanos> gaps;
  std::uint64_t us = 0;
  int shift = 0;
  for (const char c : bytes) {
    const auto b = static_cast<std::uint8_t>(c);
    if (shift > 42) return std::nullopt;  // 2^49 µs are 17 years
    us |= static_cast<std::uint64_t>(b & 0x7f) << shift;
    shift += 7;
    if ((b & 0x80) != 0) continue;
    gaps.push_back(std::chrono::microseconds{us});
    us = 0;
    shift = 0;
  }
  if (shift != 0) return std::nullopt;
  return gaps;
}

}  // namespace dsbench::results
