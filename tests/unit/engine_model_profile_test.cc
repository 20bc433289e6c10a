#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/model/available_memory.h"
#include "engine/model/memory_bill.h"
#include "profiles/model_profile.h"

namespace dsbench {
namespace {

using engine::check_fits;
using engine::count_parameters;
using engine::memory_bill;
using engine::MemoryBill;
using profiles::load_model_profile;
using profiles::ModelProfile;
using profiles::parse_model_profile;

ModelProfile shipped(std::string_view name) {
  auto profile = load_model_profile(name);
  EXPECT_TRUE(profile) << profile.error().message;
  return profile ? *profile : ModelProfile{};
}

TEST(ModelProfile, V3HasThePublishedShapeAndSize) {
  const ModelProfile p = shipped("v3");
  const auto n = count_parameters(p);
  EXPECT_NEAR(static_cast<double>(n.total()), 671e9, 0.005 * 671e9);
  EXPECT_NEAR(static_cast<double>(n.embedding), 0.9e9, 0.05e9);
  EXPECT_NEAR(static_cast<double>(n.head), 0.9e9, 0.05e9);
  // By hand: 7168·(1536 + 576) + 1536·24576 + 512·32768 + 16384·7168, 61 times.
  EXPECT_EQ(n.attention, 61 * 187'105'280LL);
  EXPECT_EQ(n.routed_experts, 58LL * 256 * 3 * 7168 * 2048);
  EXPECT_EQ(p.latent_width(), 576);
  EXPECT_TRUE(p.yarn_on());
}

TEST(ModelProfile, LatentCacheIsWhatWasPublished) {
  EXPECT_EQ(memory_bill(shipped("v3"), 2, 1, 16).kv_per_token, Bytes{70'272});
  EXPECT_EQ(memory_bill(shipped("v2-lite"), 2, 1, 16).kv_per_token, Bytes{31'104});
}

TEST(ModelProfile, V2LiteHasThePublishedSize) {
  const ModelProfile p = shipped("v2-lite");
  EXPECT_EQ(p.q_lora, 0);
  EXPECT_NEAR(static_cast<double>(count_parameters(p).total()), 15.7e9, 0.1e9);
}

TEST(ModelProfile, TinyHasEveryFeatureOfV3) {
  const ModelProfile p = shipped("tiny");
  EXPECT_GT(p.q_lora, 0);
  EXPECT_TRUE(p.yarn_on());
  EXPECT_EQ(p.dense_layers, 1);
  EXPECT_GT(p.moe_layers(), 1);
  EXPECT_GT(p.moe.groups, p.moe.kept_groups);
  EXPECT_EQ(p.moe.shared_experts, 1);
  EXPECT_EQ(p.moe.routed_scale, 2.5);
  EXPECT_TRUE(p.moe.correction_bias);
  EXPECT_EQ(p.vocab, 257);
  EXPECT_EQ(p.eos_token, 256);
  EXPECT_GE(p.max_context, 4096);
}

constexpr std::string_view kSmall = R"({
  "schema": "dsbench.model/1", "name": "small", "source": "test", "hidden": 8, "layers": 2, "dense_layers": 1,
  "dense_intermediate": 8, "vocab": 16, "max_context": 32,
  "attention": {"heads": 2, "q_lora": 0, "kv_lora": 4, "nope_dim": 4, "rope_dim": %ROPE%, "v_dim": 4},
  "rope": {"theta": 10000},
  "moe": {"experts": %EXPERTS%, "top_k": %TOPK%, "groups": 4, "kept_groups": 2, "shared_experts": 1, "intermediate": 8,
          "scoring": "sigmoid", "renormalise": true, "routed_scale": 1.0, "correction_bias": false}
})";

std::string small(std::string rope, std::string experts, std::string top_k) {
  std::string text(kSmall);
  for (const auto& [key, value] :
       {std::pair<std::string, std::string>{"%ROPE%", rope}, {"%EXPERTS%", experts}, {"%TOPK%", top_k}}) {
    text.replace(text.find(key), key.size(), value);
  }
  return text;
}

TEST(ModelProfile, ReadsASmallOneWithoutYarn) {
  const auto p = parse_model_profile(small("2", "8", "4"), "small.json");
  ASSERT_TRUE(p) << p.error().message;
  EXPECT_FALSE(p->yarn_on());
  EXPECT_EQ(p->eos_token, -1);
}

TEST(ModelProfile, SaysWhatDoesNotGoTogether) {
  const auto p = parse_model_profile(small("3", "10", "4"), "small.json");
  ASSERT_FALSE(p);
  EXPECT_EQ(p.error().message,
            "small.json: attention.rope_dim: is 3; rotary dimensions come in pairs, so it must be even\n"
            "small.json: moe.experts: 10 experts do not divide into 4 groups");
  const auto q = parse_model_profile(small("2", "8", "5"), "small.json");
  ASSERT_FALSE(q);
  EXPECT_EQ(q.error().message, "small.json: moe.top_k: is 5, but 2 kept groups hold only 4 experts");
}

TEST(ModelProfile, RefusesMissingNegativeAndUnknown) {
  std::string text = small("2", "-8", "4");
  text.replace(text.find("\"hidden\": 8"), 11, "\"hiden\": 8");
  const auto p = parse_model_profile(text, "small.json");
  ASSERT_FALSE(p);
  EXPECT_EQ(p.error().message,
            "small.json: hidden: required, but missing\n"
            "small.json: moe.experts: found -8; accepted are whole numbers from 1 to 2147483647\n"
            "small.json: unknown key 'hiden'; did you mean 'hidden'?");
}

TEST(MemoryBill, V3IsRefusedWithTheNumbers) {
  const MemoryBill bill = memory_bill(shipped("v3"), 4, 1024, 16);
  EXPECT_EQ(bill.total, bill.weights + bill.kv);
  const auto verdict = check_fits(bill, Bytes{std::int64_t{16} << 30});
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().kind, ErrorKind::memory);
  EXPECT_EQ(verdict.error().message,
            "model 'v3' needs 2.44 TiB: 2.44 TiB for 671.03 billion parameters at 4 bytes each, and 2.14 GiB "
            "for 1024 KV blocks of "
            "16 tokens; 16.0 GiB of memory is available. A model of up to 4.29 billion parameters at 4 bytes "
            "each would fit: choose "
            "a smaller one, such as 'tiny'");
}

TEST(MemoryBill, ATooLargePoolIsRefusedWithWhatFits) {
  const ModelProfile p = shipped("tiny");
  const MemoryBill bill = memory_bill(p, 4, 1'000'000, 16);
  const Bytes available = bill.weights + bill.kv_per_token * (16 * 777) + Bytes{100};
  const auto verdict = check_fits(bill, available);
  ASSERT_FALSE(verdict);
  EXPECT_TRUE(verdict.error().message.ends_with(". The weights fit with up to 777 blocks"))
      << verdict.error().message;
  EXPECT_TRUE(check_fits(memory_bill(p, 4, 777, 16), available));
}

// A file tree that looks like /proc and /sys/fs/cgroup.
class AvailableMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() /
            ("dsbench_memory_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "_" +
             ::testing::UnitTest::GetInstance()->current_test_info()->name() +
             std::to_string(reinterpret_cast<std::uintptr_t>(this)));
    write("proc/meminfo", "MemTotal:       24000000 kB\nMemAvailable:    1000000 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  [[nodiscard]] std::int64_t available() const {
    const auto bytes = engine::available_memory_under(root_.string());
    EXPECT_TRUE(bytes);
    return bytes ? bytes->count() : -1;
  }
  std::filesystem::path root_;
};

TEST_F(AvailableMemory, IsMemAvailableWithoutLimits) {
  EXPECT_EQ(available(), 1'024'000'000);
}

TEST_F(AvailableMemory, OuterGroupsBind) {
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/b/memory.current", "5000000\n");
  write("sys/fs/cgroup/a/memory.max", "600000000\n");
  write("sys/fs/cgroup/a/memory.current", "300000000\n");
  write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 100000000\n");
  EXPECT_EQ(available(), 400'000'000);
}

TEST_F(AvailableMemory, OldGroupsBindToo) {
  write("proc/self/cgroup", "3:cpu,cpuacct:/x\n4:memory:/x\n");
  write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "100000000\n");
  write("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "40000000\n");
  EXPECT_EQ(available(), 60'000'000);
}

}  // namespace
}  // namespace dsbench
