// Every CPU kernel on every case of the lists that are about right and wrong, on every instruction set that
// this processor has: what runs on lesser machines is not left to them to find wrong.

#include <gtest/gtest.h>

#include <set>

#include "kernelbench/kernels_cpu/table_in_use.h"
#include "kernelbench/suite.h"
#include "tests/unit/engine_kernels_every_table.h"
#include "tests/unit/kernelbench_cells.h"

namespace dsbench::kernelbench {
namespace {

using testing::run_kernel;

class CpuKernels : public engine::kernels::cpu::EveryTable {
 protected:
  void SetUp() override {
    EveryTable::SetUp();
    if (table_ != nullptr) cpu::use_table(table_);
  }
  void TearDown() override { cpu::use_table(nullptr); }
};

void expect_all_pass(Suite suite, int threads) {
  const Result<std::vector<Problem>> problems = suite_problems(suite, Backend::cpu);
  ASSERT_TRUE(problems) << problems.error().message;
  std::set<std::string> ops;
  for (const Problem& problem : *problems) {
    const Op* op = find_op(problem.op);
    ASSERT_NE(op, nullptr);
    Operands operands = op->make(problem);
    int kernels = 0;
    for (const dsb_kernel& kernel : cpu_kernels()) {
      if (problem.op != kernel.op || kernel.supports(to_json(problem).c_str(), 0) == 0) continue;
      ++kernels;
      ASSERT_EQ(run_kernel(kernel, problem, operands, threads), "") << name_of(problem);
      const CheckResult full = op->check(problem, operands.in, operands.out, 1e12);
      EXPECT_TRUE(full.passed) << kernel.name << " " << name_of(problem) << ": " << full.what;
      EXPECT_EQ(full.rows_checked, full.rows);
      const CheckResult sampled = op->check(problem, operands.in, operands.out, 1);
      EXPECT_TRUE(sampled.passed) << kernel.name << " " << name_of(problem) << ": " << sampled.what;
    }
    EXPECT_GT(kernels, 0) << "no kernel for " << name_of(problem);
    ops.insert(problem.op);
  }
  EXPECT_EQ(ops.size(), all_ops().size());
}

TEST_P(CpuKernels, PassTheCorrectnessListOnTwoThreads) {
  expect_all_pass(Suite::correctness, 2);
}

TEST_P(CpuKernels, PassTheCornerListOnThreeThreads) {
  expect_all_pass(Suite::corner, 3);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, CpuKernels, ::testing::Range(0, 5));

}  // namespace
}  // namespace dsbench::kernelbench
