#include "loadgen/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "loadgen/virtual_runner.h"
#include "loadgen/workload.h"
#include "tests/fakes/fifo_target.h"
#include "tests/fakes/kept_records.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;

profiles::TrafficProfile traffic(const std::string& text) {
  auto profile = profiles::parse_traffic_text(text);
  EXPECT_TRUE(profile) << profile.error().message;
  return *profile;
}

profiles::WorkloadProfile chat() {
  return *profiles::load_workload("chat-tiny");
}

std::vector<double> gaps_of(const std::vector<Arrival>& arrivals) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < arrivals.size(); ++i)
    gaps.push_back(to_seconds(arrivals[i].due - arrivals[i - 1].due));
  return gaps;
}

double cv_of(const std::vector<double>& values) {
  double sum = 0;
  double squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / static_cast<double>(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / static_cast<double>(values.size())) / mean;
}

TEST(Schedule, ConstantRateHasExactCountAndSpacing) {
  for (const auto& [text, n, gap] : std::vector<std::tuple<std::string, std::size_t, Nanos>>{
           {"constant hold(10/s,30s)", 300, 100ms},
           {"constant hold(3/s,10s)", 30, Nanos{333'333'333}},
           {"constant hold(0.1/s,100s)", 10, 10s},
           {"constant hold(20000/s,5s)", 100000, 50us}}) {
    const auto arrivals = make_schedule(traffic(text), 1);
    ASSERT_EQ(arrivals.size(), n) << text;
    for (std::size_t i = 1; i < n; ++i) {
      ASSERT_LE(std::abs((arrivals[i].due - arrivals[i - 1].due - gap).count()), 1) << text << " " << i;
    }
  }
}

TEST(Schedule, RampFollowsTheIntegral) {
  // From 10/s to 200/s in 300 s: 31500 arrivals; after t seconds 10 t + (190/600) t² have come.
  const auto arrivals = make_schedule(traffic("constant ramp(10/s..200/s,5m)"), 1);
  ASSERT_EQ(arrivals.size(), 31500u);
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    const double t = to_seconds(arrivals[i].due);
    ASSERT_NEAR(10 * t + 190.0 / 600 * t * t, static_cast<double>(i) + 0.5, 1e-4) << i;
  }
  const auto down = make_schedule(traffic("constant ramp(200/s..0/s,10s)"), 1);
  EXPECT_EQ(down.size(), 1000u);
}

TEST(Schedule, PiecesJoinWithoutLossAndCarryTheirStage) {
  const auto profile = traffic("constant hold(10/s,10s) hold(0/s,5s) steps(10/s..30/s by 10/s,hold 2s)");
  const auto arrivals = make_schedule(profile, 1, {1000, 60s, 7});
  ASSERT_EQ(arrivals.size(), 100u + 20 + 40 + 60);
  EXPECT_EQ(arrivals.front().request, 1000u);
  EXPECT_EQ(arrivals.back().request, 1219u);
  const auto plan = plan_of(profile);
  for (const Arrival& a : arrivals) {
    const auto& stage = plan.stages.at(a.stage - 7);
    EXPECT_GE(a.due - 60s, stage.start);
    EXPECT_LT(a.due - 60s, stage.end);
  }
}

TEST(Schedule, PoissonMeanIsTheIntegral) {
  // The total is Poisson with mean 1050; over 400 seeds the mean's standard deviation is 1.62.
  double sum = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    sum += static_cast<double>(make_schedule(traffic("poisson ramp(10/s..60/s,30s)"), seed).size());
  }
  EXPECT_NEAR(sum / 400, 1050, 3 * std::sqrt(1050.0 / 400));
}

TEST(Schedule, GammaRecoversItsCvAndItsRate) {
  for (const double cv : {0.5, 1.0, 2.0, 4.0}) {
    const auto arrivals =
        make_schedule(traffic("gamma(cv " + std::to_string(cv).substr(0, 3) + ") hold(100/s,500s)"), 5);
    const double measured = cv_of(gaps_of(arrivals));
    // Relative standard error of a Gamma sample's CV, from its fourth moment: about sqrt((1 + 2 cv²)/(2 n))
    // for these.
    const double sigma = cv * std::sqrt((1 + 2 * cv * cv) / (2.0 * 50000));
    EXPECT_NEAR(measured, cv, 4 * sigma) << cv;
    EXPECT_NEAR(static_cast<double>(arrivals.size()), 50000, 4 * cv * std::sqrt(50000.0)) << cv;
    std::printf("gamma cv %.1f: measured %.3f, %zu arrivals of 50000\n", cv, measured, arrivals.size());
  }
  // Stationary from the start: bursty arrivals do not begin with a burst.
  double sum = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    sum += static_cast<double>(make_schedule(traffic("gamma(cv 3) hold(10/s,1s)"), seed).size());
  }
  EXPECT_NEAR(sum / 2000, 10, 3 * 9.5 / std::sqrt(2000.0));
}

TEST(Schedule, IsAFunctionOfProfileAndSeed) {
  const auto profile = traffic("gamma(cv 2) hold(50/s,20s) ramp(50/s..10/s,10s)");
  EXPECT_EQ(make_schedule(profile, 9), make_schedule(profile, 9));
  EXPECT_NE(make_schedule(profile, 9), make_schedule(profile, 10));
  const auto at_nought = make_schedule(profile, 9);
  const auto moved = make_schedule(profile, 9, {500, 100s, 3});
  ASSERT_EQ(at_nought.size(), moved.size());
  for (std::size_t i = 0; i < moved.size(); ++i) {
    EXPECT_EQ(moved[i],
              (Arrival{at_nought[i].request + 500, at_nought[i].due + 100s, at_nought[i].stage + 3}));
  }
}

TEST(ScheduleStream, GivesTheSameInPiecesAsAtOnce) {
  for (const char* text : {"poisson hold(50/s,10s) ramp(50/s..200/s,10s) hold(0/s,5s) hold(20/s,5s)",
                           "constant curve(0s 10/s,5s 40/s,5s 0/s,20s 30/s)", "gamma(cv 3) hold(80/s,30s)"}) {
    const auto profile = traffic(text);
    const auto whole = make_schedule(profile, 9);
    for (const Nanos slice : {Nanos{1ms}, Nanos{333ms}, Nanos{7s}}) {
      ScheduleStream stream{profile, 9};
      std::vector<ScheduleStream::Point> points;
      for (Nanos limit = slice; limit < 40s; limit += slice) {
        while (const auto point = stream.next_before(limit)) {
          ASSERT_LT(point->due, limit);
          points.push_back(*point);
        }
      }
      ASSERT_EQ(points.size(), whole.size()) << text;
      for (std::size_t i = 0; i < whole.size(); ++i)
        ASSERT_EQ(points[i], (ScheduleStream::Point{whole[i].due, whole[i].stage})) << text;
    }
  }
}

TEST(ScheduleStream, AHandOnTheDialChangesWhatComesAfterIt) {
  const auto profile = traffic("constant hold(100/s,30s)");
  ScheduleStream stream{profile, 1};
  std::vector<int> per_second(30, 0);
  const auto pull = [&](Nanos limit) {
    while (const auto point = stream.next_before(limit))
      ++per_second[static_cast<std::size_t>(point->due / 1s)];
  };
  pull(10s);
  stream.scale_from(10s, 2.5);
  pull(20s);
  stream.scale_from(20s, 0);
  pull(25s);
  stream.scale_from(25s, 1);
  pull(40s);
  for (int s = 0; s < 30; ++s) {
    const int wanted = s < 10 ? 100 : s < 20 ? 250 : s < 25 ? 0 : 100;
    EXPECT_NEAR(per_second[static_cast<std::size_t>(s)], wanted, 1) << s;
  }
}

TEST(ScheduleStream, ScalingARampScalesItsIntegral) {
  const auto profile = traffic("constant ramp(0/s..100/s,20s)");  // 1000 in all; 250 in the first half
  ScheduleStream stream{profile, 1};
  int first = 0, second = 0;
  while (stream.next_before(10s)) ++first;
  stream.scale_from(10s, 3);
  while (stream.next_before(30s)) ++second;
  EXPECT_NEAR(first, 250, 1);
  EXPECT_NEAR(second, 3 * 750, 1);
}

TEST(Schedule, GoldenFirstArrivals) {
  // Poisson by inverse CDF from named streams: the same bytes with every compiler and library.
  const auto arrivals = make_schedule(traffic("poisson hold(10/s,1s)"), 42);
  std::vector<std::int64_t> due;
  for (std::size_t i = 0; i < 4 && i < arrivals.size(); ++i) due.push_back(arrivals[i].due.count());
  EXPECT_EQ(due, (std::vector<std::int64_t>{71935259, 174064371, 326267923, 328069380}));
}

TEST(Workload, IsAFunctionOfSeedAndNumberWhateverTheOrder) {
  const SharedSource source = make_source(chat(), 3);
  std::vector<Attempt> forward;
  for (std::uint64_t i = 0; i < 100; ++i) forward.push_back(source(i));
  const SharedSource other = make_source(chat(), 3);
  for (std::uint64_t i = 100; i-- > 0;) EXPECT_EQ(other(i), forward[i]);
  EXPECT_NE(make_source(chat(), 4)(0), forward[0]);
  std::set<std::uint64_t> prompts;
  for (const Attempt& a : forward) prompts.insert(a.prompt_seed);
  EXPECT_EQ(prompts.size(), 100u);
}

TEST(Workload, ChangingOneStreamLeavesTheOthersAlone) {
  profiles::WorkloadProfile changed = chat();
  changed.output_tokens = {profiles::LengthLaw::Kind::uniform, 1, 9, 1, 0};
  const SharedSource a = make_source(chat(), 3);
  const SharedSource b = make_source(changed, 3);
  int different = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    EXPECT_EQ(a(i).prompt_tokens, b(i).prompt_tokens);
    EXPECT_EQ(a(i).prompt_seed, b(i).prompt_seed);
    different += a(i).output_tokens != b(i).output_tokens ? 1 : 0;
  }
  EXPECT_GT(different, 100);
}

TEST(Workload, LawsHaveTheirMedianAndStayInBounds) {
  const SharedSource source = make_source(chat(), 11);
  std::vector<std::int32_t> prompts;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const Attempt a = source(i);
    prompts.push_back(a.prompt_tokens);
    ASSERT_GE(a.prompt_tokens, 8);
    ASSERT_LE(a.prompt_tokens, 192);
    ASSERT_GE(a.output_tokens, 4);
    ASSERT_LE(a.output_tokens, 64);
  }
  std::nth_element(prompts.begin(), prompts.begin() + 10000, prompts.end());
  EXPECT_NEAR(prompts[10000], 48, 1);
  const profiles::LengthLaw uniform{profiles::LengthLaw::Kind::uniform, 3, 7, 1, 0};
  EXPECT_EQ(profiles::length_at(uniform, 1e-9), 3);
  EXPECT_EQ(profiles::length_at(uniform, 0.5), 5);
  EXPECT_EQ(profiles::length_at(uniform, 1 - 1e-9), 7);
}

// As the wire's runner hands them to its issuers: i belongs to i mod workers.
std::vector<Arrival> share_of(const std::vector<Arrival>& arrivals, std::uint32_t worker,
                              std::uint32_t workers) {
  std::vector<Arrival> share;
  share.reserve(arrivals.size() / workers + 1);
  for (const Arrival& arrival : arrivals) {
    if (arrival.request % workers == worker) share.push_back(arrival);
  }
  return share;
}

// What left, over the union of any number of workers, is Poisson: in windows of 1 s, variance ÷ mean of the
// counts is 1.
TEST(Sent, DispersionIsOneForAnyNumberOfWorkers) {
  const auto arrivals = make_schedule(traffic("poisson hold(100/s,400s)"), 2026);
  for (std::uint32_t workers = 1; workers <= 8; ++workers) {
    std::vector<double> counts(400, 0);
    for (std::uint32_t w = 0; w < workers; ++w) {
      fakes::FifoTarget target{{.capacity = Rate::per_second(1000), .max_queued = {}}};
      fakes::KeptRecords kept;
      std::atomic<bool> stop{false};
      const auto runner = make_virtual_runner(target, ClientPolicy{}, make_source(chat(), 1), 1, kept, stop);
      ASSERT_TRUE(runner->offer(share_of(arrivals, w, workers), 400s));
      ASSERT_EQ(runner->drain(500s).value(), 0u);
      for (const auto& a : kept.attempts) {
        ASSERT_EQ(a.sent, a.due);
        counts.at(static_cast<std::size_t>(a.sent / 1s)) += 1;
      }
    }
    const double cv = cv_of(counts);
    double mean = 0;
    for (const double c : counts) mean += c / 400;
    const double index = cv * cv * mean;
    // Var of the index of dispersion of n windows: 2 / (n − 1).
    EXPECT_NEAR(index, 1, 3 * std::sqrt(2.0 / 399)) << workers;
    std::printf("%u workers: mean %.2f a second, index of dispersion %.3f\n", workers, mean, index);
  }
}

}  // namespace
}  // namespace dsbench::loadgen
