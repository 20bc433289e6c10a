// Attention whose scores grow from page to page, so that what was summed is scaled again and again. In the
// lists no score is eight powers of two above the first ones.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "engine/kernels/cuda/emulation/simt_host.h"
#include "kernelbench/kernels_cuda/adapters.h"
#include "kernelbench/op.h"
#include "kernelbench/suite.h"
#include "tests/unit/cuda_emulated_run.h"

namespace dsbench::kernelbench {
namespace {

namespace simt = engine::kernels::cuda::simt;

constexpr int latent = 512;
constexpr int width = latent + 64;
constexpr int page = 64;

// The first rotary number of a row of queries or of entries, which is no part of the values.
std::uint16_t& rotary(HostTensor& tensor, std::int64_t row, bool fp8) {
  auto* const bytes = tensor.as<std::uint8_t>();
  return *reinterpret_cast<std::uint16_t*>(bytes + (fp8 ? row * 656 + 528 : (row * width + latent) * 2));
}

// Of each page the scores are 8.3 powers of two larger than of the one before: 4 · 20 · 192^−0.5 · log2 e.
void let_scores_grow(Operands& operands, std::int64_t heads, std::int64_t entries, bool fp8) {
  for (std::int64_t head = 0; head < heads; ++head) rotary(operands.in[0], head, false) = simt::to_bf16(4);
  for (std::int64_t at = 0; at < entries; ++at) {
    const auto* const named = operands.in[2].as<std::int32_t>();  // pages of the request, or entries
    const std::int64_t row = operands.in.size() > 3 ? named[at / page] * page + at % page : named[at];
    rotary(operands.in[1], row, fp8) = simt::to_bf16(20.0f * static_cast<float>(at / page));
  }
}

class GrowingScores : public testing::TestWithParam<const char*> {};

TEST_P(GrowingScores, AgreeWithTheOracle) {
  const Result<Problem> problem = problem_from_json(GetParam());
  ASSERT_TRUE(problem) << problem.error().message;
  const std::string json = to_json(*problem);
  const Op* op = find_op(problem->op);
  ASSERT_NE(op, nullptr);
  Operands operands = op->make(*problem);
  const bool sparse = problem->op == "sparse_mla";
  let_scores_grow(operands, (*problem)["heads"], (*problem)[sparse ? "top_k" : "context"],
                  problem->dtype == "fp8");
  int ran = 0;
  for (const dsb_kernel& kernel : cuda::adapters()) {
    if (problem->op != kernel.op || kernel.supports(json.c_str(), 90) == 0) continue;
    ++ran;
    for (const simt::Order order : {simt::Order::forward, simt::Order::backward}) {
      simt::set_order(order);
      const CheckResult result = op->check(*problem, operands.in, run_emulated(kernel, json, operands), 1e12);
      EXPECT_TRUE(result.passed) << kernel.name << ": " << result.what;
    }
  }
  simt::set_order(simt::Order::forward);
  EXPECT_GT(ran, 0) << "no kernel takes this problem";
}

INSTANTIATE_TEST_SUITE_P(
    Attention, GrowingScores,
    testing::Values(
        R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 1, "context": 700, "heads": 66, "queries": 1}})",
        R"({"op": "mla_decode", "dtype": "fp8", "params": {"batch": 1, "context": 700, "heads": 16, "queries": 1}})",
        R"({"op": "sparse_mla", "dtype": "bf16", "params": {"batch": 1, "context": 900, "heads": 66, "top_k": 800}})",
        R"({"op": "sparse_mla", "dtype": "fp8", "params": {"batch": 1, "context": 900, "heads": 16, "top_k": 800}})"));

}  // namespace
}  // namespace dsbench::kernelbench
