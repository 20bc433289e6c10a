// What can be said of the CUDA device on a machine without one, and what goes with it that needs none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "kernelbench/cuda_probes.h"
#include "kernelbench/device.h"
#include "kernelbench/kernel_set.h"
#include "kernelbench/kernels_cuda/lt_product.h"

namespace dsbench::kernelbench {
namespace {

using testing::HasSubstr;

TEST(CudaDevice, SaysThatThereIsNone) {
  const Result<std::unique_ptr<Device>> device = open_cuda_device(0);
  if (device) {
    EXPECT_EQ((*device)->word(), "cuda");
    GTEST_SKIP() << "this machine has a CUDA device";
  }
  EXPECT_THAT(device.error().message, testing::StartsWith("there is no CUDA device: "));
  EXPECT_EQ(device.error().kind, ErrorKind::usage);
}

TEST(CudaDevice, ADeviceNumberBeyondTheLastIsRefused) {
  const Result<std::unique_ptr<Device>> device = open_cuda_device(4000);
  ASSERT_FALSE(device);
  EXPECT_THAT(device.error().message, HasSubstr("there is no CUDA device"));
}

#ifdef DSBENCH_HAVE_CUDA
TEST(CudaKernels, HaveNamesOpsAndBaselines) {
  std::set<std::string> seen;
  std::set<std::string> baselines;
  for (const dsb_kernel& kernel : cuda_kernels()) {
    EXPECT_EQ(kernel.abi_version, DSB_KERNEL_ABI_VERSION);
    EXPECT_EQ(kernel.device, DSB_CUDA);
    EXPECT_NE(kernel.run, nullptr);
    EXPECT_TRUE(seen.insert(std::string{kernel.op} + "/" + kernel.name).second);
    if (kernel.role == 1) baselines.insert(kernel.op);
  }
  EXPECT_THAT(baselines, testing::UnorderedElementsAre("gemm", "fp8_gemm", "mla_absorb"));
}

TEST(CudaKernels, AreCompiledForOneArchitecture) {
  const char* json = R"({"op": "rmsnorm", "dtype": "bf16", "params": {"tokens": 1, "hidden": 7168}})";
  for (const dsb_kernel& kernel : cuda_kernels()) {
    if (std::string_view{kernel.op} != "rmsnorm") continue;
    EXPECT_EQ(kernel.supports(json, 90), 1) << kernel.last_error();
    EXPECT_EQ(kernel.supports(json, 80), 0);
    EXPECT_EQ(kernel.supports("{", 90), 0);
    EXPECT_THAT(kernel.last_error(), HasSubstr("JSON"));
  }
}
#else
TEST(CudaKernels, AreNoneWithoutNvcc) {
  EXPECT_TRUE(cuda_kernels().empty());
}
#endif

TEST(LtScales, AreReorderedOnceEach) {
  std::set<std::int64_t> a;
  for (std::int64_t row = 0; row < 5; ++row) {
    for (std::int64_t b = 0; b < 7; ++b) a.insert(cuda::lt_a_scale_index(5, row, b));
  }
  EXPECT_EQ(a.size(), 35u);
  EXPECT_EQ(*a.rbegin(), 34);
  EXPECT_EQ(cuda::lt_a_scale_index(5, 1, 2), 11);  // rows inside
  std::set<std::int64_t> w;
  for (std::int64_t n = 0; n < 3; ++n) {
    for (std::int64_t b = 0; b < 7; ++b) w.insert(cuda::lt_w_scale_index(7, n, b));
  }
  EXPECT_EQ(w.size(), 21u);
  EXPECT_LT(*w.rbegin(), cuda::lt_w_scale_count(7, 3));
  EXPECT_EQ(cuda::lt_w_scale_index(7, 1, 0), 8);  // padded to four
}

TEST(ClockStamps, GiveTheMedianClockOfProcessorsThatHaveBoth) {
  std::vector<ClockStamp> before(4);
  std::vector<ClockStamp> after(4);
  before[0] = {1000, 500};
  after[0] = {2000, 500 + 1980};  // 1.98 GHz
  before[1] = {1000, 7};
  after[1] = {3000, 7 + 3200};  // 1.6 GHz
  before[2] = {1000, 9};        // no second stamp
  after[3] = {1000, 9};         // no first
  EXPECT_DOUBLE_EQ(clock_between(before.data(), after.data(), 4), 1.98e9);
  EXPECT_EQ(clock_between(before.data() + 2, after.data() + 2, 2), 0);
}

}  // namespace
}  // namespace dsbench::kernelbench
