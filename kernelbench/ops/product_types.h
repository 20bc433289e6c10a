#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernelbench/ops/compare.h"
#include "kernelbench/ops/product.h"
#include "kernelbench/problem.h"

// The operands of products, by the word of their dtype (the table of docs/kernels.md).
namespace dsbench::kernelbench {

struct ProductTypes {
  Dtype act = Dtype::f32;
  Dtype w = Dtype::f32;
  Dtype out = Dtype::f32;
  std::string unit;
  bool group_scales = false;  // fp8
  bool row_scales = false;    // int8
};
[[nodiscard]] ProductTypes product_types(std::string_view dtype);

// Bytes with scales.
[[nodiscard]] double act_bytes(const ProductTypes& types, double rows, double k);
[[nodiscard]] double weight_bytes(const ProductTypes& types, double n, double k);

// fp8 needs k in whole groups; int8 sums must fit into 32 bits.
[[nodiscard]] Result<void> check_product_shape(const Problem& problem, std::int64_t k);

// Fills x[…, k] and, where the type has them, its scales behind it.
void add_activations(const Problem& problem, std::string name, std::vector<std::int64_t> shape,
                     Operands& operands);
// The same for a weight [n, k] or [experts, n, k].
void add_weights(const Problem& problem, std::string name, std::vector<std::int64_t> shape,
                 Operands& operands);

// Views of what those two made, at operand `at`.
[[nodiscard]] MatrixView activation_view(std::span<const HostTensor> in, std::size_t at, std::int64_t rows,
                                         std::int64_t k, std::int64_t first_row = 0);
[[nodiscard]] MatrixView weight_view(std::span<const HostTensor> in, std::size_t at, std::int64_t n,
                                     std::int64_t k, std::int64_t expert = 0);

[[nodiscard]] Gates product_gates(std::string_view dtype, std::int64_t k);

}  // namespace dsbench::kernelbench
