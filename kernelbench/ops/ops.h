#pragma once

#include <utility>
#include <vector>

#include "kernelbench/op.h"

// What the ops share, and the list that op.cc makes of them.
namespace dsbench::kernelbench {

// The part of an op that is a table.
class OpBase : public Op {
 public:
  struct Sheet {
    std::string_view name;
    std::string_view help;
    std::vector<ParamSpec> params;
    std::vector<WordSpec> words = {};
    std::vector<std::string_view> dtypes;
  };
  explicit OpBase(Sheet sheet) : sheet_{std::move(sheet)} {}

  [[nodiscard]] std::string_view name() const final { return sheet_.name; }
  [[nodiscard]] std::string_view help() const final { return sheet_.help; }
  [[nodiscard]] std::span<const ParamSpec> params() const final { return sheet_.params; }
  [[nodiscard]] std::span<const WordSpec> words() const final { return sheet_.words; }
  [[nodiscard]] std::span<const std::string_view> dtypes() const final { return sheet_.dtypes; }
  [[nodiscard]] Result<void> validate(const Problem&) const override { return {}; }

 private:
  Sheet sheet_;
};

// A param that must be given.
[[nodiscard]] inline ParamSpec needed(std::string_view name, std::string_view help, std::int64_t least = 1) {
  return {.name = name, .fallback = 0, .required = true, .least = least, .help = help};
}
// One that has a default.
[[nodiscard]] inline ParamSpec preset(std::string_view name, std::int64_t fallback, std::string_view help,
                                      std::int64_t least = 1) {
  return {.name = name, .fallback = fallback, .required = false, .least = least, .help = help};
}

// A verdict to which complaints may be added.
[[nodiscard]] inline CheckResult no_complaint() {
  CheckResult result;
  result.passed = true;
  return result;
}

// How many rows a check may compute of `rows` that cost `flops` each.
[[nodiscard]] inline std::int64_t affordable_rows(std::int64_t rows, double flops, double budget) {
  if (flops <= 0 || static_cast<double>(rows) * flops <= budget) return rows;
  return static_cast<std::int64_t>(budget / flops);
}

[[nodiscard]] const Op& gemm_op();
[[nodiscard]] const Op& int8_gemm_op();
[[nodiscard]] const Op& fp8_gemm_op();
[[nodiscard]] const Op& moe_grouped_gemm_op();
[[nodiscard]] const Op& mla_decode_op();
[[nodiscard]] const Op& mla_prefill_op();
[[nodiscard]] const Op& mla_absorb_op();
[[nodiscard]] const Op& moe_gate_op();
[[nodiscard]] const Op& moe_align_op();
[[nodiscard]] const Op& moe_permute_op();
[[nodiscard]] const Op& moe_unpermute_op();
[[nodiscard]] const Op& swiglu_op();
[[nodiscard]] const Op& swiglu_quant_op();
[[nodiscard]] const Op& group_quant_op();
[[nodiscard]] const Op& row_quant_op();
[[nodiscard]] const Op& rmsnorm_op();
[[nodiscard]] const Op& add_rmsnorm_op();
[[nodiscard]] const Op& rope_kv_write_op();
[[nodiscard]] const Op& dsa_indexer_op();
[[nodiscard]] const Op& dsa_topk_op();
[[nodiscard]] const Op& sparse_mla_op();
[[nodiscard]] const Op& csa_decode_op();
[[nodiscard]] const Op& kv_compress_op();
[[nodiscard]] const Op& mhc_pre_op();
[[nodiscard]] const Op& mhc_post_op();

}  // namespace dsbench::kernelbench
