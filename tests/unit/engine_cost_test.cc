#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/clock.h"
#include "engine/executors/cost_executor.h"
#include "engine/executors/cost_model.h"
#include "profiles/catalog.h"
#include "profiles/fleet_profile.h"
#include "profiles/hardware_profile.h"

namespace dsbench::engine {
namespace {

using testing::HasSubstr;

profiles::HardwareProfile simple() {
  profiles::HardwareProfile hardware;
  hardware.name = "simple";
  hardware.base_s.value = 0.010;
  hardware.prefill_token_s.value = 0.001;
  hardware.decode_token_s.value = 0.002;
  hardware.kv_token_s.value = 0.000'001;
  hardware.max_prefill_tokens.value = 100;
  hardware.max_decode_tokens.value = 10;
  hardware.max_kv_tokens.value = 1000;
  hardware.kv_capacity_tokens.value = 1000;
  hardware.block_size.value = 16;
  hardware.max_running.value = 10;
  hardware.max_batched_tokens.value = 100;
  hardware.max_model_len.value = 500;
  return hardware;
}

StepBatch batch_of(std::int64_t prefill, std::int64_t decode, std::int64_t kv) {
  StepBatch batch;
  batch.prefill_tokens = prefill;
  batch.decode_tokens = decode;
  batch.kv_tokens = kv;
  return batch;
}

TEST(CostModel, IsTheLaw) {
  const CostModel model{simple()};
  EXPECT_EQ(model.step_time(batch_of(0, 0, 0)).time, Nanos{10'000'000});
  EXPECT_EQ(model.step_time(batch_of(3, 2, 100)).time, Nanos{10'000'000 + 3'000'000 + 4'000'000 + 100'000});
}

TEST(CostModel, SaysWhenItExtrapolates) {
  const CostModel model{simple()};
  EXPECT_FALSE(model.step_time(batch_of(100, 10, 1000)).extrapolated);
  EXPECT_TRUE(model.step_time(batch_of(101, 0, 0)).extrapolated);
  EXPECT_TRUE(model.step_time(batch_of(0, 11, 0)).extrapolated);
  EXPECT_TRUE(model.step_time(batch_of(0, 0, 1001)).extrapolated);
}

TEST(CostModel, GivesTheSchedulerItsBounds) {
  const SchedulerConfig config = scheduler_config(simple());
  EXPECT_EQ(config.blocks, 62);  // whole blocks only
  EXPECT_EQ(config.block_size, 16);
  EXPECT_EQ(config.max_running, 10);
  EXPECT_EQ(config.max_batched_tokens, 100);
  EXPECT_EQ(config.max_model_len, 500);
  EXPECT_FALSE(config.max_queued);
}

// Wakes up late every time, as real clocks do.
class LateClock final : public Clock {
 public:
  Nanos now() const override { return now_; }
  void sleep_until(Nanos deadline) override {
    if (deadline > now_) now_ = deadline + Nanos{80'000};
  }
  Nanos now_{0};
};

TEST(CostExecutor, DoesNotDriftWhenItWakesUpLate) {
  LateClock clock;
  CostExecutor executor{simple(), clock};
  const StepBatch batch = batch_of(0, 1, 0);  // 12 ms
  for (int i = 0; i < 1000; ++i) {
    const auto took = executor.execute(batch, {});
    ASSERT_TRUE(took);
    EXPECT_EQ(*took, Nanos{12'000'000});
    clock.now_ += Nanos{30'000};  // the scheduler's turn
  }
  EXPECT_LT(clock.now() - 1000 * Nanos{12'000'000}, Nanos{200'000});
  clock.now_ += Nanos{1'000'000'000};  // idle: not made up for
  const Nanos start = clock.now();
  (void)executor.execute(batch, {});
  EXPECT_EQ(clock.now() - start, Nanos{12'080'000});
}

TEST(CostExecutor, TokensAreAFunctionOfSeedAndPosition) {
  ManualClock clock;
  CostExecutor executor{simple(), clock};
  const std::vector<TokenId> prompt(5, 'x');
  StepBatch batch;
  batch.items.push_back({1, prompt, 0, {}, true, 0, 42});  // successor at position 5
  batch.items.push_back(
      {2, std::span(prompt).first(1), 4, {}, true, 0, 42});  // the same, recomputed otherwise
  batch.items.push_back({3, std::span(prompt).first(1), 5, {}, true, 0, 42});   // the next position
  batch.items.push_back({4, std::span(prompt).first(1), 4, {}, true, 0, 43});   // another seed
  batch.items.push_back({5, std::span(prompt).first(1), 4, {}, false, 0, 42});  // wants none
  std::vector<TokenId> sampled(5, -1);
  ASSERT_TRUE(executor.execute(batch, sampled));
  EXPECT_EQ(sampled[0], sampled[1]);
  EXPECT_NE(sampled[0], sampled[2]);
  EXPECT_NE(sampled[0], sampled[3]);
  EXPECT_EQ(sampled[4], -1);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(sampled[i] >= 'a' && sampled[i] <= 'z');
  EXPECT_EQ(executor.extrapolated_steps(), 0);
  ASSERT_TRUE(executor.execute(batch_of(101, 0, 0), {}));
  EXPECT_EQ(executor.extrapolated_steps(), 1);
  EXPECT_EQ(executor.describe(), "simple (cost model, simulated)");
}

TEST(CostExecutor, EndsOnlyWhenAsked) {
  ManualClock clock;
  CostExecutor always{simple(), clock, {.end_probability = 1, .end_token = 0}};
  const std::vector<TokenId> prompt(1, 'x');
  StepBatch batch;
  batch.items.push_back({1, prompt, 0, {}, true, 0, 42});
  std::vector<TokenId> sampled(1, -1);
  ASSERT_TRUE(always.execute(batch, sampled));
  EXPECT_EQ(sampled[0], 0);
}

// ---- profiles

TEST(HardwareProfile, ShippedOnesLoadAndPrintBack) {
  for (const std::string_view name : profiles::shipped_names("hardware")) {
    const auto loaded = profiles::load_hardware(name);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->name, name);
    const std::string printed = profiles::print_hardware(*loaded);
    const auto again = profiles::parse_hardware(printed, "printed");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(profiles::print_hardware(*again), printed);
    int parameters = 0;
    loaded->each_parameter([&](std::string_view key, const profiles::Parameter& p) {
      ++parameters;
      EXPECT_FALSE(p.source.empty()) << name << " " << key;
    });
    EXPECT_EQ(parameters, 12);
  }
}

TEST(HardwareProfile, RefusesAParameterWithoutProvenance) {
  std::string text = profiles::print_hardware(simple());
  const auto cut = text.find("\"provenance\": \"assumed\",");
  text.erase(cut, std::string_view{"\"provenance\": \"assumed\","}.size());
  const auto refused = profiles::parse_hardware(text, "x.json");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "x.json: step_time.base_s.provenance: required, but missing");
}

TEST(HardwareProfile, SaysWhatIsWrong) {
  profiles::HardwareProfile hardware = simple();
  hardware.base_s.value = 0;
  hardware.kv_token_s.value = -1;
  hardware.block_size.value = 2000;
  hardware.max_running.value = 0;
  const auto refused = profiles::parse_hardware(profiles::print_hardware(hardware), "x.json");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "x.json: step_time.kv_token_s.value: found -1; it must not be negative\n"
            "x.json: capacity.max_running.value: found 0; accepted: 1 to 2000000000\n"
            "x.json: step_time.base_s: a step must take some time: the value must be above 0\n"
            "x.json: capacity.kv_tokens: found 1000, which is less than one block of 2000 tokens");
}

TEST(FleetProfile, ShippedOnesLoadAndSayWhereNumbersComeFrom) {
  for (const std::string_view name : profiles::shipped_names("fleet")) {
    const auto fleet = profiles::load_fleet(name);
    ASSERT_TRUE(fleet) << fleet.error().message;
    EXPECT_EQ(fleet->name, name);
    fleet->each_parameter([&](std::string_view key, const profiles::Parameter& p) {
      EXPECT_FALSE(p.source.empty()) << name << " " << key;
    });
  }
}

TEST(FleetProfile, TakesItsHardwareInline) {
  std::string hardware = profiles::print_hardware(simple());
  hardware.erase(hardware.find("\"schema\""), hardware.find("\"name\"") - hardware.find("\"schema\""));
  const std::string text =
      R"({"schema": "dsbench.fleet/1", "name": "f", "description": "d", "hardware_inline": )" + hardware +
      R"(, "replicas": {"value": 3, "provenance": "assumed", "source": "s"},
      "router": {"value": "round_robin", "provenance": "assumed", "source": "s"},
      "network_rtt": {"value": "2ms", "provenance": "assumed", "source": "s"},
      "max_queued": {"value": 5, "provenance": "assumed", "source": "s"},
      "queue_timeout": {"value": "1m", "provenance": "assumed", "source": "s"}})";
  const auto fleet = profiles::parse_fleet(text, "x.json");
  ASSERT_TRUE(fleet) << fleet.error().message;
  EXPECT_EQ(fleet->hardware.name, "simple");
  EXPECT_EQ(fleet->replicas.value, 3);
  EXPECT_DOUBLE_EQ(fleet->network_rtt.value, 0.002);
  EXPECT_EQ(fleet->max_queued->value, 5);
  EXPECT_DOUBLE_EQ(fleet->queue_timeout->value, 60);
}

TEST(FleetProfile, SaysWhatIsWrong) {
  const auto refused = profiles::parse_fleet(
      R"({"schema": "dsbench.fleet/1", "name": "f", "description": "d", "hardware": "laptop-tiny",
          "replicas": {"value": 3, "source": "s"}, "router": {"value": "best", "provenance": "assumed", "source": "s"},
          "network_rtt": 5, "max_queue": {"value": 1}})",
      "x.json");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("x.json: replicas.provenance: required, but missing"));
  EXPECT_THAT(
      refused.error().message,
      HasSubstr("x.json: router.value: found the string \"best\"; accepted: round_robin, least_outstanding"));
  EXPECT_THAT(refused.error().message,
              HasSubstr("x.json: network_rtt: expected an object, found the number 5"));
  EXPECT_THAT(refused.error().message,
              HasSubstr("x.json: unknown key 'max_queue'; did you mean 'max_queued'?"));
}

// The published day closes on itself when put through the shipped law (serving.md §0 and §3: 95.48 + 131.38 =
// 226.86 nodes, while the published mean occupancy is 226.75).
TEST(DeepSeekFleet, TheLawReproducesThePublishedNodeCount) {
  const auto hardware = profiles::load_hardware("h800-node");
  ASSERT_TRUE(hardware);
  const CostModel model{*hardware};
  // A node that decodes 704 sequences at the mean context of 4,989.
  const double decode_step_s = to_seconds(model.step_time(batch_of(0, 704, 704 * 4989)).time);
  EXPECT_NEAR(decode_step_s, 0.0476, 0.0001);
  const double decode_rate = 704 / decode_step_s;
  EXPECT_NEAR(decode_rate, 14'800, 40);
  const double prefill_rate = 1 / hardware->prefill_token_s.value;
  const double nodes = 608e9 / 86'400 / prefill_rate + 168e9 / 86'400 / decode_rate;
  EXPECT_NEAR(nodes, 226.86, 0.5);
}

}  // namespace
}  // namespace dsbench::engine
