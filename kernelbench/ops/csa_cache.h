#pragma once

#include <cstdint>
#include <string>

#include "kernelbench/problem.h"
#include "kernelbench/tensor.h"

namespace dsbench::kernelbench {

// DeepSeek-V4's cache: pages of entries of 512 numbers, of which the last 64 are rotary. With fp8 an entry is
// 584 bytes, in FlashMLA's MODEL1 form: 448 e4m3 codes, then the rotary numbers in bf16; behind the entries
// of a page 8 bytes for each, the scales of 64 codes each as powers of two (ue8m0: 2^(byte − 127)) and one
// byte that nobody reads. A page ends at a multiple of 576 bytes.
struct CsaPages {
  static constexpr std::int64_t kWidth = 512;
  static constexpr std::int64_t kRope = 64;
  static constexpr std::int64_t kCodes = kWidth - kRope;
  static constexpr std::int64_t kTile = 64;  // codes of a scale
  static constexpr std::int64_t kDataBytes = kCodes + 2 * kRope;
  static constexpr std::int64_t kScaleBytes = 8;

  // `entries` of a page.
  CsaPages(const Problem& p, std::int64_t entries);

  // Elements of the cache's type.
  [[nodiscard]] std::int64_t page_elements() const;
  // Pages with numbers on [−1, 1].
  [[nodiscard]] HostTensor make(const Problem& p, std::string name, std::int64_t pages) const;
  void poison_entry(HostTensor& cache, std::int64_t row) const;
  // Entry number `row` as the 512 numbers that it is worth: with fp8 code · scale in f32, rounded to bf16.
  void decode(const HostTensor& cache, std::int64_t row, double* to) const;

  std::int64_t entries;
  bool fp8;
  Dtype number;  // of queries and outputs
  Dtype cache;
  double entry_bytes;  // without the padding of its page
};

}  // namespace dsbench::kernelbench
