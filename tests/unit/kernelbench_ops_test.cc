// The lists of cases themselves, and the operands that are made for them.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "kernelbench/op.h"
#include "kernelbench/problem.h"
#include "kernelbench/suite.h"

namespace dsbench::kernelbench {
namespace {

std::vector<Problem> problems(Suite suite, Backend backend) {
  Result<std::vector<Problem>> list = suite_problems(suite, backend);
  EXPECT_TRUE(list) << (list ? "" : list.error().message);
  return list ? *list : std::vector<Problem>{};
}

TEST(KernelbenchOps, EveryCaseIsValidAndComesBackFromItsJson) {
  for (const Backend backend : {Backend::cpu, Backend::cuda}) {
    for (const Suite suite :
         {Suite::quick, Suite::correctness, Suite::corner, Suite::standard, Suite::full}) {
      std::set<std::string> names;
      for (const Problem& problem : problems(suite, backend)) {
        const Result<Problem> back = problem_from_json(to_json(problem));
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(to_json(*back), to_json(problem));
        EXPECT_TRUE(names.insert(name_of(problem)).second) << "twice: " << name_of(problem);
        EXPECT_LT(find_op(problem.op)->operand_bytes(problem), backend == Backend::cpu ? 2e9 : 40e9)
            << name_of(problem);
      }
    }
    EXPECT_LE(problems(Suite::standard, backend).size(), 75U);
    EXPECT_GE(problems(Suite::standard, backend).size(), 45U);
  }
}

TEST(KernelbenchOps, OperandBytesAreThoseOfTheOperands) {
  for (const Suite suite : {Suite::correctness, Suite::corner}) {
    for (const Backend backend : {Backend::cpu, Backend::cuda}) {
      for (const Problem& problem : problems(suite, backend)) {
        const Op* op = find_op(problem.op);
        const Operands operands = op->make(problem);
        double bytes = 0;
        for (const HostTensor& tensor : operands.in) bytes += static_cast<double>(tensor.bytes());
        for (const HostTensor& tensor : operands.out) bytes += static_cast<double>(tensor.bytes());
        EXPECT_EQ(op->operand_bytes(problem), bytes) << name_of(problem);
        const Work work = op->work(problem, operands);
        EXPECT_GT(work.bytes, 0) << name_of(problem);
        // What is needed is never more than what is there.
        EXPECT_LE(work.bytes, bytes * 1.0001) << name_of(problem);
      }
    }
  }
}

TEST(KernelbenchOps, OperandsDependOnTheSeedAlone) {
  for (Problem problem : problems(Suite::correctness, Backend::cuda)) {
    const Op* op = find_op(problem.op);
    const Operands one = op->make(problem);
    const Operands two = op->make(problem);
    problem.seed = 2;
    const Operands other = op->make(problem);
    bool differs = false;
    for (std::size_t i = 0; i < one.in.size(); ++i) {
      const auto size = static_cast<std::size_t>(one.in[i].bytes());
      EXPECT_EQ(std::memcmp(one.in[i].data(), two.in[i].data(), size), 0) << name_of(problem);
      differs = differs || other.in[i].bytes() != one.in[i].bytes() ||
                std::memcmp(one.in[i].data(), other.in[i].data(), size) != 0;
    }
    EXPECT_TRUE(differs || (problem.op == "moe_align" && problem.word("routing") == "one"))
        << name_of(problem);
  }
}

TEST(KernelbenchOps, NamesSayWhatIsNotUsual) {
  const auto name = [](std::string_view json) {
    const Result<Problem> problem = problem_from_json(json);
    return problem ? name_of(*problem) : problem.error().message;
  };
  EXPECT_EQ(
      name(R"({"op": "mla_decode", "params": {"batch": 128, "context": 4096, "heads": 128, "queries": 1}})"),
      "mla_decode/batch=128/context=4096/heads=128/queries=1/bf16");
  EXPECT_EQ(name(R"({"op": "mla_decode", "dtype": "f32", "words": {"lengths": "list"}, "list": [3, 0],
                     "params": {"batch": 2, "context": 9, "heads": 1, "queries": 1, "block": 16}})"),
            "mla_decode/batch=2/context=9/heads=1/queries=1/block=16/lengths=3,0/f32");
  EXPECT_EQ(name(R"({"op": "moe_gate", "params": {"tokens": 1, "experts": 8, "top_k": 2}, "seed": 7,
                     "words": {"bias": "no", "scoring": "softmax"}, "adversarial": true})"),
            "moe_gate/tokens=1/experts=8/top_k=2/softmax/bias=no/adversarial/seed=7/f32");
}

TEST(KernelbenchOps, AProblemThatCannotBeIsRefusedByName) {
  const auto message = [](std::string_view json) {
    const Result<Problem> problem = problem_from_json(json);
    return problem ? "accepted" : problem.error().message;
  };
  EXPECT_EQ(message("{"), "a kernel problem is not valid JSON");
  EXPECT_TRUE(message(R"({"op": "gem"})").starts_with("there is no op \"gem\"; there are: gemm, int8_gemm"));
  EXPECT_EQ(message(R"({"op": "gemm", "params": {"m": 1, "n": 1}})"),
            "gemm: param \"k\" is missing (the contraction)");
  EXPECT_EQ(message(R"({"op": "gemm", "params": {"m": 1, "n": 1, "q": 1}})"),
            "gemm has no param \"q\"; it has: m, n, k");
  EXPECT_EQ(message(R"({"op": "gemm", "params": {"m": 1.5, "n": 1, "k": 1}})"),
            "gemm: param \"m\" is 1.5; it must be a whole number");
  EXPECT_EQ(message(R"({"op": "gemm", "dtype": "f64", "params": {"m": 1, "n": 1, "k": 1}})"),
            "gemm has no dtype \"f64\"; it has: bf16, f32, f32.bf16");
  EXPECT_EQ(message(R"({"op": "fp8_gemm", "params": {"m": 1, "n": 1, "k": 100}})"),
            "fp8_gemm: k is 100; with fp8 it must be a multiple of 128");
  EXPECT_EQ(message(R"({"op": "moe_align", "params": {"tokens": 1, "experts": 4, "top_k": 2},
                        "words": {"routing": "all"}})"),
            "moe_align: routing is \"all\"; accepted: uniform, zipf, balanced, one");
  EXPECT_EQ(message(R"({"op": "mla_decode", "list": [1],
                        "params": {"batch": 1, "context": 9, "heads": 1, "queries": 1}})"),
            "mla_decode: there is a list of lengths, but \"lengths\" is \"constant\"; say \"list\"");
}

TEST(KernelbenchOps, RoutingsAreWhatTheirNamesSay) {
  const auto rows = [](std::string_view routing) {
    Problem p{.op = "moe_align",
              .label = "",
              .dtype = "i32",
              .params = {{"tokens", 64}, {"experts", 16}, {"top_k", 2}},
              .words = {{"routing", std::string{routing}}},
              .list = {}};
    const Operands operands = find_op("moe_align")->make(p);
    std::vector<int> counts(16);
    for (std::int64_t i = 0; i < 128; ++i) ++counts[static_cast<std::size_t>(operands.in[0].get(i))];
    std::ranges::sort(counts);
    return counts;
  };
  EXPECT_EQ(rows("balanced"), std::vector<int>(16, 8));
  EXPECT_EQ(rows("one").back(), 128);
  EXPECT_GT(rows("uniform").front(), 0);
  EXPECT_GE(rows("zipf").back(), 3 * rows("zipf")[8]);
}

}  // namespace
}  // namespace dsbench::kernelbench
