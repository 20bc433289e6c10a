#pragma once

#include <cstdint>
#include <string_view>

#include "kernelbench/problem.h"
#include "kernelbench/tensor.h"

namespace dsbench::kernelbench {

// Numbers by position: element i of a stream depends on the stream and i alone, so that threads can fill any
// part. SplitMix64's finaliser over a counter; as fast as memory for the small types.
class FillStream {
 public:
  FillStream(const Problem& problem, std::string_view name);
  // 64 random bits.
  [[nodiscard]] std::uint64_t bits(std::uint64_t i) const {
    std::uint64_t z = base_ + i * 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
  }
  // Uniform on [0, 1).
  [[nodiscard]] double uniform(std::uint64_t i) const {
    return static_cast<double>(bits(i) >> 11) * 0x1.0p-53;
  }
  // Uniform on {0, …, n−1}; biased by less than n/2^32.
  [[nodiscard]] std::int64_t below(std::uint64_t i, std::int64_t n) const {
    return static_cast<std::int64_t>((bits(i) >> 32) * static_cast<std::uint64_t>(n) >> 32);
  }

 private:
  std::uint64_t base_;
};

// Uniform on [low, high], in steps of 2^-15 of half the width; f32, bf16, f64.
void fill_uniform(const Problem& problem, HostTensor& tensor, double low = -1, double high = 1);

// x uniform on [−1, 1], quantised: every `group` values along a row of `row` share a scale amax/448 (at least
// 1e-4/448), and so do `rows_a_scale` rows of a matrix (of `rows_a_matrix` rows; 0: all are one).
// scale: [matrices, ⌈rows_a_matrix/rows_a_scale⌉, row/group], f32.
void fill_e4m3(const Problem& problem, HostTensor& values, HostTensor& scale, std::int64_t row,
               std::int64_t rows_a_scale, std::int64_t rows_a_matrix = 0);

// x uniform on [−1, 1], one scale amax/127 a row. scale: [rows], f32.
void fill_int8(const Problem& problem, HostTensor& values, HostTensor& scale, std::int64_t row);

inline constexpr std::int64_t kGroup = 128;  // of an e4m3 scale

}  // namespace dsbench::kernelbench
