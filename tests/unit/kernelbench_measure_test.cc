#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <deque>

#include "kernelbench/kernel_set.h"
#include "kernelbench/measure/run.h"
#include "kernelbench/measure/sampler.h"
#include "kernelbench/measure/stand.h"
#include "kernelbench/measure/wire_format.h"
#include "kernelbench/op.h"

namespace dsbench::kernelbench {
namespace {

using testing::HasSubstr;

// A device whose time is scripted: every sample takes what stands next, and the clock moves with it.
class ScriptedDevice final : public Device {
 public:
  explicit ScriptedDevice(ManualClock& clock) : clock_{clock} {}
  std::deque<Sample> script;  // the last one repeats
  std::string behaviour;
  int launches = 0;
  std::int64_t room = std::int64_t{1} << 32;
  bool broken = false;  // as a device is after a kernel that wrote where nothing is

  std::string_view word() const override { return "cpu"; }
  int sm_arch() const override { return 0; }
  int threads() const override { return 1; }
  void* stream() const override { return nullptr; }
  std::vector<std::pair<std::string, std::string>> facts() const override {
    return {{"cpu_model", "scripted"}};
  }
  Result<DeviceMemory> allocate(std::int64_t bytes) override {
    return DeviceMemory{std::aligned_alloc(256, static_cast<std::size_t>((bytes + 511) / 256 * 256)), bytes,
                        [](void* p) { std::free(p); }};
  }
  Result<void> upload(void* device, const void* host, std::int64_t bytes) override {
    if (broken) return fail(ErrorKind::internal, "an illegal memory access was encountered");
    std::memcpy(device, host, static_cast<std::size_t>(bytes));
    return {};
  }
  Result<void> download(void* host, const void* device, std::int64_t bytes) override {
    std::memcpy(host, device, static_cast<std::size_t>(bytes));
    return {};
  }
  Result<void> synchronize() override { return {}; }
  std::int64_t free_bytes() const override { return room; }
  std::int64_t cache_bytes() const override { return 1 << 20; }
  Result<Sample> time(const Launch& launch, int, CacheState) override { return next(launch); }
  Result<Sample> time_graph(const Launch& launch, int, int) override { return next(launch); }
  Result<std::string> conduct(const Launch&) override { return behaviour; }
  Result<Launch> control() override {
    return Launch{[](int) { return 0; }};
  }
  Result<const Ceilings*> ceilings() override {
    ceilings_.copy_bytes_per_s = 10e9;
    ceilings_.peaks = {{"f32", 100e9, "script"}};
    ceilings_.launch_floor_s = 1e-9;
    return &ceilings_;
  }

 private:
  Result<Sample> next(const Launch& launch) {
    ++launches;
    if (const int error = launch(0); error != 0)
      return fail(ErrorKind::internal, "the kernel returned error {}", error);
    Sample sample{.seconds = 1e-3, .clock_hz = 2e9};
    if (!script.empty()) {
      sample = script.front();
      if (script.size() > 1) script.pop_front();
    }
    clock_.advance(from_seconds(sample.seconds));
    return sample;
  }
  ManualClock& clock_;
  Ceilings ceilings_;
};

Launch nothing() {
  return [](int) { return 0; };
}

TEST(SampleStats, DescribesMedianSpreadAndError) {
  std::vector<Sample> samples;
  for (int i = 1; i <= 9; ++i) samples.push_back({.seconds = i * 1e-6, .clock_hz = 2e9});
  const SampleStats s = describe(samples);
  EXPECT_DOUBLE_EQ(s.median, 5e-6);
  EXPECT_NEAR(s.p10, 1.8e-6, 1e-12);
  EXPECT_NEAR(s.p90, 8.2e-6, 1e-12);
  EXPECT_NEAR(s.mad, 2e-6, 1e-12);
  EXPECT_EQ(s.samples, 9);
  EXPECT_EQ(s.dropped, 0);
  EXPECT_NEAR(s.relative_error(), 1.2533 * 1.4826 * 2 / (5 * 3), 1e-9);
}

TEST(SampleStats, DropsWhatALoweredClockSlowedAndSaysWhenItWasTooMuch) {
  std::vector<Sample> samples(10, {.seconds = 1e-6, .clock_hz = 2e9});
  samples[3] = {.seconds = 9e-6, .clock_hz = 1.7e9};
  SampleStats s = describe(samples);
  EXPECT_EQ(s.dropped, 1);
  EXPECT_DOUBLE_EQ(s.p90, 1e-6);
  EXPECT_FALSE(s.throttled());
  for (std::size_t i : {5U, 7U}) samples[i].clock_hz = 1e9;
  EXPECT_TRUE(describe(samples).throttled());
}

TEST(SampleStats, OfNothingIsNothing) {
  EXPECT_EQ(describe({}).samples, 0);
  EXPECT_EQ(describe({}).relative_error(), 0);
}

TEST(Sampler, WarmsUpUntilTwoMediansAgree) {
  ManualClock clock;
  ScriptedDevice device{clock};
  // Nine cold launches that get faster, then a level.
  for (const double t : {9e-3, 9e-3, 9e-3, 5e-3, 5e-3, 5e-3, 2e-3, 2e-3, 2e-3, 1e-3})
    device.script.push_back({.seconds = t, .clock_hz = 0});
  ASSERT_TRUE(warm_up(device, nothing(), 1, {}, clock));
  EXPECT_EQ(device.launches, 15);
}

TEST(Sampler, GivesUpWarmingUpWhenItsTimeIsOver) {
  ManualClock clock;
  ScriptedDevice device{clock};
  for (int i = 0; i < 4000; ++i)
    device.script.push_back({.seconds = i / 3 % 2 == 0 ? 1e-3 : 2e-3, .clock_hz = 0});
  ASSERT_TRUE(warm_up(device, nothing(), 1, {.warm_up = Nanos{100'000'000}}, clock));
  EXPECT_LT(device.launches, 120);
}

TEST(Sampler, StopsWhenTheMedianIsKnownWellEnough) {
  ManualClock clock;
  ScriptedDevice device{clock};
  std::atomic<bool> stop{false};
  const auto samples = take_samples(device, nothing(), 1, {}, clock, stop);
  ASSERT_TRUE(samples);
  EXPECT_EQ(samples->size(), 10U);
}

TEST(Sampler, StopsWhenTheBudgetIsSpentButNotBeforeThreeSamples) {
  ManualClock clock;
  ScriptedDevice device{clock};
  std::atomic<bool> stop{false};
  device.script.push_back({.seconds = 1.0, .clock_hz = 0});
  const auto samples = take_samples(device, nothing(), 1, {}, clock, stop);
  ASSERT_TRUE(samples);
  EXPECT_EQ(samples->size(), 3U);
}

TEST(Sampler, StopsWhenAsked) {
  ManualClock clock;
  ScriptedDevice device{clock};
  std::atomic<bool> stop{true};
  EXPECT_TRUE(take_samples(device, nothing(), 1, {}, clock, stop)->empty());
}

TEST(Slots, AreOneWithAFlushAndTwiceTheCacheWithout) {
  EXPECT_EQ(slots_for(1e6, 10'000'000, CacheState::flush), 1);
  EXPECT_EQ(slots_for(1e6, 10'000'000, CacheState::rotate), 20);
  EXPECT_EQ(slots_for(1e9, 10'000'000, CacheState::rotate), 2);
  EXPECT_EQ(slots_for(10, 10'000'000, CacheState::rotate), 64);
}

Problem small_norm() {
  auto problem = problem_from_json(R"({"op":"rmsnorm","dtype":"f32","params":{"tokens":4,"hidden":64}})");
  EXPECT_TRUE(problem) << problem.error().message;
  return *problem;
}

// Kernels that each do one thing wrong, on top of the right answer.
struct Wrong {
  static int right(const dsb_call* call) {
    const auto* x = static_cast<const float*>(call->in[0].data);
    const auto* w = static_cast<const float*>(call->in[1].data);
    auto* y = static_cast<float*>(call->out[0].data);
    const std::int64_t n = call->in[0].shape[1];
    for (std::int64_t t = 0; t < call->in[0].shape[0]; ++t) {
      double squares = 0;
      for (std::int64_t i = 0; i < n; ++i) squares += double{x[t * n + i]} * x[t * n + i];
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-6);
      for (std::int64_t i = 0; i < n; ++i) y[t * n + i] = static_cast<float>(x[t * n + i] * inverse * w[i]);
    }
    return 0;
  }
  static int zero_row(const dsb_call* call) {
    (void)right(call);
    std::memset(static_cast<float*>(call->out[0].data) + call->in[0].shape[1], 0,
                4 * static_cast<std::size_t>(call->in[0].shape[1]));
    return 0;
  }
  // Right once, then never again: a kernel that keeps its answer.
  static int once(const dsb_call* call) {
    static int calls = 0;
    return calls++ == 0 ? right(call) : 0;
  }
  static int error(const dsb_call*) { return 7; }
  static const char* said() { return "out of luck"; }
  static int no(const char*, int) { return 0; }
};

dsb_kernel kernel_of(const char* name, int (*run)(const dsb_call*)) {
  dsb_kernel k{};
  k.size = sizeof(dsb_kernel);
  k.abi_version = DSB_KERNEL_ABI_VERSION;
  k.name = name;
  k.op = "rmsnorm";
  k.author = "test";
  k.device = DSB_CPU;
  k.run = run;
  return k;
}

class StandTest : public testing::Test {
 protected:
  ManualClock clock_;
  ScriptedDevice device_{clock_};
  std::atomic<bool> stop_{false};

  OpenReport open_one(dsb_kernel kernel) {
    LocalStand stand{device_, {&kernel, 1}, {}, clock_, stop_};
    auto report = stand.open(0, 0, small_norm());
    EXPECT_TRUE(report);
    return *report;
  }
};

TEST_F(StandTest, OpensTimesAndClosesARightKernel) {
  dsb_kernel kernel = kernel_of("right", Wrong::right);
  LocalStand stand{device_, {&kernel, 1}, {}, clock_, stop_};
  const auto opened = stand.open(3, 0, small_norm());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->state, CellState::ok) << opened->why;
  EXPECT_EQ(opened->check.rows_checked, 4);
  const auto taken = stand.sample(3);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->samples.size(), 10U);
  const auto closed = stand.close(3);
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->state, CellState::ok);
}

TEST_F(StandTest, DoesNotTimeAWrongKernel) {
  const OpenReport report = open_one(kernel_of("wrong", Wrong::zero_row));
  EXPECT_EQ(report.state, CellState::incorrect);
  EXPECT_FALSE(report.why.empty());
}

TEST_F(StandTest, FindsAKernelThatIsRightOnlyOnce) {
  dsb_kernel kernel = kernel_of("once", Wrong::once);
  LocalStand stand{device_, {&kernel, 1}, {}, clock_, stop_};
  ASSERT_EQ(stand.open(0, 0, small_norm())->state, CellState::ok);
  ASSERT_TRUE(stand.sample(0));
  const auto closed = stand.close(0);
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->state, CellState::incorrect);
  EXPECT_THAT(closed->why, HasSubstr("after timing"));
}

TEST_F(StandTest, SaysWhatAKernelSaid) {
  dsb_kernel kernel = kernel_of("broken", Wrong::error);
  kernel.last_error = Wrong::said;
  const OpenReport report = open_one(kernel);
  EXPECT_EQ(report.state, CellState::failed);
  EXPECT_EQ(report.why, "broken returned 7 from run(): out of luck");
}

TEST_F(StandTest, SaysWhatAKernelDoesNotDo) {
  dsb_kernel kernel = kernel_of("elsewhere", Wrong::right);
  kernel.supports = Wrong::no;
  EXPECT_EQ(open_one(kernel).state, CellState::unsupported);
}

TEST_F(StandTest, DoesNotTimeAKernelThatMisbehaves) {
  device_.behaviour = "it synchronises";
  const OpenReport report = open_one(kernel_of("rude", Wrong::right));
  EXPECT_EQ(report.state, CellState::misbehaved);
  EXPECT_EQ(report.why, "it synchronises");
}

TEST_F(StandTest, SkipsWhatDoesNotFit) {
  device_.room = 1000;
  const OpenReport report = open_one(kernel_of("right", Wrong::right));
  EXPECT_EQ(report.state, CellState::skipped);
  EXPECT_THAT(report.why, HasSubstr("memory is free"));
}

TEST_F(StandTest, RunsWithAControlAndGoogleBenchmarksFile) {
  const std::array<dsb_kernel, 2> table{kernel_of("right", Wrong::right),
                                        kernel_of("wrong", Wrong::zero_row)};
  LocalStand stand{device_, table, {}, clock_, stop_};
  const std::vector<CellPlan> plan = plan_cells({small_norm()}, {&stand}, "cpu");
  ASSERT_EQ(plan.size(), 2U);
  const auto report = run_cells(device_, plan, {.repetitions = 3, .sampler = {}, .facts = {}}, clock_, stop_,
                                [](auto, auto, auto) {});
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->run.cells.size(), 3U);
  const CellResult& right = report->run.cells[0];
  EXPECT_EQ(right.state, CellState::ok) << right.why;
  EXPECT_EQ(right.repetitions_s.size(), 3U);
  EXPECT_DOUBLE_EQ(right.seconds(), 1e-3);
  EXPECT_TRUE(right.checked_again);
  ASSERT_TRUE(right.roofline);
  EXPECT_EQ(right.roofline->bound, "memory");
  EXPECT_EQ(report->run.cells[1].state, CellState::incorrect);
  EXPECT_FALSE(report->run.cells[1].timed());
  EXPECT_EQ(report->run.cells[2].name, kControlName);
  EXPECT_TRUE(report->run.cells[2].timed());
  EXPECT_THAT(report->google_json, HasSubstr("\"repetition_index\": 2"));
  EXPECT_THAT(report->google_json, HasSubstr("control/copy"));
}

TEST_F(StandTest, ABaselineThatIsNotToBeHadIsNoFailure) {
  dsb_kernel kernel = kernel_of("baseline", Wrong::right);
  kernel.role = 1;
  kernel.prepare = Wrong::error;
  kernel.last_error = Wrong::said;
  const OpenReport report = open_one(kernel);
  EXPECT_EQ(report.state, CellState::unsupported);
  EXPECT_THAT(report.why, HasSubstr("out of luck"));
}

TEST_F(StandTest, KeepsWhatWasFoundBeforeTheDeviceBroke) {
  static ScriptedDevice* device = nullptr;
  device = &device_;
  const auto destroys = [](const dsb_call* call) {
    if (call->in[0].shape[0] != 8) return Wrong::right(call);
    device->broken = true;
    return 0;
  };
  const std::array<dsb_kernel, 2> table{kernel_of("right", Wrong::right), kernel_of("destroys", destroys)};
  LocalStand stand{device_, table, {}, clock_, stop_};
  std::vector<Problem> problems(3, small_norm());
  problems[1].params["tokens"] = 8;
  problems[2].params["tokens"] = 16;
  const auto report = run_cells(device_, plan_cells(problems, {&stand}, "cpu"),
                                {.timing = false, .sampler = {}, .memory_bytes = 1, .facts = {}}, clock_,
                                stop_, [](auto, auto, auto) {});
  ASSERT_TRUE(report) << report.error().message;
  std::vector<CellState> states;
  for (const CellResult& cell : report->run.cells) states.push_back(cell.state);
  using enum CellState;
  EXPECT_THAT(states, testing::ElementsAre(ok, ok, failed, incorrect, failed, skipped));
  EXPECT_THAT(report->run.cells[4].why, HasSubstr("illegal memory access"));
  EXPECT_THAT(report->run.cells[5].why, HasSubstr("an earlier cell broke the device"));
}

TEST_F(StandTest, AnInterruptedRunSaysWhatItDidNotDo) {
  const std::array<dsb_kernel, 1> table{kernel_of("right", Wrong::right)};
  LocalStand stand{device_, table, {}, clock_, stop_};
  stop_ = true;
  const auto report =
      run_cells(device_, plan_cells({small_norm()}, {&stand}, "cpu"),
                {.repetitions = 3, .sampler = {}, .facts = {}}, clock_, stop_, [](auto, auto, auto) {});
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->run.interrupted);
  EXPECT_EQ(report->run.cells[0].state, CellState::skipped);
  EXPECT_EQ(report->run.cells[0].why, "interrupted");
}

TEST(WireFormat, CarriesEverythingThere) {
  OpenReport report;
  report.state = CellState::incorrect;
  report.why = "row 3 \xff";
  report.check.global_diff = std::nan("");
  report.check.rows = 7;
  report.check.freivalds_sigma = 2.5;
  report.work = {.flops = 1e9, .bytes = 2e9, .unit = "f32"};
  report.routing = RoutingFacts{.experts = 8, .active = 5, .rows_median = 2, .rows_max = 4};
  const auto back = parse_report(print_answer(report));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->state, CellState::incorrect);
  EXPECT_TRUE(std::isnan(back->check.global_diff));
  EXPECT_EQ(back->check.rows, 7);
  EXPECT_EQ(back->check.freivalds_sigma, 2.5);
  EXPECT_EQ(back->work.unit, "f32");
  EXPECT_EQ(back->routing->rows_max, 4);

  const auto taken = parse_taken(
      print_answer(Stand::Taken{.state = CellState::ok, .why = "", .samples = {{1e-6, 2e9}, {2e-6, 0}}}));
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->samples[1].seconds, 2e-6);

  const auto request =
      parse_request(print_request({.verb = WorkerVerb::sample, .cell = 4, .kernel = 2, .problem = "{}"}));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->verb, WorkerVerb::sample);
  EXPECT_EQ(request->cell, 4);

  const auto error = parse_taken(print_answer(Error{ErrorKind::internal, "gone"}));
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().message, "gone");
  EXPECT_FALSE(parse_report("nonsense"));
  EXPECT_FALSE(parse_request(R"({"verb":"dance","cell":1,"kernel":0,"problem":""})"));
}

}  // namespace
}  // namespace dsbench::kernelbench
