#include "cli/worker_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace dsbench::cli {
namespace {

using ::testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

Result<Worker> found(const std::string& text, const Variables& variables = {},
                     std::optional<std::int32_t> workers = {}) {
  return worker_of(text, workers, [&variables](const char* name) -> const char* {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  });
}

std::string refusal(const std::string& text, const Variables& variables = {},
                    std::optional<std::int32_t> workers = {}) {
  const auto worker = found(text, variables, workers);
  EXPECT_FALSE(worker.has_value());
  return worker ? "" : worker.error().message;
}

TEST(WorkerIdentity, WithoutTheFlagARunIsAWholeOneWhateverTheEnvironmentSays) {
  const auto worker = found("", {{"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "4"}});
  ASSERT_TRUE(worker.has_value());
  EXPECT_TRUE(worker->alone());
  EXPECT_EQ(worker->found, "");
  EXPECT_THAT(refusal("", {}, 4), HasSubstr("--workers 4 alone does not say which of them this is"));
}

TEST(WorkerIdentity, IsCountedFromNought) {
  const auto worker = found("3/4");
  ASSERT_TRUE(worker.has_value());
  EXPECT_EQ(worker->index, 3U);
  EXPECT_EQ(worker->count, 4U);
  EXPECT_EQ(worker->found, "--worker 3/4");
  EXPECT_TRUE(found("0/1")->alone());
  for (const char* wrong : {"4/4", "-1/4", "1", "1/", "/4", "a/4", "1/0", "0/4097", "1/4/2", "1 /4"})
    EXPECT_THAT(refusal(wrong), HasSubstr("is no worker; write which of how many, from 0")) << wrong;
  EXPECT_THAT(refusal("1/4", {}, 5), HasSubstr("--workers 5, but --worker 1/4 says 4"));
}

TEST(WorkerIdentity, EveryLauncherTells) {
  const auto expect = [](const Variables& variables, std::uint32_t index, std::uint32_t count,
                         const char* by) {
    const auto worker = found("auto", variables);
    ASSERT_TRUE(worker.has_value()) << worker.error().message;
    EXPECT_EQ(worker->index, index) << by;
    EXPECT_EQ(worker->count, count) << by;
    EXPECT_THAT(worker->found, HasSubstr(by));
  };
  expect({{"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "4"}}, 2, 4, "SLURM_PROCID and SLURM_NTASKS");
  expect({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "3"}}, 1, 3, "OMPI_COMM_WORLD_RANK");
  expect({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}, 0, 2, "PMI_RANK");
  expect({{"SLURM_ARRAY_TASK_ID", "3"}, {"SLURM_ARRAY_TASK_COUNT", "8"}}, 3, 8, "SLURM_ARRAY_TASK_ID");
}

TEST(WorkerIdentity, AnArrayMayBeNumberedFromAnywhere) {
  const auto worker = found("auto", {{"SLURM_ARRAY_TASK_ID", "16"},
                                     {"SLURM_ARRAY_TASK_COUNT", "4"},
                                     {"SLURM_ARRAY_TASK_MIN", "10"},
                                     {"SLURM_ARRAY_TASK_STEP", "2"},
                                     // every element's batch script has one task
                                     {"SLURM_PROCID", "0"},
                                     {"SLURM_NTASKS", "1"}});
  ASSERT_TRUE(worker.has_value()) << worker.error().message;
  EXPECT_EQ(worker->index, 3U);
  EXPECT_EQ(worker->count, 4U);
  EXPECT_THAT(refusal("auto", {{"SLURM_ARRAY_TASK_ID", "11"},
                               {"SLURM_ARRAY_TASK_COUNT", "4"},
                               {"SLURM_ARRAY_TASK_MIN", "10"},
                               {"SLURM_ARRAY_TASK_STEP", "2"}}),
              HasSubstr("is no place in an array"));
  EXPECT_THAT(refusal("auto", {{"SLURM_ARRAY_TASK_ID", "1"},
                               {"SLURM_ARRAY_TASK_COUNT", "2"},
                               {"SLURM_PROCID", "1"},
                               {"SLURM_NTASKS", "4"}}),
              HasSubstr("says 4 tasks, and the job array has 2 elements: which of 8 this is cannot be told"));
}

TEST(WorkerIdentity, MpirunInsideASlurmJobIsBelievedBeforeTheJob) {
  const auto worker = found("auto", {{"SLURM_PROCID", "0"},
                                     {"SLURM_NTASKS", "4"},
                                     {"OMPI_COMM_WORLD_RANK", "3"},
                                     {"OMPI_COMM_WORLD_SIZE", "4"}});
  EXPECT_EQ(worker->index, 3U);
}

TEST(WorkerIdentity, AnIndexedJobSaysWhichAndNotOfHowMany) {
  const auto worker = found("auto", {{"JOB_COMPLETION_INDEX", "5"}}, 8);
  ASSERT_TRUE(worker.has_value()) << worker.error().message;
  EXPECT_EQ(worker->index, 5U);
  EXPECT_EQ(worker->count, 8U);
  EXPECT_THAT(refusal("auto", {{"JOB_COMPLETION_INDEX", "5"}}),
              HasSubstr("says which worker this is and not of how many; add --workers N"));
  EXPECT_THAT(refusal("auto", {{"JOB_COMPLETION_INDEX", "8"}}, 8), HasSubstr("says worker 8 of 8"));
}

TEST(WorkerIdentity, WhereNothingTellsWhatWasFoundIsSaid) {
  EXPECT_THAT(refusal("auto"), HasSubstr("found none of them; give --worker K/N"));
  EXPECT_THAT(refusal("auto", {{"SLURM_PROCID", "1"}}), HasSubstr("found SLURM_PROCID=1; give --worker K/N"));
  EXPECT_THAT(refusal("auto", {{"SLURM_PROCID", "x"}, {"SLURM_NTASKS", "4"}}),
              HasSubstr("SLURM_PROCID=x and SLURM_NTASKS=4 are no numbers"));
  EXPECT_THAT(refusal("auto", {{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "4"}}, 5),
              HasSubstr("--workers 5, but SLURM_PROCID and SLURM_NTASKS says 4"));
}

}  // namespace
}  // namespace dsbench::cli
