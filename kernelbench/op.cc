#include "kernelbench/op.h"

#include <algorithm>
#include <array>

#include "kernelbench/ops/ops.h"

namespace dsbench::kernelbench {

std::span<const Op* const> all_ops() {
  static const std::array ops{
      &gemm_op(),          &int8_gemm_op(),   &fp8_gemm_op(),      &moe_grouped_gemm_op(), &mla_decode_op(),
      &mla_prefill_op(),   &mla_absorb_op(),  &moe_gate_op(),      &moe_align_op(),        &moe_permute_op(),
      &moe_unpermute_op(), &swiglu_op(),      &swiglu_quant_op(),  &group_quant_op(),      &row_quant_op(),
      &rmsnorm_op(),       &add_rmsnorm_op(), &rope_kv_write_op(), &dsa_indexer_op(),      &dsa_topk_op(),
      &sparse_mla_op(),    &csa_decode_op(),  &kv_compress_op(),   &mhc_pre_op(),          &mhc_post_op()};
  return ops;
}

const Op* find_op(std::string_view name) {
  const std::span<const Op* const> ops = all_ops();
  const auto at = std::ranges::find_if(ops, [name](const Op* op) { return op->name() == name; });
  return at == ops.end() ? nullptr : *at;
}

}  // namespace dsbench::kernelbench
