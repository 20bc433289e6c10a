#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// The two searches that see every byte of an answer, 16 or 8 bytes at a time.
namespace dsbench::loadgen::bytes {

namespace swar {
inline constexpr std::uint64_t ones = 0x0101'0101'0101'0101ULL, highs = 0x8080'8080'8080'8080ULL;
// The high bit of the lowest byte of `w` that is below `n` (at most 0x80) is set; above it bits may be wrong.
constexpr std::uint64_t below(std::uint64_t w, std::uint8_t n) {
  return (w - ones * n) & ~w & highs;
}
constexpr std::uint64_t equal(std::uint64_t w, char c) {
  return below(w ^ (ones * static_cast<std::uint8_t>(c)), 1);
}
}  // namespace swar

// The first byte from `at` on for which one of the two, which say the same, is true; `end` when there is
// none. `wide` takes 16 bytes and gives 0xFF for those that are meant; `word` takes 8 and gives high bits as
// swar's.
template <class Wide, class Word, class Byte>
inline const char* find(const char* at, const char* end, [[maybe_unused]] Wide&& wide, Word&& word,
                        Byte&& byte) {
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    if (const int mask = _mm_movemask_epi8(wide(v)); mask != 0)
      return at + std::countr_zero(static_cast<unsigned>(mask));
  }
#endif
  for (; end - at >= 8; at += 8) {
    std::uint64_t w = 0;
    std::memcpy(&w, at, 8);
    if (const std::uint64_t meant = word(w); meant != 0) {
      if constexpr (std::endian::native == std::endian::little) return at + std::countr_zero(meant) / 8;
      break;
    }
  }
  while (at != end && !byte(*at)) ++at;
  return at;
}

// Where a JSON string stops being plain: a quote, a backslash or a control character.
inline const char* find_string_end(const char* at, const char* end) {
  return find(
      at, end,
#if defined(__SSE2__)
      [](__m128i v) {
        const __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                      slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v);
        return _mm_or_si128(_mm_or_si128(quote, slash), control);
      },
#else
      0,
#endif
      [](std::uint64_t w) { return swar::equal(w, '"') | swar::equal(w, '\\') | swar::below(w, 0x20); },
      [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; });
}

// The first CR or LF.
inline const char* find_line_end(const char* at, const char* end) {
  return find(
      at, end,
#if defined(__SSE2__)
      [](__m128i v) {
        return _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\r')));
      },
#else
      0,
#endif
      [](std::uint64_t w) { return swar::equal(w, '\n') | swar::equal(w, '\r'); },
      [](char c) { return c == '\n' || c == '\r'; });
}

}  // namespace dsbench::loadgen::bytes
