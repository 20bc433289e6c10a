// What is right passes, in the types of the GPU too.

#include <gtest/gtest.h>

#include <vector>

#include "kernelbench/suite.h"
#include "tests/unit/kernelbench_planted_bugs.h"

namespace dsbench::kernelbench {
namespace {

using testing::check;
using testing::kFull;
using testing::kSampled;
using testing::right;

void expect_right_passes(Suite suite) {
  const Result<std::vector<Problem>> list = suite_problems(suite, Backend::cuda);
  ASSERT_TRUE(list);
  for (const Problem& p : *list) {
    const Operands operands = right(p);
    for (const double budget : {kFull, kSampled}) {
      const CheckResult result = check(p, operands, budget);
      EXPECT_TRUE(result.passed) << name_of(p) << ": " << result.what;
      EXPECT_LE(result.worst_element, 1.0) << name_of(p);
    }
  }
}

TEST(RightResults, PassTheCorrectnessListOfTheGpu) {
  expect_right_passes(Suite::correctness);
}

TEST(RightResults, PassTheCornerListOfTheGpu) {
  expect_right_passes(Suite::corner);
}

}  // namespace
}  // namespace dsbench::kernelbench
