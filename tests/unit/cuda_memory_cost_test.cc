// What the memory accesses of the CUDA kernels would cost, counted over the emulation: the counting itself,
// and a budget for every kernel.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kernels/cuda/emulation/access_log.h"
#include "engine/kernels/cuda/emulation/memory_cost.h"
#include "engine/kernels/cuda/swizzle.h"
#include "kernelbench/kernels_cuda/adapters.h"
#include "kernelbench/op.h"
#include "kernelbench/problem.h"
#include "tests/unit/cuda_emulated_run.h"

namespace dsbench::kernelbench {
namespace {

namespace cu = engine::kernels::cuda;
namespace simt = cu::simt;
using cu::LaneAccess;

// A warp's lanes, each at address(lane).
template <class Address>
std::vector<LaneAccess> lanes(const Address& address) {
  std::vector<LaneAccess> all;
  for (int lane = 0; lane < 32; ++lane)
    all.push_back({lane, static_cast<std::uintptr_t>(1024 + address(lane))});
  return all;
}

struct SharedCase {
  const char* what;
  int bytes;
  int (*address)(int lane);
  int turns;
  int least;
};

TEST(SharedCost, CountsTurnsByBanks) {
  const SharedCase cases[] = {
      {"neighbouring words", 4, [](int lane) { return lane * 4; }, 1, 1},
      {"one word for all", 4, [](int) { return 0; }, 1, 1},
      {"every other word", 4, [](int lane) { return lane * 8; }, 2, 1},
      {"a column of 32 words", 4, [](int lane) { return lane * 128; }, 32, 1},
      {"the same, padded by a word", 4, [](int lane) { return lane * 132; }, 1, 1},
      {"bytes of eight words", 1, [](int lane) { return lane; }, 1, 1},
      {"pairs of bytes that two lanes find in one word", 2, [](int lane) { return lane / 2 * 128; }, 16, 1},
      {"neighbouring pieces of 8 bytes", 8, [](int lane) { return lane * 8; }, 2, 2},
      {"pieces of 8 bytes, 16 apart", 8, [](int lane) { return lane * 16; }, 4, 2},
      {"neighbouring pieces of 16 bytes", 16, [](int lane) { return lane * 16; }, 4, 4},
      {"pieces of 16 bytes, 32 apart", 16, [](int lane) { return lane * 32; }, 8, 4},
      {"one piece of 16 bytes for all", 16, [](int) { return 0; }, 4, 4},
      {"a column of a tile of 128 bytes", 16, [](int lane) { return lane * 128; }, 32, 4},
      {"the same, swizzled", 16, [](int lane) { return cu::swizzled_offset(lane, 0, 8); }, 4, 4},
  };
  for (const SharedCase& c : cases) {
    const cu::SharedCost cost = cu::shared_cost(lanes(c.address), c.bytes);
    EXPECT_EQ(cost.turns, c.turns) << c.what;
    EXPECT_EQ(cost.least, c.least) << c.what;
  }
}

TEST(SharedCost, ChargesNothingForPartsOfAWarpThatTakeNoPart) {
  const std::vector<LaneAccess> few{{0, 0}, {9, 256}};
  EXPECT_EQ(cu::shared_cost(few, 16).least, 2);
  EXPECT_EQ(cu::shared_cost(few, 16).turns, 2);
  EXPECT_EQ(cu::shared_cost(few, 4).turns, 2) << "lane 0 and lane 9 want another row of the same bank";
}

TEST(GlobalCost, CountsSectorsAgainstTheLeast) {
  const auto cost = [](int bytes, int (*address)(int)) { return cu::global_cost(lanes(address), bytes); };
  EXPECT_EQ(cost(4, [](int lane) { return lane * 4; }).sectors, 4);
  EXPECT_EQ(cost(4, [](int lane) { return lane * 4; }).least, 4);
  EXPECT_EQ(cost(4, [](int) { return 0; }).sectors, 1);
  EXPECT_EQ(cost(4, [](int) { return 0; }).least, 1) << "a byte for several lanes counts once";
  EXPECT_EQ(cost(4, [](int lane) { return lane * 32; }).sectors, 32);
  EXPECT_EQ(cost(4, [](int lane) { return lane * 32; }).least, 4);
  EXPECT_EQ(cost(16, [](int lane) { return lane * 16 + 16; }).sectors, 17)
      << "the first and the last in half";
  EXPECT_EQ(cost(16, [](int lane) { return lane * 16 + 16; }).least, 16);
  EXPECT_EQ(cost(2, [](int lane) { return lane / 4 * 128 + lane % 4 * 2; }).sectors, 8);
  EXPECT_EQ(cost(2, [](int lane) { return lane / 4 * 128 + lane % 4 * 2; }).least, 2);
}

struct Watched {
  explicit Watched(cu::AccessLog& log) { simt::set_watcher(&log); }
  ~Watched() { simt::set_watcher(nullptr); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
};

TEST(AccessLog, PutsTheLanesOfAWarpTogetherAgain) {
  cu::AccessLog log;
  const auto touch = [&](int lane, std::uintptr_t site, std::uintptr_t address) {
    log.access({site, lane, address, 4, simt::Space::shared, simt::Touch::read});
  };
  // Each lane in turn: a loop of two over one site, where odd lanes leave after the first; then another site.
  for (int lane = 0; lane < 32; ++lane) {
    touch(lane, 1, static_cast<std::uintptr_t>(lane) * 4);
    if (lane % 2 == 0) touch(lane, 1, static_cast<std::uintptr_t>(lane) * 128);
    touch(lane, 2, 0);
  }
  EXPECT_TRUE(log.sites().empty()) << "the warp has not met";
  log.warp_met(0);
  ASSERT_EQ(log.sites().size(), 2u);
  const cu::Tally& loop = log.sites().begin()->second;
  EXPECT_EQ(loop.instructions, 2);
  EXPECT_EQ(loop.cost, 1 + 16);
  EXPECT_EQ(loop.least, 2);
  EXPECT_EQ(log.total(simt::Space::shared, simt::Touch::read).instructions, 3);
  EXPECT_EQ(log.total(simt::Space::shared, simt::Touch::write).instructions, 0);
  // After it met, the same lane's next access is another instruction.
  touch(0, 2, 0);
  log.warp_met(0);
  EXPECT_EQ(log.total(simt::Space::shared, simt::Touch::read).instructions, 4);
}

// A tile of 32 rows of 128 bytes, written by rows and read by columns, with the swizzle and without: what a
// wrong layout would look like in the budgets below.
template <bool kSwizzled>
void transpose_like() {
  unsigned char* const tile = simt::shared();
  const auto at = [&](int row, int chunk) {
    return tile + (kSwizzled ? cu::swizzled_offset(row, chunk, 8) : (row * 8 + chunk) * 16);
  };
  const int lane = simt::thread();
  for (int i = lane; i < 32 * 8; i += 32) simt::store16(at(i / 8, i % 8), {});
  simt::sync_warp();
  std::uint32_t r[4];
  for (int chunk = 0; chunk < 8; ++chunk) simt::load_matrix(r, at(lane, chunk));
}

TEST(AccessLog, SeesATileWithoutItsSwizzle) {
  for (const bool swizzled : {true, false}) {
    cu::AccessLog log;
    const Watched watched(log);
    cu::LaunchShape shape;
    shape.shared_bytes = 32 * 128;
    ASSERT_EQ(simt::run(shape, swizzled ? &transpose_like<true> : &transpose_like<false>), 0);
    const cu::Tally reads = log.total(simt::Space::shared, simt::Touch::read);
    EXPECT_EQ(reads.instructions, 8);
    EXPECT_EQ(reads.least, 8 * 4);
    EXPECT_EQ(reads.cost, swizzled ? 8 * 4 : 8 * 32);
    EXPECT_EQ(log.total(simt::Space::shared, simt::Touch::write).ratio(), 1.0);
    const std::string worst = log.worst(simt::Space::shared, 3);
    if (swizzled)
      EXPECT_EQ(worst, "");
    else
      EXPECT_THAT(
          worst, testing::StartsWith(
                     "  256 instead of 32 by 8 instructions (reads of 16 bytes): cuda_memory_cost_test.cc:"));
  }
}

// How many times the least a kernel's accesses may cost. Everything that is not said is 1: no bank conflict,
// no sector that was not needed.
struct Budget {
  double shared_reads = 1.0;
  double shared_writes = 1.0;
  double global_reads = 1.0;
  double global_writes = 1.0;
  const char* why = "";
};

struct Rule {
  std::string_view op;
  std::string_view kernel;
  std::string_view dtype;  // empty: any
  Budget budget;
};

// Each is what was counted, rounded up.
constexpr Rule rules[] = {
    {"moe_align",
     "counting_sort",
     "",
     {.shared_reads = 2.2, .shared_writes = 1.5, .why = "lanes add at the experts that pairs chose"}},
    {"dsa_topk",
     "radix_select",
     "",
     {.shared_reads = 1.15,
      .shared_writes = 1.2,
      .global_writes = 1.5,
      .why = "bins are the digits of scores; what passes is written where it falls"}},
    {"mhc_pre",
     "tokens_per_block",
     "",
     {.global_reads = 1.9,
      .global_writes = 1.1,
      .why = "f32 rows in halves of 32 bytes; L1 has the second half"}},
    {"fp8_gemm",
     "mma_slabs",
     "",
     {.global_reads = 1.3,
      .why = "scales of rows lie k/128 apart: a sector each, which L1 keeps for eight slabs"}},
    {"fp8_gemm",
     "wgmma_tma",
     "",
     {.global_reads = 4.0,
      .why = "the same scales, and nothing else: operands come by TMA, which is not counted"}},
    {"fp8_gemm", "wgmma_tall", "", {.global_reads = 2.6, .why = "the same scales, and nothing else"}},
    {"moe_grouped_gemm", "wgmma_tall", "fp8", {.global_reads = 1.7, .why = "scales, as in fp8_gemm"}},
    {"fp8_gemm", "wgmma_swapped", "", {.global_reads = 4.5, .why = "the same scales, and nothing else"}},
    {"moe_grouped_gemm", "mma_slabs", "fp8", {.global_reads = 1.2, .why = "scales, as in fp8_gemm"}},
    {"moe_grouped_gemm", "wgmma_tma", "fp8", {.global_reads = 2.0, .why = "scales, as in fp8_gemm"}},
    {"moe_grouped_gemm", "wgmma_swapped", "fp8", {.global_reads = 2.3, .why = "scales, as in fp8_gemm"}},
    {"kv_compress", "ranks_per_entry", "", {.global_reads = 1.01, .why = "pairs of cosines and sines"}},
    {"mla_decode",
     "mma_split_kv",
     "",
     {.global_reads = 1.01, .global_writes = 1.01, .why = "block numbers, and sums that begin after the 0"}},
    {"mla_decode",
     "wgmma_split_kv",
     "bf16",
     {.global_reads = 1.01, .global_writes = 1.01, .why = "sums of pieces, a sector each"}},
    {"mla_decode",
     "wgmma_split_kv",
     "fp8",
     {.global_reads = 1.1, .why = "entries of 656 bytes begin in the middle of a sector every other time"}},
    {"mla_decode",
     "wgmma_seesaw",
     "bf16",
     {.global_reads = 1.01, .global_writes = 1.01, .why = "sums of pieces, a sector each"}},
    {"mla_decode",
     "wgmma_seesaw",
     "fp8",
     {.global_reads = 1.1, .why = "entries of 656 bytes begin in the middle of a sector every other time"}},
    {"sparse_mla", "wgmma_gather", "bf16", {.global_reads = 1.01, .why = "sums of pieces, a sector each"}},
    {"sparse_mla",
     "wgmma_gather",
     "fp8",
     {.global_reads = 1.05, .why = "entries of 656 bytes, as in mla_decode"}},
    {"sparse_mla",
     "mma_gather",
     "",
     {.global_reads = 1.025, .why = "entries of 656 bytes, as in mla_decode"}},
    {"csa_decode",
     "wgmma_gather",
     "",
     {.global_reads = 1.015, .why = "scales of entries, 8 bytes each, where ids say"}},
    {"csa_decode",
     "mma_gather",
     "",
     {.global_reads = 1.01, .why = "scales of entries, 8 bytes each, where ids say"}},
};

Budget budget_of(const Problem& problem, std::string_view kernel) {
  for (const Rule& rule : rules) {
    if (rule.op == problem.op && rule.kernel == kernel && (rule.dtype.empty() || rule.dtype == problem.dtype))
      return rule.budget;
  }
  return {};
}

class MemoryCost : public testing::TestWithParam<const char*> {};

TEST_P(MemoryCost, StaysWithinItsBudget) {
  const Result<Problem> problem = problem_from_json(GetParam());
  ASSERT_TRUE(problem) << problem.error().message;
  const std::string json = to_json(*problem);
  const Op* op = find_op(problem->op);
  ASSERT_NE(op, nullptr);
  const Operands operands = op->make(*problem);
  int ran = 0;
  for (const dsb_kernel& kernel : cuda::adapters()) {
    if (problem->op != kernel.op || kernel.supports(json.c_str(), 90) == 0) continue;
    ++ran;
    cu::AccessLog log;
    std::vector<HostTensor> out;
    {
      const Watched watched(log);
      out = run_emulated(kernel, json, operands);
    }
    const CheckResult result = op->check(*problem, operands.in, out, 1e12);
    EXPECT_TRUE(result.passed) << kernel.name << ": " << result.what;
    const Budget budget = budget_of(*problem, kernel.name);
    const auto hold = [&](const char* what, simt::Space space, simt::Touch touch, double most) {
      const cu::Tally all = log.total(space, touch);
      RecordProperty(fmt::format("{}_{}", kernel.name, what), fmt::format("{:.3f}", all.ratio()));
      EXPECT_LE(all.ratio(), most) << kernel.name << ": " << what << " cost " << all.cost << " instead of "
                                   << all.least << '\n'
                                   << log.worst(space, 5) << budget.why;
    };
    hold("shared_reads", simt::Space::shared, simt::Touch::read, budget.shared_reads);
    hold("shared_writes", simt::Space::shared, simt::Touch::write, budget.shared_writes);
    hold("global_reads", simt::Space::global, simt::Touch::read, budget.global_reads);
    hold("global_writes", simt::Space::global, simt::Touch::write, budget.global_writes);
    // What goes to memory is c, or its parts; TMA may have brought it all, and then nothing is counted.
    EXPECT_GT(log.sites().size(), 0u) << kernel.name << " was not compiled to be watched";
  }
  EXPECT_GT(ran, 0) << "no kernel takes this problem";
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, MemoryCost,
    testing::Values(
        R"({"op": "rmsnorm", "dtype": "bf16", "params": {"tokens": 3, "hidden": 7168}})",
        R"({"op": "add_rmsnorm", "dtype": "bf16", "params": {"tokens": 2, "hidden": 2048}})",
        R"({"op": "rope_kv_write", "dtype": "bf16", "params": {"tokens": 8, "heads": 16, "slots": 9}})",
        R"({"op": "swiglu", "dtype": "bf16", "params": {"rows": 8, "inter": 2048}})",
        R"({"op": "swiglu_quant", "dtype": "fp8", "params": {"rows": 8, "inter": 2048}})",
        R"({"op": "group_quant", "dtype": "fp8", "params": {"tokens": 8, "hidden": 7168}})",
        R"({"op": "moe_gate", "dtype": "f32", "params": {"tokens": 32, "experts": 256, "top_k": 8, "groups": 8, "kept_groups": 4, "scale_milli": 2500}})",
        R"({"op": "moe_align", "dtype": "i32", "params": {"tokens": 256, "experts": 256, "top_k": 8}})",
        R"({"op": "moe_permute", "dtype": "fp8", "params": {"tokens": 8, "hidden": 7168, "top_k": 8, "experts": 16}})",
        R"({"op": "moe_permute", "dtype": "bf16", "params": {"tokens": 8, "hidden": 7168, "top_k": 8, "experts": 16}})",
        R"({"op": "moe_unpermute", "dtype": "bf16", "params": {"tokens": 8, "hidden": 7168, "top_k": 8, "experts": 16}})",
        R"({"op": "mhc_pre", "dtype": "bf16", "params": {"tokens": 16, "hidden": 4096}})",
        R"({"op": "mhc_post", "dtype": "bf16", "params": {"tokens": 4, "hidden": 4096}})",
        R"({"op": "kv_compress", "dtype": "bf16", "params": {"tokens": 64}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 16, "n": 256, "k": 2048}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 64, "n": 512, "k": 1024}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 256, "n": 512, "k": 768}})",
        R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 1024, "n": 256, "k": 384}})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 3, "tokens": 600, "top_k": 1, "n": 256, "k": 512}})",
        R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 3, "tokens": 384, "top_k": 1, "n": 256, "k": 512, "max_m": 256}, "words": {"layout": "masked"}})",
        R"({"op": "moe_grouped_gemm", "dtype": "bf16", "params": {"experts": 3, "tokens": 128, "top_k": 1, "n": 256, "k": 256}})",
        R"({"op": "gemm", "dtype": "bf16", "params": {"m": 256, "n": 256, "k": 512}})",
        R"({"op": "mla_absorb", "dtype": "bf16", "params": {"tokens": 64, "heads": 2, "in": 128, "out": 512}})",
        R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 2, "context": 512, "heads": 16, "queries": 1}})",
        R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 16, "context": 128, "heads": 64, "queries": 1}})",
        R"({"op": "mla_decode", "dtype": "fp8", "params": {"batch": 2, "context": 512, "heads": 16, "queries": 1}})",
        R"({"op": "mla_decode", "dtype": "fp8", "params": {"batch": 2, "context": 512, "heads": 64, "queries": 1}})",
        R"({"op": "mla_prefill", "dtype": "bf16", "params": {"queries": 256, "context": 384, "heads": 1}})",
        R"({"op": "dsa_indexer", "dtype": "fp8", "params": {"batch": 3, "context": 1024}})",
        R"({"op": "dsa_topk", "dtype": "f32", "params": {"rows": 3, "context": 3000, "top_k": 512}})",
        R"({"op": "sparse_mla", "dtype": "bf16", "params": {"batch": 2, "context": 512, "heads": 16, "top_k": 256}})",
        R"({"op": "sparse_mla", "dtype": "fp8", "params": {"batch": 2, "context": 512, "heads": 64, "top_k": 256}})",
        R"({"op": "csa_decode", "dtype": "bf16", "params": {"batch": 2, "context": 1024, "heads": 16, "top_k": 128}})",
        R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 2, "context": 1024, "heads": 64, "top_k": 128}})"));

}  // namespace
}  // namespace dsbench::kernelbench
