#include "loadgen/codec/image_bytes.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace dsbench::loadgen {
namespace {

// PNG's CRC (ISO 3309), byte by byte.
constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t n = 0; n < 256; ++n) {
    std::uint32_t c = n;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xEDB88320U ^ (c >> 1) : c >> 1;
    table[n] = c;
  }
  return table;
}();

void append_32(std::string& out, std::uint32_t n) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 0xFF);
}

void append_chunk(std::string& out, std::string_view type, std::string_view data) {
  append_32(out, static_cast<std::uint32_t>(data.size()));
  const std::size_t from = out.size();
  out += type;
  out += data;
  std::uint32_t crc = ~0U;
  for (std::size_t i = from; i < out.size(); ++i)
    crc = crc_table[(crc ^ static_cast<unsigned char>(out[i])) & 0xFF] ^ (crc >> 8);
  append_32(out, ~crc);
}

constexpr std::int64_t chunk_frame = 12;       // length, type, CRC
constexpr std::int64_t stored_block = 65'535;  // the most that one block of deflate holds uncompressed

// What a square picture of this side comes to as a zlib stream of stored blocks.
std::int64_t stream_size(std::int64_t side) {
  const std::int64_t raw = side * (side + 1);  // a filter byte before every row
  return 2 + 5 * ((raw + stored_block - 1) / stored_block) + raw + 4;
}
std::int64_t file_size(std::int64_t side) {
  return 8 + (chunk_frame + 13) + (chunk_frame + stream_size(side)) + chunk_frame;
}

std::uint64_t xorshift(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

std::string zlib_stream(std::uint64_t seed, std::int64_t side) {
  std::string raw(static_cast<std::size_t>(side * (side + 1)), '\0');
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL | 1;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (i % static_cast<std::size_t>(side + 1) != 0) raw[i] = static_cast<char>(xorshift(state) >> 56);
  }
  std::string out{'\x78', '\x01'};
  for (std::size_t at = 0; at < raw.size();) {
    const std::size_t size = std::min<std::size_t>(raw.size() - at, stored_block);
    const auto n = static_cast<std::uint32_t>(size);
    out += static_cast<char>(at + size == raw.size() ? 1 : 0);
    for (const std::uint32_t word : {n, ~n}) {
      out += static_cast<char>(word & 0xFF);
      out += static_cast<char>(word >> 8 & 0xFF);
    }
    out.append(raw, at, size);
    at += size;
  }
  std::uint32_t a = 1, b = 0;  // Adler-32
  for (const char c : raw) {
    a = (a + static_cast<unsigned char>(c)) % 65'521;
    b = (b + a) % 65'521;
  }
  append_32(out, b << 16 | a);
  return out;
}

}  // namespace

std::string image_bytes(std::uint64_t seed, std::int64_t bytes) {
  bytes = std::max(bytes, least_image_bytes);
  auto side = static_cast<std::int64_t>(std::sqrt(static_cast<double>(bytes)));
  // What is missing is filled with a chunk that decoders pass over; it has a frame of its own.
  const auto fits = [&](std::int64_t s) {
    return file_size(s) == bytes || file_size(s) + chunk_frame <= bytes;
  };
  while (side > 1 && !fits(side)) --side;
  std::string out{"\x89PNG\r\n\x1a\n", 8};
  std::string head;
  append_32(head, static_cast<std::uint32_t>(side));
  append_32(head, static_cast<std::uint32_t>(side));
  head += std::string{"\x08\x00\x00\x00\x00", 5};  // 8 bits of grey, not interlaced
  append_chunk(out, "IHDR", head);
  if (const std::int64_t left = bytes - file_size(side); left >= chunk_frame)
    append_chunk(out, "fiLl", std::string(static_cast<std::size_t>(left - chunk_frame), 'x'));
  append_chunk(out, "IDAT", zlib_stream(seed, side));
  append_chunk(out, "IEND", "");
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      out += i + k <= bytes.size() ? digits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

}  // namespace dsbench::loadgen
