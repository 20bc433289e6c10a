#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernelbench/step_law.h"

namespace dsbench::kernelbench {
namespace {

using testing::HasSubstr;

KernelRun run_at(double efficiency) {
  KernelRun run;
  run.ceilings.copy_bytes_per_s = 10e9;
  run.ceilings.launch_floor_s = 1e-7;
  run.ceilings.peaks = {{"f32", 100e9, "loop"}};
  const auto add = [&](const char* json, double flops, double bytes) {
    CellResult c;
    auto problem = problem_from_json(json);
    EXPECT_TRUE(problem) << problem.error().message;
    c.problem = *problem;
    c.name = name_of(c.problem);
    c.kernel = {.name = "k", .op = c.problem.op, .author = "", .device = "cpu"};
    c.work = {.flops = flops, .bytes = bytes, .unit = "f32"};
    c.repetitions_s = {roofline_of(c.work, run.ceilings).seconds / efficiency};
    run.cells.push_back(c);
  };
  for (const double m : {1.0, 64.0, 512.0}) {
    const std::string json = R"({"op":"gemm","dtype":"f32","params":{"m":)" +
                             std::to_string(static_cast<int>(m)) + R"(,"n":1024,"k":1024}})";
    add(json.c_str(), 2 * m * 1024 * 1024, 4 * (1024 * 1024 + 2 * m * 1024));
  }
  add(R"({"op":"moe_grouped_gemm","dtype":"f32","params":{"experts":8,"tokens":16,"top_k":2,"n":512,"k":256}})",
      1e7, 4e6);
  add(R"({"op":"mla_decode","dtype":"f32","params":{"batch":4,"context":512,"heads":8,"queries":1}})", 4e7,
      5e6);
  return run;
}

TEST(KernelStepLaw, IsSlowerByWhatTheKernelsLackOfTheirRoofline) {
  const auto model = profiles::load_model_profile("tiny");
  ASSERT_TRUE(model);
  const auto full = step_law_from_kernels(run_at(1.0), *model, "f32", {});
  ASSERT_TRUE(full) << full.error().message;
  const auto half = step_law_from_kernels(run_at(0.5), *model, "f32", {});
  ASSERT_TRUE(half);
  const profiles::StepSample step{.prefill_tokens = 256, .decode_tokens = 16, .kv_tokens = 8192};
  EXPECT_GT(profiles::predict(full->fit, step), 0);
  // The ops that have no cell are taken at their roofline in both, so a little less than twice.
  const double ratio = profiles::predict(half->fit, step) / profiles::predict(full->fit, step);
  EXPECT_GT(ratio, 1.6);
  EXPECT_LT(ratio, 2.05);
  EXPECT_FALSE(full->shares.empty());
  EXPECT_GE(full->shares.front().seconds, full->shares.back().seconds);
}

TEST(KernelStepLaw, NamesTheOpThatIsMissingAndWhatToRun) {
  const auto model = profiles::load_model_profile("tiny");
  KernelRun run = run_at(1.0);
  std::erase_if(run.cells, [](const CellResult& c) { return c.problem.op == "mla_decode"; });
  const auto law = step_law_from_kernels(run, *model, "f32", {});
  ASSERT_FALSE(law);
  EXPECT_THAT(law.error().message, HasSubstr("op mla_decode with dtype f32"));
  EXPECT_THAT(law.error().message, HasSubstr("--filter 'mla_decode*'"));
  EXPECT_FALSE(step_law_from_kernels(run_at(1.0), *model, "int8", {}));
}

TEST(KernelStepLaw, DoesNotUseCellsThatFailedTheirCheckOrAreBaselines) {
  const auto model = profiles::load_model_profile("tiny");
  KernelRun run = run_at(1.0);
  for (CellResult& c : run.cells) {
    if (c.problem.op == "moe_grouped_gemm") c.state = CellState::incorrect;
  }
  EXPECT_FALSE(step_law_from_kernels(run, *model, "f32", {}));
  run = run_at(1.0);
  for (CellResult& c : run.cells) {
    if (c.problem.op == "gemm") c.kernel.baseline = true;
  }
  EXPECT_FALSE(step_law_from_kernels(run, *model, "f32", {}));
}

TEST(KernelStepLaw, UsesWhatIsLeftOfThrottledCells) {
  const auto model = profiles::load_model_profile("tiny");
  KernelRun run = run_at(1.0);
  for (CellResult& c : run.cells) c.state = CellState::throttled;
  EXPECT_TRUE(step_law_from_kernels(run, *model, "f32", {}));
}

TEST(Roofline, IsTheHighestOfItsFloors) {
  Ceilings c;
  c.copy_bytes_per_s = 1e9;
  c.read_bytes_per_s = 2e9;
  c.launch_floor_s = 1e-6;
  c.peaks = {{"f32", 1e12, ""}};
  EXPECT_EQ(roofline_of({.flops = 1, .bytes = 1, .unit = "f32"}, c).bound, "launch");
  EXPECT_EQ(roofline_of({.flops = 1, .bytes = 1e6, .unit = "f32"}, c).bound, "memory");
  EXPECT_DOUBLE_EQ(roofline_of({.flops = 1, .bytes = 1e6, .unit = "f32"}, c).seconds, 0.5e-3);
  EXPECT_EQ(roofline_of({.flops = 1e10, .bytes = 1e6, .unit = "f32"}, c).bound, "compute");
  EXPECT_EQ(roofline_of({.flops = 1e10, .bytes = 1e6, .unit = "fp8"}, c).bound,
            "memory");  // no peak measured
}

}  // namespace
}  // namespace dsbench::kernelbench
