#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dsbench::engine {

// SplitMix64's finaliser over both (Steele, Lea and Flood, 2014).
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a * 0x9E3779B97F4A7C15ULL + b + 0x632BE59BD9B4E019ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

[[nodiscard]] constexpr std::uint64_t hash_tokens(std::span<const std::int32_t> tokens) {
  std::uint64_t hash = tokens.size();
  for (const std::int32_t token : tokens) hash = mix(hash, static_cast<std::uint32_t>(token));
  return hash;
}

// A stretch of a prompt of which only the identity is known: its text is a function of the seed, and a longer
// stretch of the same seed begins with it, but for the last token (which ends the text).
struct PrefixPart {
  std::uint64_t seed = 0;
  std::int32_t tokens = 0;
  friend bool operator==(const PrefixPart&, const PrefixPart&) = default;
};
using PrefixParts = std::vector<PrefixPart>;

// The content of positions [begin, end) of a prompt of these parts. Positions behind the last part belong to
// `own`, as nobody else's do.
[[nodiscard]] std::uint64_t hash_parts(std::span<const PrefixPart> parts, std::uint64_t own,
                                       std::int32_t begin, std::int32_t end);

}  // namespace dsbench::engine
