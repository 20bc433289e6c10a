// What an op is said to cost, against figures worked out by hand from the formulas that papers and other
// harnesses use, term by term in the comments: a share of the roofline is worth no more than they are.

#include <gtest/gtest.h>

#include <string_view>

#include "kernelbench/op.h"
#include "kernelbench/problem.h"

namespace dsbench::kernelbench {
namespace {

void expect_work(std::string_view json, double flops, double bytes, std::string_view unit) {
  SCOPED_TRACE(json);
  const auto problem = problem_from_json(json);
  ASSERT_TRUE(problem) << problem.error().message;
  const Op* op = find_op(problem->op);
  ASSERT_NE(op, nullptr);
  const Work work = op->work(*problem, op->make(*problem));
  EXPECT_EQ(work.flops, flops);
  EXPECT_EQ(work.bytes, bytes);
  EXPECT_EQ(work.unit, unit);
}

TEST(Work, OfProducts) {
  // 2·128·2112·7168; codes of a and w, 128·56 and 17·56 scales, results in bf16.
  expect_work(R"({"op": "fp8_gemm", "dtype": "fp8", "params": {"m": 128, "n": 2112, "k": 7168}})", 3875536896,
              917504 + 15138816 + 4 * 7168 + 4 * 952 + 540672, "fp8");
  // Weights in bf16, sums in f32.
  expect_work(R"({"op": "gemm", "dtype": "f32.bf16", "params": {"m": 2, "n": 32, "k": 64}})", 8192,
              512 + 4096 + 256, "f32");
  // A scale for the row, and for each of 64 columns.
  expect_work(R"({"op": "int8_gemm", "dtype": "int8", "params": {"m": 1, "n": 64, "k": 128}})", 16384,
              132 + 8192 + 256 + 256, "int8");
  // The matrices of 128 heads once, and a row of each head in and out.
  expect_work(
      R"({"op": "mla_absorb", "dtype": "bf16", "params": {"tokens": 1, "heads": 128, "in": 128, "out": 512}})",
      16777216, 16777216 + 32768 + 131072, "bf16");
}

TEST(Work, OfExpertsCountsThoseThatHaveRows) {
  // Sixteen rows, all of one expert of four: its codes and 2·4 scales, codes and 16·4 scales of rows, five
  // offsets.
  expect_work(
      R"({"op": "moe_grouped_gemm", "dtype": "fp8", "params": {"experts": 4, "tokens": 8, "top_k": 2, "n": 256,
                 "k": 512}, "words": {"routing": "one"}})",
      4194304, 131072 + 32 + 8192 + 256 + 8192 + 20, "fp8");
}

TEST(Work, OfAttention) {
  // 2·2·128·1024·(576 + 512); entries of 1,152 bytes once for keys and values, queries and results, lse, 16
  // blocks of the table and a length for each request.
  expect_work(R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 2, "context": 1024, "heads": 128,
                 "queries": 1}})",
              570425344, 2359296 + 557056 + 1024 + 128 + 8, "bf16");
  // The first of two queries does not see the last position: 1,023 + 1,024 scores a head.
  expect_work(R"({"op": "mla_decode", "dtype": "bf16", "params": {"batch": 2, "context": 1024, "heads": 128,
                 "queries": 2}})",
              1140293632, 2359296 + 1114112 + 2048 + 128 + 8, "bf16");
  // Query 0 sees 257 keys, query 255 all 512: 98,432 scores a head, 320 products each.
  expect_work(
      R"({"op": "mla_prefill", "dtype": "bf16", "params": {"queries": 256, "context": 512, "heads": 16}})",
      1007943680, 7864320, "bf16");
  // Entries of 656 bytes and their ids; queries, results and lse. FP8 is how they are kept: products are of
  // bf16.
  expect_work(R"({"op": "sparse_mla", "dtype": "fp8", "params": {"batch": 1, "context": 8192, "heads": 16,
                 "top_k": 2048}})",
              71303168, 1343488 + 8192 + 34816 + 64, "bf16");
  // 128 entries of the window and 512 chosen ones, 584 bytes each; ids and sinks, rows and lse, a length.
  expect_work(R"({"op": "csa_decode", "dtype": "fp8", "params": {"batch": 1, "context": 8192, "heads": 64,
                 "top_k": 512}})",
              83886080, 373760 + 2048 + 256 + 131072 + 256 + 4, "bf16");
}

TEST(Work, OfChoosing) {
  // Of each request 64 heads of 128 codes and their weights; of each entry 128 codes, a scale and a logit.
  expect_work(R"({"op": "dsa_indexer", "dtype": "fp8", "params": {"batch": 2, "context": 1000}})", 32768000,
              2 * (8192 + 256) + 2000 * 132 + 2000 * 4 + 8, "fp8");
  expect_work(R"({"op": "dsa_topk", "dtype": "f32", "params": {"rows": 2, "context": 4096, "top_k": 2048}})",
              0, 32768 + 16384 + 8, "");
  // 256 logits in, eight ids and weights out; the bias once.
  expect_work(R"({"op": "moe_gate", "dtype": "f32", "params": {"tokens": 4, "experts": 256, "top_k": 8}})",
              8192, 4 * (1024 + 64) + 1024, "");
}

TEST(Work, OfRows) {
  expect_work(R"({"op": "rmsnorm", "dtype": "bf16", "params": {"tokens": 512, "hidden": 7168}})", 14680064,
              14680064 + 14336, "");
  expect_work(R"({"op": "add_rmsnorm", "dtype": "bf16", "params": {"tokens": 512, "hidden": 7168}})",
              18350080, 29360128 + 14336, "");
  // Sixteen heads of 64 numbers turned and 576 numbers copied, in and out; of every token a line of angles,
  // its position and its slot.
  expect_work(
      R"({"op": "rope_kv_write", "dtype": "bf16", "params": {"tokens": 4, "heads": 16, "slots": 64}})", 13056,
      16384 + 9216 + 4 * 264, "");
  expect_work(R"({"op": "group_quant", "dtype": "fp8", "params": {"tokens": 4, "hidden": 7168}})", 86016,
              4 * (14336 + 7168 + 224), "");
  expect_work(R"({"op": "swiglu_quant", "dtype": "fp8", "params": {"rows": 4, "inter": 2048}})", 90112,
              4 * (8192 + 2048 + 64), "");
  // A row of 7,168 codes and 56 scales is 7,392 bytes, once in and eight times out.
  expect_work(R"({"op": "moe_permute", "dtype": "fp8", "params": {"tokens": 4, "hidden": 7168, "top_k": 8,
                 "experts": 16}})",
              0, 36 * 7392 + 128, "");
  expect_work(R"({"op": "moe_unpermute", "dtype": "bf16", "params": {"tokens": 4, "hidden": 7168, "top_k": 8,
                 "experts": 16}})",
              458752, 36 * 14336 + 256, "");
}

TEST(Work, OfStreams) {
  // Of 512·4·4096 numbers each is in 24 sums of products, one of squares and one stream's share of y: in f32,
  // which is what a processor without matrix units has too little of.
  expect_work(R"({"op": "mhc_pre", "dtype": "f32", "params": {"tokens": 512, "hidden": 4096}})", 436207616,
              33554432 + 8388608 + 512 * 80 + 1572864 + 96 + 12, "f32");
  expect_work(R"({"op": "mhc_pre", "dtype": "bf16", "params": {"tokens": 4, "hidden": 1024}})", 851968,
              32768 + 8192 + 320 + 393216 + 96 + 12, "");
  expect_work(R"({"op": "mhc_post", "dtype": "bf16", "params": {"tokens": 4, "hidden": 1024}})", 163840,
              9 * 8192 + 320, "");
  // 256 groups of four tokens, all but the first with the one before: 511·4 rows of 512 values and gates; the
  // bias of four positions, the norm's weight, the angles.
  expect_work(R"({"op": "kv_compress", "dtype": "f32", "params": {"tokens": 1024}})", 5232640,
              8372224 + 16384 + 2048 + 65536 + 524288, "");
}

}  // namespace
}  // namespace dsbench::kernelbench
