#include "results/hdr_codec.h"

#include <zlib.h>

#include <array>
#include <bit>
#include <cstdint>

namespace dsbench::results {
namespace {

constexpr std::uint32_t cookie_plain = 0x1c849313;
constexpr std::uint32_t cookie_compressed = 0x1c849314;
constexpr std::size_t header_bytes = 40;
// A dense histogram of ours at 9 bytes a counter, with room for libraries that track further than 1 h.
constexpr std::size_t most_plain_bytes = header_bytes + 9 * 64 * 1024;

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

template <class Integer>
void put(std::string& out, Integer value) {
  for (int shift = static_cast<int>(sizeof(Integer) * 8) - 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>((static_cast<std::uint64_t>(value) >> shift) & 0xff));
  }
}

std::uint64_t get(std::string_view in, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<std::uint8_t>(in[at + i]);
  return value;
}

void put_zigzag(std::string& out, std::int64_t value) {
  std::uint64_t z = static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
  for (int byte = 0; byte < 8; ++byte) {
    if (z < 0x80) {
      out.push_back(static_cast<char>(z));
      return;
    }
    out.push_back(static_cast<char>((z & 0x7f) | 0x80));
    z >>= 7;
  }
  out.push_back(static_cast<char>(z));  // the ninth byte carries 8 bits
}

// False at the end of the input.
bool get_zigzag(std::string_view in, std::size_t& at, std::int64_t& value) {
  std::uint64_t z = 0;
  for (int byte = 0; byte < 9; ++byte) {
    if (at >= in.size()) return false;
    const auto b = static_cast<std::uint8_t>(in[at++]);
    if (byte == 8) {
      z |= static_cast<std::uint64_t>(b) << 56;
      break;
    }
    z |= static_cast<std::uint64_t>(b & 0x7f) << (7 * byte);
    if ((b & 0x80) == 0) break;
  }
  value = static_cast<std::int64_t>(z >> 1) ^ -static_cast<std::int64_t>(z & 1);
  return true;
}

std::string to_base64(std::string_view in) {
  std::string out;
  out.reserve((in.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < in.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, in.size() - i);
    const auto word = static_cast<std::uint32_t>(get(in, i, n) << (8 * (3 - n)));
    for (std::size_t k = 0; k < 4; ++k) {
      out.push_back(k <= n ? alphabet[word >> (18 - 6 * k) & 63] : '=');
    }
  }
  return out;
}

Result<std::string> from_base64(std::string_view in) {
  while (!in.empty() && in.back() == '=') in.remove_suffix(1);
  std::string out;
  out.reserve(in.size() * 3 / 4);
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : in) {
    const std::size_t digit = alphabet.find(c);
    if (digit == std::string_view::npos) {
      return fail(ErrorKind::usage, "cannot read a histogram: character code {} is not base64",
                  static_cast<int>(static_cast<unsigned char>(c)));
    }
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<char>(bits >> held & 0xff));
    }
  }
  return out;
}

}  // namespace

std::string encode_hdr(const Histogram& histogram) {
  std::string payload;
  int next = 0;  // the first counter not yet written
  for (int i = histogram.next_index(0); i >= 0; i = histogram.next_index(next)) {
    // A single zero is written as a count of 0, as a run of one would be: both are one byte.
    if (i > next) put_zigzag(payload, i == next + 1 ? 0 : next - i);
    put_zigzag(payload, histogram.counter(i));
    next = i + 1;
  }
  std::string plain;
  put(plain, cookie_plain);
  put(plain, static_cast<std::uint32_t>(payload.size()));
  put(plain, std::uint32_t{0});
  put(plain, std::uint32_t{3});
  put(plain, std::int64_t{1});
  put(plain, Histogram::highest);
  put(plain, std::bit_cast<std::uint64_t>(1.0));
  plain += payload;

  uLongf size = compressBound(static_cast<uLong>(plain.size()));
  std::string packed(size, '\0');
  // compress2 fails only when its buffer is too small; ours is the bound.
  (void)compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                  reinterpret_cast<const Bytef*>(plain.data()), static_cast<uLong>(plain.size()),
                  Z_DEFAULT_COMPRESSION);
  packed.resize(size);
  std::string out;
  put(out, cookie_compressed);
  put(out, static_cast<std::uint32_t>(packed.size()));
  out += packed;
  return to_base64(out);
}

Result<Histogram> decode_hdr(std::string_view base64) {
  DSBENCH_TRY(const std::string packed, from_base64(base64));
  if (packed.size() < 8 || get(packed, 0, 4) != cookie_compressed) {
    return fail(ErrorKind::usage,
                "cannot read a histogram: a compressed HdrHistogram V2 was expected (cookie 0x{:08x}), "
                "found {}",
                cookie_compressed,
                packed.size() < 4 ? fmt::format("{} bytes", packed.size())
                                  : fmt::format("cookie 0x{:08x}", get(packed, 0, 4)));
  }
  const std::uint64_t packed_bytes = get(packed, 4, 4);
  if (packed_bytes > packed.size() - 8) {
    return fail(ErrorKind::usage, "cannot read a histogram: it says {} bytes and has {}", packed_bytes,
                packed.size() - 8);
  }
  std::string plain(most_plain_bytes, '\0');
  uLongf size = static_cast<uLongf>(plain.size());
  if (uncompress(reinterpret_cast<Bytef*>(plain.data()), &size,
                 reinterpret_cast<const Bytef*>(packed.data() + 8),
                 static_cast<uLong>(packed_bytes)) != Z_OK) {
    return fail(ErrorKind::usage,
                "cannot read a histogram: its zlib stream is damaged or longer than {} bytes",
                most_plain_bytes);
  }
  plain.resize(size);
  if (plain.size() < header_bytes || get(plain, 0, 4) != cookie_plain) {
    return fail(ErrorKind::usage, "cannot read a histogram: the V2 header is missing");
  }
  const std::uint64_t payload_bytes = get(plain, 4, 4), offset = get(plain, 8, 4), digits = get(plain, 12, 4),
                      lowest = get(plain, 16, 8);
  if (offset != 0 || digits != 3 || lowest != 1) {
    return fail(ErrorKind::usage,
                "cannot read a histogram: found {} significant digits, lowest value {}, offset {}; accepted "
                "are 3, 1 and 0",
                digits, lowest, offset);
  }
  if (payload_bytes > plain.size() - header_bytes) {
    return fail(ErrorKind::usage, "cannot read a histogram: it says {} bytes of counters and has {}",
                payload_bytes, plain.size() - header_bytes);
  }
  const std::string_view payload{plain.data() + header_bytes, static_cast<std::size_t>(payload_bytes)};
  Histogram histogram;
  std::size_t at = 0;
  std::int64_t index = 0;
  while (at < payload.size()) {
    std::int64_t n = 0;
    if (!get_zigzag(payload, at, n)) {
      return fail(ErrorKind::usage, "cannot read a histogram: it ends in the middle of a counter");
    }
    if (n < 0) {
      if (n < -std::int64_t{Histogram::counter_count})
        index = Histogram::counter_count;
      else
        index -= n;
      continue;
    }
    if (n > 0) {
      if (index >= Histogram::counter_count ||
          Histogram::lowest_at(static_cast<int>(index)).count() > Histogram::highest) {
        return fail(ErrorKind::usage, "cannot read a histogram: it has counts beyond 1 h");
      }
      if (n > std::int64_t{1} << 40) {
        return fail(ErrorKind::usage, "cannot read a histogram: a count of {} at one value is not believable",
                    n);
      }
      histogram.record_counter(static_cast<int>(index), n);
    }
    ++index;
  }
  return histogram;
}

}  // namespace dsbench::results
