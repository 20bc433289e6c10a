#pragma once

#include <cstdint>

#include "kernelbench/op.h"
#include "kernelbench/problem.h"
#include "kernelbench/tensor.h"

namespace dsbench::kernelbench {

// An entry of the latent cache of a problem with kv_lora and rope. With fp8 it is bytes: e4m3 codes of the
// latent, an f32 scale for every 128 of them, the rotary numbers in bf16 (what an engine's FP8 cache has);
// all else is bf16 then.
struct LatentEntry {
  explicit LatentEntry(const Problem& p);
  // What fp8 asks of the widths.
  [[nodiscard]] static Result<void> validate(const Problem& p);

  // Entries with numbers on [−1, 1].
  void fill(const Problem& p, HostTensor& cache) const;
  // Entry number `slot` as the kv_lora + rope numbers that it is worth: with fp8 code · scale in f32, rounded
  // to bf16, which is what tensor cores are given.
  void decode(const HostTensor& cache, std::int64_t slot, double* to) const;

  // Absorbed attention over such entries, a row for each head of each query. Bytes of a row: query, output,
  // lse.
  [[nodiscard]] double row_bytes() const;
  // Rows that see `scores` entries in all, of `entries` that are read once each, by way of so many indices.
  [[nodiscard]] Work work(double rows, double scores, double entries, double indices) const;
  // o and lse.
  void add_outputs(Operands& operands, std::int64_t queries, std::int64_t heads) const;

  bool fp8;
  std::int64_t latent;
  std::int64_t rope;
  Dtype number;  // of queries and outputs
  Dtype cache;
  std::string unit;        // whose peak counts
  std::int64_t scales_at;  // bytes; fp8
  std::int64_t rope_at;
  std::int64_t elements;  // of the cache's type
  double bytes;
};

}  // namespace dsbench::kernelbench
