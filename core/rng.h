#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace dsbench {

// One run seed, many named streams: changing what one stream is used for leaves the others alone. `index`
// numbers independent sub-streams of one name (request number, layer number).
//
// xoshiro256** (Blackman and Vigna, 2018), seeded through SplitMix64. We use no <random> distribution: their
// algorithms differ between standard libraries, so one seed would give different schedules on different
// machines.
class Rng {
 public:
  Rng(std::uint64_t seed, std::string_view stream, std::uint64_t index = 0);

  [[nodiscard]] std::uint64_t next();
  // Uniform on [0, 1), 53 bits.
  [[nodiscard]] double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  // Uniform on (0, 1), for inverse CDFs that are infinite at an end.
  [[nodiscard]] double open_uniform() { return (static_cast<double>(next() >> 12) + 0.5) * 0x1.0p-52; }
  // Uniform on {0, …, n-1}; n > 0. Unbiased (Lemire's method).
  [[nodiscard]] std::uint64_t below(std::uint64_t n);
  // Standard normal by the inverse CDF (Acklam's rational approximation, relative error 1.15e-9).
  [[nodiscard]] double normal();
  // Exponential with mean 1 by the inverse CDF.
  [[nodiscard]] double exponential();

 private:
  std::array<std::uint64_t, 4> s_{};
};

// A 64-bit hash of (seed, stream, index): what seeds a stream, and what makes a seed for something outside (a
// request body).
[[nodiscard]] std::uint64_t derive_seed(std::uint64_t seed, std::string_view stream, std::uint64_t index = 0);

// The inverse of the standard normal CDF; p in (0, 1).
[[nodiscard]] double inverse_normal_cdf(double p);

}  // namespace dsbench
