#include "kernelbench/op.h"

#include <algorithm>
#include <array>

#include "kernelbench/ops/ops.h"

namespace dsbench::kernelbench {

std::span<const Op* const> all_ops() {
  static const std::array ops{&gemm_op(),     &int8_gemm_op(), &fp8_gemm_op(),   &mla_decode_op(),
                              &moe_gate_op(), &rmsnorm_op(),   &add_rmsnorm_op()};
  return ops;
}

const Op* find_op(std::string_view name) {
  const std::span<const Op* const> ops = all_ops();
  const auto at = std::ranges::find_if(ops, [name](const Op* op) { return op->name() == name; });
  return at == ops.end() ? nullptr : *at;
}

}  // namespace dsbench::kernelbench
