#include "engine/kv/content_hash.h"

#include <algorithm>

namespace dsbench::engine {

std::uint64_t hash_parts(std::span<const PrefixPart> parts, std::uint64_t own, std::int32_t begin,
                         std::int32_t end) {
  std::uint64_t hash = static_cast<std::uint64_t>(end - begin);
  std::int32_t part_begin = 0;
  for (const PrefixPart& part : parts) {
    const std::int32_t part_end = part_begin + part.tokens;
    const std::int32_t from = std::max(begin, part_begin);
    const std::int32_t to = std::min(end, part_end);
    if (from < to) {
      hash = mix(hash, part.seed);
      hash = mix(hash, static_cast<std::uint64_t>(from - part_begin));
      hash = mix(hash, static_cast<std::uint64_t>(to - part_begin) * 2 + (to == part_end ? 1 : 0));
    }
    part_begin = part_end;
    if (part_begin >= end) return hash;
  }
  hash = mix(hash, own);
  return mix(hash, static_cast<std::uint64_t>(std::max(begin, part_begin)));
}

}  // namespace dsbench::engine
