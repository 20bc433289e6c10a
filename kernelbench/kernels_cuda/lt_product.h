#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/result.h"

// A product by cuBLASLt: c[m, n] = a[m, k] · w[n, k]ᵀ, once or in a strided batch.
namespace dsbench::kernelbench::cuda {

enum class LtKind : int {
  bf16,      // bf16 in and out
  fp8_flat,  // e4m3 with one scale for each operand (1), bf16 out: what the FP8 peak is measured with
  fp8_block  // e4m3 with scales of 1×128 for a and 128×128 for w
};

struct LtShape {
  LtKind kind = LtKind::bf16;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::int64_t batch = 1;
  std::int64_t a_row = 0;    // elements from row to row; 0: k
  std::int64_t c_row = 0;    // 0: n
  std::int64_t a_batch = 0;  // elements from one product of the batch to the next
  std::int64_t w_batch = 0;
  std::int64_t c_batch = 0;
};

struct LtOperands {
  const void* a = nullptr;
  const float* a_scale = nullptr;  // block scales as cuBLASLt wants them: lt_a_scale(), lt_w_scale()
  const void* w = nullptr;
  const float* w_scale = nullptr;
  void* c = nullptr;
};

inline constexpr std::size_t lt_workspace_bytes = std::size_t{32}
                                                  << 20;  // what its heuristics want on Hopper

// Block scales in cuBLASLt's order. a: k-blocks outside, rows inside. w: n-blocks outside, k-blocks inside
// and padded to four.
[[nodiscard]] std::int64_t lt_a_scale_index(std::int64_t rows, std::int64_t row, std::int64_t k_block);
[[nodiscard]] std::int64_t lt_w_scale_index(std::int64_t k_blocks, std::int64_t n_block,
                                            std::int64_t k_block);
[[nodiscard]] std::int64_t lt_w_scale_count(std::int64_t k_blocks, std::int64_t n_blocks);

class LtProduct {
 public:
  // Asks for up to eight algorithms and keeps the fastest of them, timed on `stream` (an untimed step: it
  // synchronises).
  [[nodiscard]] static Result<std::unique_ptr<LtProduct>> make(const LtShape& shape,
                                                               const LtOperands& operands, void* workspace,
                                                               void* stream);
  LtProduct(const LtProduct&) = delete;
  LtProduct& operator=(const LtProduct&) = delete;
  ~LtProduct();

  // Enqueues; 0 or cuBLAS's error number.
  [[nodiscard]] int run(void* stream) const;

 private:
  LtProduct() = default;
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace dsbench::kernelbench::cuda
