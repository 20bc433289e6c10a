#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace dsbench::loadgen {

// How long synthetic text must be to have so many tokens by the server's own count. As it is: a byte is a
// token.
struct TokenScale {
  double bytes_per_token = 1;
  double request_overhead = 0;  // tokens of every request that are not of its text, one message included
  double message_overhead = 0;  // of every further message

  // A text has a byte at least, whatever its frame takes.
  [[nodiscard]] std::int64_t bytes(std::int64_t tokens, double overhead) const {
    if (tokens <= 0) return 0;
    if (bytes_per_token == 1 && overhead == 0) return tokens;
    return std::max<std::int64_t>(1,
                                  std::llround((static_cast<double>(tokens) - overhead) * bytes_per_token));
  }
  friend bool operator==(const TokenScale&, const TokenScale&) = default;
};

}  // namespace dsbench::loadgen
