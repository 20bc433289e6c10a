// Every CUDA kernel's own source, run on the host over the emulation, against the float64 oracles of the ops.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "engine/kernels/cuda/emulation/simt_host.h"
#include "kernelbench/kernels_cuda/adapters.h"
#include "kernelbench/op.h"
#include "kernelbench/suite.h"
#include "tests/unit/cuda_emulated_run.h"

namespace dsbench::kernelbench {
namespace {

namespace simt = engine::kernels::cuda::simt;

bool same_bits(const std::vector<HostTensor>& a, const std::vector<HostTensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(a[i].data(), b[i].data(), static_cast<std::size_t>(a[i].bytes())) != 0) return false;
  }
  return true;
}

enum class Orders : int { forward, backward, both };

// Runs every kernel that takes the problem, with warps in one order or in both, and checks what came out.
void check_all(const Problem& problem, Orders orders) {
  SCOPED_TRACE(name_of(problem));
  const std::string json = to_json(problem);
  const Op* op = find_op(problem.op);
  ASSERT_NE(op, nullptr);
  const Operands operands = op->make(problem);
  int ran = 0;
  for (const dsb_kernel& kernel : cuda::adapters()) {
    if (problem.op != kernel.op || kernel.supports(json.c_str(), 90) == 0) continue;
    ++ran;
    simt::set_order(orders == Orders::backward ? simt::Order::backward : simt::Order::forward);
    const std::vector<HostTensor> out = run_emulated(kernel, json, operands);
    const CheckResult result = op->check(problem, operands.in, out, 1e12);
    EXPECT_TRUE(result.passed) << kernel.name << ": " << result.what;
    EXPECT_EQ(result.rows_checked, result.rows);
    if (orders != Orders::both) continue;
    simt::set_order(simt::Order::backward);
    EXPECT_TRUE(same_bits(out, run_emulated(kernel, json, operands)))
        << kernel.name << " depends on the order of its warps";
  }
  EXPECT_GT(ran, 0) << "no kernel takes this problem";
}

void check_all(std::string_view json) {
  const Result<Problem> problem = problem_from_json(json);
  ASSERT_TRUE(problem) << problem.error().message;
  check_all(*problem, Orders::both);
}

// The lists that a GPU run is checked with first. Tests run side by side, so each takes a share of a list.
constexpr int shares = 6;
class EmulatedList : public testing::TestWithParam<std::tuple<Suite, int>> {};

TEST_P(EmulatedList, AgreesWithTheOracle) {
  const auto [suite, share] = GetParam();
  const Result<std::vector<Problem>> list = suite_problems(suite, Backend::cuda);
  ASSERT_TRUE(list) << list.error().message;
  for (std::size_t i = static_cast<std::size_t>(share); i < list->size(); i += shares)
    check_all((*list)[i], share % 2 == 0 ? Orders::forward : Orders::backward);
}

INSTANTIATE_TEST_SUITE_P(Correctness, EmulatedList,
                         testing::Combine(testing::Values(Suite::correctness), testing::Range(0, shares)));
INSTANTIATE_TEST_SUITE_P(Corner, EmulatedList,
                         testing::Combine(testing::Values(Suite::corner), testing::Range(0, shares)));

class EmulatedKernel : public testing::TestWithParam<const char*> {};

TEST_P(EmulatedKernel, AgreesWithTheOracle) {
  check_all(GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Rows, EmulatedKernel,
    testing::Values(
        R"({"op": "rmsnorm", "dtype": "bf16", "params": {"tokens": 3, "hidden": 7168}})",
        R"({"op": "kv_compress", "dtype": "bf16", "params": {"tokens": 31}, "adversarial": true})",
        R"({"op": "kv_compress", "dtype": "f32", "params": {"tokens": 300, "ratio": 128, "dim": 384}, "words": {"overlap": "no"}})",
        R"({"op": "rmsnorm", "dtype": "f32", "params": {"tokens": 40, "hidden": 264}})",
        R"({"op": "add_rmsnorm", "dtype": "bf16", "params": {"tokens": 2, "hidden": 2048}})",
        R"({"op": "add_rmsnorm", "dtype": "f32", "params": {"tokens": 20, "hidden": 512}})",
        R"({"op": "rope_kv_write", "dtype": "bf16", "params": {"tokens": 5, "heads": 3, "slots": 9}})",
        R"({"op": "rope_kv_write", "dtype": "bf16", "params": {"tokens": 5, "heads": 3, "slots": 9}, "words": {"pairing": "half"}})",
        R"({"op": "rope_kv_write", "dtype": "f32", "params": {"tokens": 5, "heads": 3, "slots": 9}})",
        R"({"op": "rope_kv_write", "dtype": "f32", "params": {"tokens": 5, "heads": 3, "slots": 9}, "words": {"pairing": "half"}})",
        R"({"op": "swiglu", "dtype": "bf16", "params": {"rows": 3, "inter": 1408}})",
        R"({"op": "swiglu", "dtype": "f32", "params": {"rows": 3, "inter": 20}})",
        R"({"op": "swiglu_quant", "dtype": "fp8", "params": {"rows": 3, "inter": 2048}})",
        R"({"op": "group_quant", "dtype": "fp8", "params": {"tokens": 5, "hidden": 7168}})"));

INSTANTIATE_TEST_SUITE_P(
    Moe, EmulatedKernel,
    testing::Values(
        R"({"op": "moe_gate", "dtype": "f32", "params": {"tokens": 33, "experts": 256, "top_k": 8, "groups": 8, "kept_groups": 4, "scale_milli": 2500}})",
        R"({"op": "moe_gate", "dtype": "f32", "params": {"tokens": 9, "experts": 64, "top_k": 6}, "words": {"scoring": "softmax", "renormalise": "no", "bias": "no"}})",
        R"({"op": "moe_gate", "dtype": "f32", "params": {"tokens": 9, "experts": 160, "top_k": 6, "groups": 8, "kept_groups": 3}, "words": {"scoring": "softmax", "renormalise": "no", "bias": "no"}})",
        R"({"op": "moe_gate", "dtype": "f32", "params": {"tokens": 9, "experts": 384, "top_k": 6, "scale_milli": 2500}, "words": {"scoring": "sqrt_softplus"}})",
        R"({"op": "moe_align", "dtype": "i32", "params": {"tokens": 200, "experts": 33, "top_k": 8}})",
        R"({"op": "moe_align", "dtype": "i32", "params": {"tokens": 1, "experts": 256, "top_k": 8}, "words": {"routing": "one"}})",
        R"({"op": "moe_align", "dtype": "i32", "params": {"tokens": 300, "experts": 256, "top_k": 8}, "words": {"routing": "zipf"}})",
        R"({"op": "moe_permute", "dtype": "fp8", "params": {"tokens": 7, "hidden": 384, "top_k": 3, "experts": 8}})",
        R"({"op": "moe_permute", "dtype": "bf16", "params": {"tokens": 7, "hidden": 72, "top_k": 8, "experts": 16}})",
        R"({"op": "moe_unpermute", "dtype": "bf16", "params": {"tokens": 7, "hidden": 264, "top_k": 8, "experts": 16}})",
        R"({"op": "moe_unpermute", "dtype": "f32", "params": {"tokens": 7, "hidden": 36, "top_k": 2, "experts": 16}})"));

INSTANTIATE_TEST_SUITE_P(
    Products, EmulatedKernel,
    testing::Values(
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 1, "n": 256, "k": 2048}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 17, "n": 200, "k": 256}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 64, "n": 129, "k": 1152}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 8, "n": 130, "k": 3584}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 13, "n": 1032, "k": 128}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 90, "n": 131, "k": 1536}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 130, "n": 136, "k": 384}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 600, "n": 328, "k": 128}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 1100, "n": 136, "k": 128}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 256, "n": 520, "k": 768}})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 2, "tokens": 2200, "top_k": 1, "n": 72, "k": 128}, "words": {"routing": "zipf"}})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 3, "tokens": 600, "top_k": 1, "n": 264, "k": 128}})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 3, "tokens": 500, "top_k": 1, "n": 136, "k": 128, "max_m": 256}, "words": {"layout": "masked"}})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 12, "tokens": 3, "top_k": 2, "n": 200, "k": 256}, "adversarial": true})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 5, "tokens": 30, "top_k": 2, "n": 136, "k": 384, "max_m": 24}, "words": {"layout": "masked", "routing": "zipf"}, "adversarial": true})",
        R"({"op": "gemm", "dtype": "bf16", "params": {"m": 3, "n": 130, "k": 1032}})",
        R"({"op": "gemm", "dtype": "bf16", "params": {"m": 50, "n": 64, "k": 96}})",
        R"({"op": "gemm", "dtype": "bf16", "params": {"m": 200, "n": 131, "k": 192}})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 9, "tokens": 20, "top_k": 2, "n": 256, "k": 256}})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 4, "tokens": 100, "top_k": 2, "n": 160, "k": 128, "max_m": 208}, "words": {"layout": "masked", "routing": "zipf"}})",
        R"({"op": "moe_grouped_gemm", "dtype": "bf16", "params": {"experts": 3, "tokens": 70, "top_k": 1, "n": 72, "k": 64}, "words": {"routing": "one"}})",
        R"({"op": "moe_grouped_gemm", "dtype": "bf16", "params": {"experts": 5, "tokens": 7, "top_k": 2, "n": 136, "k": 200, "max_m": 16}, "words": {"layout": "masked"}})",
        R"({"op": "mla_absorb", "dtype": "bf16", "params": {"tokens": 5, "heads": 3, "in": 128, "out": 512}})",
        R"({"op": "mla_absorb", "dtype": "bf16", "params": {"tokens": 70, "heads": 2, "in": 512, "out": 128}})"));

INSTANTIATE_TEST_SUITE_P(
    Attention, EmulatedKernel,
    testing::Values(
        R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 3, "context": 200, "heads": 16, "queries": 1}})",
        R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 4, "context": 130, "heads": 16, "queries": 2}, "adversarial": true})",
        R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 2, "context": 100, "heads": 128, "queries": 1}, "words": {"lengths": "normal"}})",
        R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 5, "context": 90, "heads": 20, "queries": 4}, "words": {"lengths": "list"}, "list": [1, 0, 3, 129, 64]})",
        R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 1, "context": 700, "heads": 5, "queries": 1}})",
        R"({"op": "mla_decode", "dtype": "fp8", "params": {"batch": 2, "context": 900, "heads": 16, "queries": 1}})",
        R"({"op": "mla_decode", "dtype": "fp8", "params": {"batch": 3, "context": 500, "heads": 12, "queries": 2}})",
        R"({"op": "mla_decode", "dtype": "fp8", "params": {"batch": 4, "context": 200, "heads": 64, "queries": 1}, "words": {"lengths": "list"}, "list": [1, 0, 200, 129], "adversarial": true})",
        R"({"op": "mla_decode", "dtype": "fp8", "params": {"batch": 3, "context": 700, "heads": 40, "queries": 2}, "words": {"lengths": "list"}, "list": [65, 700, 400], "adversarial": true})",
        R"({"op": "mla_prefill", "dtype": "bf16", "params": {"queries": 130, "context": 130, "heads": 2}})",
        R"({"op": "mla_prefill", "dtype": "bf16", "params": {"queries": 5, "context": 200, "heads": 3}})",
        R"({"op": "mla_prefill", "dtype": "bf16", "params": {"queries": 150, "context": 700, "heads": 2}})",
        R"({"op": "mla_prefill", "dtype": "bf16", "params": {"queries": 300, "context": 300, "heads": 1}})",
        R"({"op": "dsa_indexer", "dtype": "fp8", "params": {"batch": 3, "context": 300}})",
        R"({"op": "dsa_indexer", "dtype": "fp8", "params": {"batch": 2, "context": 1500}, "words": {"lengths": "normal"}})",
        R"({"op": "dsa_indexer", "dtype": "fp8", "params": {"batch": 1, "context": 12000}})",
        R"({"op": "dsa_indexer", "dtype": "fp8", "params": {"batch": 60, "context": 20}})",
        R"({"op": "dsa_indexer", "dtype": "fp8", "params": {"batch": 6, "context": 700}, "words": {"lengths": "list"}, "list": [0, 1, 700, 0, 129, 0]})",
        R"({"op": "dsa_topk", "dtype": "f32", "params": {"rows": 3, "context": 3000, "top_k": 512}})",
        R"({"op": "dsa_topk", "dtype": "f32", "params": {"rows": 4, "context": 700, "top_k": 512}, "words": {"lengths": "normal"}})",
        R"({"op": "sparse_mla", "dtype": "bf16", "params": {"batch": 2, "context": 300, "heads": 16, "top_k": 100}})",
        R"({"op": "sparse_mla", "dtype": "bf16", "params": {"batch": 1, "context": 80, "heads": 64, "top_k": 128}, "adversarial": true})",
        R"({"op": "sparse_mla", "dtype": "fp8", "params": {"batch": 2, "context": 700, "heads": 16, "top_k": 500}})",
        R"({"op": "sparse_mla", "dtype": "fp8", "params": {"batch": 2, "context": 300, "heads": 64, "top_k": 200}, "adversarial": true})",
        R"({"op": "csa_decode", "dtype": "bf16", "params": {"batch": 2, "context": 600, "heads": 16, "top_k": 100}})",
        R"({"op": "csa_decode", "dtype": "bf16", "params": {"batch": 3, "context": 700, "heads": 40, "top_k": 0, "ratio": 8}, "words": {"lengths": "normal", "turn_back": "yes"}})",
        R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 2, "context": 3000, "heads": 16, "top_k": 600, "page": 16}})",
        R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 3, "context": 900, "heads": 32, "top_k": 64}, "words": {"turn_back": "yes"}})",
        R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 4, "context": 530, "heads": 64, "top_k": 100, "page": 2}, "words": {"lengths": "list", "turn_back": "yes"}, "list": [0, 3, 127, 530]})",
        R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 5, "context": 400, "heads": 128, "top_k": 0, "ratio": 7, "window": 50}, "adversarial": true})"));

}  // namespace
}  // namespace dsbench::kernelbench
