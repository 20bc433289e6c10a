#include "results/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/files.h"
#include "core/rng.h"
#include "results/hdr_log.h"
#include "results/latency_summary.h"
#include "results/record_replay.h"
#include "results/recorder.h"
#include "results/run_file.h"

namespace dsbench::results {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    // In memory where there is such a place: every database here is synced several times.
    const fs::path where = fs::is_directory("/dev/shm") ? fs::path{"/dev/shm"} : fs::temp_directory_path();
    std::string name = (where / "dsbench-merge-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] fs::path make(const std::string& name) const {
    fs::create_directories(path_ / name);
    return path_ / name;
  }

 private:
  fs::path path_;
};

const Slo slo{2s, std::nullopt, std::nullopt};
constexpr Nanos stage_start{1s}, stage_length{20s};

// A request of a service with a heavy tail; the seventh of eight workers talks to a slow replica. Some fail,
// some are tried twice.
struct Sample {
  std::vector<AttemptRecord> attempts;
  RequestRecord request;
};
Sample sample(std::uint64_t i, std::uint64_t all) {
  Rng rng{7, "merge", i};
  const double slow = i % 8 == 6 ? 5 : 1;
  Sample s;
  RequestRecord& r = s.request;
  r.request = i;
  r.due = stage_start +
          Nanos{static_cast<std::int64_t>(static_cast<double>(i) * static_cast<double>(stage_length.count()) /
                                          static_cast<double>(all))};
  r.sent = r.due + from_seconds(1e-4 * rng.exponential());
  const bool failed = rng.uniform() < 0.01;
  const bool retried = rng.uniform() < 0.03;
  Nanos begin = r.due;
  for (std::uint32_t k = 0; k < (retried ? 2U : 1U); ++k) {
    AttemptRecord a;
    a.request = i;
    a.attempt = k;
    a.due = begin;
    a.sent = k == 0 ? r.sent : begin + 50us;
    const bool bad = failed || (retried && k == 0);
    a.done = a.sent + from_seconds(slow * 0.2 * std::exp(rng.normal()));
    if (bad) {
      a.reason = Reason::http_503;
      a.http_status = 503;
    } else {
      a.first_byte = a.first_token = a.sent + (a.done - a.sent) / 3;
      a.last_token = a.done;
      a.output_tokens = 5;
      if (i % 3 > 0) a.read_lag = from_seconds(1e-4 * rng.exponential());  // else the wire did not tell
      for (int g = 0; g < 4; ++g) a.gaps.push_back(from_seconds(slow * 0.02 * std::exp(rng.normal())));
    }
    a.prompt_tokens = 10;
    a.output_tokens_asked = 5;
    s.attempts.push_back(a);
    begin = a.done + 100ms;
  }
  const AttemptRecord& last = s.attempts.back();
  r.attempts = static_cast<std::uint32_t>(s.attempts.size());
  r.final_sent = last.sent;
  r.first_token = last.first_token;
  r.last_token = last.last_token;
  r.done = last.done;
  r.prompt_tokens = 10;
  r.output_tokens = last.output_tokens;
  r.reason = last.reason;
  return s;
}

struct Made {
  std::uint64_t all = 800;
  std::uint32_t workers = 4;
  Nanos shift{0};  // of this worker's clock of the run
};

// The run of worker k of n, or of one process that sends everything (n = 1).
WorkerRun record(const fs::path& folder, std::uint32_t k, const Made& made) {
  auto recorder = open_recorder(folder, slo).value();
  recorder->begin_stage({"hold", StageKind::load, Rate::per_second(100), stage_start + made.shift,
                         stage_start + made.shift, stage_start + stage_length + made.shift});
  for (std::uint64_t i = k; i < made.all; i += made.workers) {
    Sample s = sample(i, made.all);
    RequestRecord r = s.request;
    recorder->offered(0, i, r.due + made.shift);
    for (AttemptRecord a : s.attempts) {
      a.worker = static_cast<std::uint32_t>((i / made.workers) % 2);
      for (Nanos* t : {&a.due, &a.sent, &a.first_byte, &a.first_token, &a.last_token, &a.done})
        if (*t != never) *t += made.shift;
      recorder->channel(a.worker).attempt(a);
    }
    for (Nanos* t : {&r.due, &r.sent, &r.final_sent, &r.first_token, &r.last_token, &r.done})
      if (*t != never) *t += made.shift;
    recorder->channel(static_cast<std::uint32_t>((i / made.workers) % 2)).request(r);
  }
  WorkerRun run;
  run.directory.path = folder;
  RunSummary& s = run.summary;
  s.kind = "load";
  s.slo = slo;
  s.seed = 7;
  s.profile_json = R"({"traffic":"hold"})";
  s.stages.push_back(recorder->summarize(0));
  s.timeline = recorder->timeline();
  s.requests = recorder->requests();
  s.attempts = recorder->attempts();
  s.duration = 70s + made.shift;
  EXPECT_TRUE(recorder->close().has_value());
  WorkerShare share;
  share.index = k;
  share.count = made.workers;
  share.found = "--worker";
  share.start = "--start-at";
  share.start_at = 1'000s;
  share.began_at = 1'000s;
  share.lateness = 100us;
  share.plan_digest = "p";
  share.schedule_digest = "s";
  share.scheduled = static_cast<std::int64_t>(made.all);
  s.worker = share;
  return run;
}

std::vector<WorkerRun> record_all(const Folder& folder, const Made& made) {
  std::vector<WorkerRun> runs;
  for (std::uint32_t k = 0; k < made.workers; ++k)
    runs.push_back(record(folder.make("w" + std::to_string(k)), k, made));
  return runs;
}

// The runs of four workers and of eight, made once: nobody writes to them.
const std::vector<WorkerRun>& four_workers() {
  static const Folder folder;
  static const std::vector<WorkerRun> runs = record_all(folder, {});
  return runs;
}
constexpr Made of_eight{.all = 8'000, .workers = 8};
const std::vector<WorkerRun>& eight_workers() {
  static const Folder folder;
  static const std::vector<WorkerRun> runs = record_all(folder, of_eight);
  return runs;
}

std::vector<HdrInterval> intervals_of(const fs::path& log) {
  return parse_hdr_log(read_file(log).value()).value();
}

void expect_equal(const LatencySummary& a, const LatencySummary& b, const char* what) {
  EXPECT_EQ(a.count, b.count) << what;
  EXPECT_EQ(a.infinite, b.infinite) << what;
  EXPECT_EQ(a.min, b.min) << what;
  EXPECT_EQ(a.max, b.max) << what;
  ASSERT_EQ(a.percentiles.size(), b.percentiles.size()) << what;
  for (std::size_t i = 0; i < a.percentiles.size(); ++i) {
    EXPECT_EQ(a.percentiles[i].value, b.percentiles[i].value) << what << " q " << a.percentiles[i].q;
    EXPECT_EQ(a.percentiles[i].infinite, b.percentiles[i].infinite) << what;
  }
}

TEST(Merge, EightWorkersAreWhatOneProcessWouldHaveMeasured) {
  const Folder folder;
  const Made one{.all = of_eight.all, .workers = 1};
  const WorkerRun truth = record(folder.make("truth"), 0, one);
  auto merged = merge_workers(eight_workers(), {}, folder.make("merged"));
  ASSERT_TRUE(merged.has_value()) << merged.error().message;
  EXPECT_EQ(merged->validity, Validity::valid);
  EXPECT_THAT(merged->invalid_causes, IsEmpty());
  const StageSummary &a = merged->stages.front(), &b = truth.summary.stages.front();
  EXPECT_EQ(a.requests, 8'000);
  EXPECT_EQ(a.requests, b.requests);
  EXPECT_EQ(a.delivered, b.delivered);
  EXPECT_EQ(a.completed, b.completed);
  EXPECT_EQ(a.good, b.good);
  EXPECT_EQ(a.attempts, b.attempts);
  EXPECT_EQ(a.attempts_by_reason, b.attempts_by_reason);
  EXPECT_EQ(a.requests_by_reason, b.requests_by_reason);
  EXPECT_EQ(a.verdict, b.verdict);
  EXPECT_DOUBLE_EQ(a.good_share_lower, b.good_share_lower);
  expect_equal(a.ttft, b.ttft, "ttft");
  expect_equal(a.ttft_service, b.ttft_service, "ttft_service");
  expect_equal(a.tpot, b.tpot, "tpot");
  expect_equal(a.itl, b.itl, "itl");
  expect_equal(a.e2e, b.e2e, "e2e");
  expect_equal(a.e2e_service, b.e2e_service, "e2e_service");
  expect_equal(a.ntpot, b.ntpot, "ntpot");
  expect_equal(a.send_lag, b.send_lag, "send_lag");
  expect_equal(a.read_lag, b.read_lag, "read_lag");
  EXPECT_GT(b.read_lag.count, 0);
  // With a failure in a hundred the 99.9th of all is infinite; of those that were answered it is exact.
  ASSERT_TRUE(a.send_lag.percentiles.back().value.has_value());
  // The timeline is that of the one process, second by second.
  ASSERT_EQ(merged->timeline.size(), truth.summary.timeline.size());
  for (std::size_t i = 0; i < merged->timeline.size(); ++i) {
    const TimelinePoint &x = merged->timeline[i], &y = truth.summary.timeline[i];
    EXPECT_EQ(x.offered, y.offered);
    EXPECT_EQ(x.sent, y.sent);
    EXPECT_EQ(x.completed, y.completed);
    EXPECT_EQ(x.good, y.good);
    EXPECT_EQ(x.failed, y.failed);
    EXPECT_EQ(x.ttft_p50, y.ttft_p50);
    EXPECT_EQ(x.ttft_max, y.ttft_max);
  }
  ASSERT_EQ(merged->workers.size(), 8U);
  std::int64_t requests = 0;
  for (const WorkerSummary& w : merged->workers) requests += w.requests;
  EXPECT_EQ(requests, merged->requests);
}

// The promise of the issue, from the merged .hlog alone, and beside it what averaging would have said.
TEST(Merge, ThePercentilesOfTheMergedLogAreThoseOfAllSamples) {
  const Folder folder;
  std::vector<std::int64_t> samples;
  for (std::uint64_t i = 0; i < of_eight.all; ++i) {
    const Sample s = sample(i, of_eight.all);
    if (ended_well(s.request.reason)) samples.push_back((s.request.last_token - s.request.due).count());
  }
  std::sort(samples.begin(), samples.end());
  const fs::path out = folder.make("merged");
  std::vector<WorkerRun> runs = eight_workers();
  double mean_of_percentiles = 0;
  for (const WorkerRun& run : runs) {
    Histogram own;
    for (const HdrInterval& i : intervals_of(run.directory.latency_log())) {
      if (i.tag == "e2e;0-hold") own.add(i.histogram);
    }
    mean_of_percentiles += static_cast<double>(own.quantile(0.999)->count()) / 8;
  }
  ASSERT_TRUE(merge_workers(std::move(runs), {}, out).has_value());
  Histogram all;
  std::set<std::pair<Nanos, std::string>> lines;
  for (const HdrInterval& i : intervals_of(out / "latency.hlog")) {
    EXPECT_TRUE(lines.emplace(i.start, i.tag).second) << i.tag << " has two lines of one second";
    if (i.tag == "e2e;0-hold") all.add(i.histogram);
  }
  ASSERT_EQ(all.count(), static_cast<std::int64_t>(samples.size()));
  for (const double q : {0.5, 0.9, 0.99, 0.999}) {
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(samples.size()))) - 1;
    const auto exact = static_cast<double>(samples[rank]);
    EXPECT_NEAR(static_cast<double>(all.quantile(q)->count()) / exact, 1, 0.001) << q;
  }
  const auto exact = static_cast<double>(
      samples[static_cast<std::size_t>(std::ceil(0.999 * static_cast<double>(samples.size()))) - 1]);
  EXPECT_GT(std::abs(mean_of_percentiles / exact - 1), 0.05);
}

TEST(Merge, EveryRecordIsThereOnceAndSaysItsWorker) {
  const Folder folder;
  const fs::path out = folder.make("merged");
  ASSERT_TRUE(merge_workers(four_workers(), {}, out).has_value());
  auto replay = RecordReplay::open(out / "records.sqlite").value();
  std::set<std::uint64_t> requests;
  std::set<std::uint32_t> threads;
  Nanos before{0};
  while (replay.next_at()) {
    const RecordReplay::Item* item = replay.next().value();
    EXPECT_GE(item->at, before);
    before = item->at;
    if (item->kind == RecordReplay::Kind::request) {
      EXPECT_TRUE(requests.insert(item->request.request).second);
      const Sample s = sample(item->request.request, 800);
      EXPECT_EQ(item->request.due, s.request.due);
      EXPECT_EQ(item->request.reason, s.request.reason);
      EXPECT_EQ(item->request.attempts, s.request.attempts);
    } else if (item->kind == RecordReplay::Kind::attempt) {
      EXPECT_EQ(item->attempt.worker / 256, item->attempt.request % 4);
      threads.insert(item->attempt.worker);
      EXPECT_EQ(item->attempt.gaps.size(), item->attempt.reason == Reason::ok ? 4U : 0U);
    }
  }
  EXPECT_EQ(requests.size(), 800U);
  EXPECT_EQ(threads, (std::set<std::uint32_t>{0, 1, 256, 257, 512, 513, 768, 769}));
}

TEST(Merge, TimesOfWorkersThatBeganAtAnotherSecondOfTheirRunAreMoved) {
  const Folder folder;
  std::vector<WorkerRun> runs = four_workers();
  runs[2] = record(folder.make("late"), 2, {.shift = 3s});
  const auto merged = merge_workers(std::move(runs), {}, folder.make("merged"));
  ASSERT_TRUE(merged.has_value()) << merged.error().message;
  const auto truth = record(folder.make("truth"), 0, {.workers = 1});
  EXPECT_EQ(merged->stages.front().start, stage_start);
  expect_equal(merged->stages.front().ttft, truth.summary.stages.front().ttft, "ttft");
  EXPECT_EQ(merged->timeline[10].offered, truth.summary.timeline[10].offered);
}

TEST(Merge, AMissingWorkerMakesItInvalidUnlessItIsAllowed) {
  const Folder folder;
  std::vector<WorkerRun> runs = four_workers();
  runs.erase(runs.begin() + 1);
  const auto strict =
      merge_workers(runs, {"'w1' has no run.json: its worker did not come to an end"}, folder.make("strict"));
  ASSERT_TRUE(strict.has_value()) << strict.error().message;
  EXPECT_EQ(strict->validity, Validity::invalid);
  EXPECT_THAT(strict->invalid_causes,
              Contains(HasSubstr("worker 1 of 4 is missing; 'w1' has no run.json: its worker did not come to "
                                 "an end: 1 of 4 shares of the schedule were not offered")));
  EXPECT_EQ(strict->workers.size(), 3U);
  EXPECT_EQ(strict->workers_expected, 4);
  const auto allowed = merge_workers(runs, {}, folder.make("allowed"), {.allow_missing = true});
  ASSERT_TRUE(allowed.has_value());
  EXPECT_EQ(allowed->validity, Validity::valid);
  EXPECT_EQ(allowed->stages.front().requests, 600);
  EXPECT_DOUBLE_EQ(allowed->stages.front().offered.per_second(), 30);
  EXPECT_THAT(allowed->warnings,
              Contains(HasSubstr("the load that was offered is 3 of 4 shares of the planned one")));
}

TEST(Merge, WorkersThatBeganApartAreNoOneLoad) {
  const Folder folder;
  std::vector<WorkerRun> runs = four_workers();
  for (WorkerRun& run : runs) {
    run.summary.worker->start_at.reset();
    run.summary.worker->began_at = 1'000s + 40ms * run.summary.worker->index;
  }
  const auto apart = merge_workers(runs, {}, folder.make("apart"));
  EXPECT_THAT(apart->invalid_causes, Contains(HasSubstr("the workers began 120 ms apart, accepted 100 ms: "
                                                        "start them with one --start-at")));
  runs[3].summary.worker->began_at = 1'000s;
  const auto near = merge_workers(runs, {}, folder.make("near"));
  EXPECT_EQ(near->validity, Validity::valid);
  EXPECT_THAT(near->warnings, Contains(HasSubstr("agreed on no start; by their own clocks they began 80")));
  for (WorkerRun& run : runs) run.summary.worker->start_at = run.summary.worker->began_at;
  const auto two_starts = merge_workers(runs, {}, folder.make("two"));
  EXPECT_THAT(two_starts->invalid_causes, Contains(HasSubstr("with different --start-at")));
}

TEST(Merge, WhatAWorkerSaysOfItselfIsSaidOfTheWhole) {
  const Folder folder;
  std::vector<WorkerRun> runs = four_workers();
  runs[2].summary.validity = Validity::invalid;
  runs[2].summary.invalid_causes = {"hold: requests left late"};
  runs[2].summary.stages.front().invalid_causes = {"requests left late"};
  for (WorkerRun& run : runs) run.summary.warnings = {"said by all"};
  runs[0].summary.warnings.emplace_back("said by one");
  const auto merged = merge_workers(runs, {}, folder.make("merged"));
  EXPECT_EQ(merged->validity, Validity::invalid);
  EXPECT_THAT(merged->invalid_causes, Contains("worker 2: hold: requests left late"));
  EXPECT_THAT(merged->stages.front().invalid_causes, Contains("worker 2: requests left late"));
  EXPECT_THAT(merged->warnings, Contains("said by all"));
  EXPECT_THAT(merged->warnings, Contains("worker 0: said by one"));
}

TEST(Merge, AWorkerThatWasInterruptedEndsTheJudgedPartForAll) {
  const Folder folder;
  std::vector<WorkerRun> runs = four_workers();
  runs[1].summary.ended = "interrupted";
  runs[1].summary.stages.front().end = stage_start + 10s;
  runs[1].summary.worker->scheduled = 420;
  runs[1].summary.worker->schedule_digest = "less";
  const auto merged = merge_workers(runs, {}, folder.make("merged"));
  ASSERT_TRUE(merged.has_value()) << merged.error().message;
  EXPECT_EQ(merged->validity, Validity::valid);
  EXPECT_EQ(merged->ended, "worker 1: interrupted");
  EXPECT_EQ(merged->stages.front().end, stage_start + 10s);
  EXPECT_EQ(merged->stages.front().requests, 400);
  EXPECT_THAT(merged->warnings,
              Contains(HasSubstr("each stage is judged up to where all of them offered it")));
}

TEST(Merge, WhatIsNoOneLoadIsRefused) {
  const Folder folder;
  const std::vector<WorkerRun> runs = four_workers();
  int n = 0;
  const auto refusal = [&](const std::function<void(std::vector<WorkerRun>&)>& change) {
    std::vector<WorkerRun> changed = runs;
    change(changed);
    auto merged = merge_workers(std::move(changed), {}, folder.make("refused" + std::to_string(n++)));
    EXPECT_FALSE(merged.has_value());
    if (merged) return std::string{};
    EXPECT_EQ(merged.error().kind, ErrorKind::usage);
    return merged.error().message;
  };
  EXPECT_THAT(refusal([](auto& r) { r[1].summary.worker.reset(); }), HasSubstr("no worker's share"));
  EXPECT_THAT(refusal([](auto& r) { r[1].summary.kind = "rehearse"; }),
              HasSubstr("what it offers next depends on what it has seen"));
  EXPECT_THAT(
      refusal([](auto& r) {
        r[1].summary.kind = "rehearse";
        r[1].summary.knee.offered = Rate::per_second(40);
      }),
      HasSubstr(
          "confirm its knee of 40/s from several hosts with `dsbench load --traffic 'steps(32/s..60/s by "
          "4/s,hold 2m)' --worker K/N`"));
  EXPECT_THAT(refusal([](auto& r) { r[1].summary.workers.resize(1); }), HasSubstr("has been merged already"));
  EXPECT_THAT(refusal([](auto& r) { r[3].summary.worker->index = 2; }), HasSubstr("are the same worker"));
  EXPECT_THAT(refusal([](auto& r) { r[1].summary.worker->count = 5; }),
              HasSubstr("numbers of workers 4 and 5"));
  EXPECT_THAT(refusal([](auto& r) { r[1].summary.seed = 8; }), HasSubstr("seeds 7 and 8"));
  EXPECT_THAT(refusal([](auto& r) { r[1].summary.worker->plan_digest = "q"; }), HasSubstr("plans"));
  EXPECT_THAT(refusal([](auto& r) { r[1].summary.worker->schedule_digest = "t"; }),
              HasSubstr("drew different schedules (800 and 800 requests)"));
  EXPECT_THAT(refusal([](auto& r) { r.clear(); }), HasSubstr("there is no worker's run to merge"));
  EXPECT_THAT(refusal([](auto& r) { ++r[1].summary.stages.front().good; }),
              HasSubstr("the records do not agree with the run files"));
  EXPECT_THAT(refusal([](auto& r) {
                r[0].directory.path = r[1].directory.path;
                r.erase(r.begin() + 1);
              }),
              HasSubstr("which is worker 1's"));
}

TEST(Merge, ALogThatWasCutIsRefused) {
  const Folder folder;
  std::vector<WorkerRun> runs = four_workers();
  const fs::path copy = folder.make("copy");
  fs::copy(runs[0].directory.path, copy, fs::copy_options::recursive);
  runs[0].directory.path = copy;
  const std::string log = read_file(runs[0].directory.latency_log()).value();
  std::ofstream{runs[0].directory.latency_log()} << log.substr(0, log.rfind("Tag="));
  const auto merged = merge_workers(runs, {}, folder.make("merged"));
  ASSERT_FALSE(merged.has_value());
  EXPECT_THAT(merged.error().message, HasSubstr("the latency logs do not agree with the records"));
}

TEST(Merge, AScheduledRequestWithoutARecordMakesItInvalid) {
  const Folder folder;
  std::vector<WorkerRun> runs = four_workers();
  for (WorkerRun& run : runs) run.summary.worker->scheduled = 804;
  const auto merged = merge_workers(runs, {}, folder.make("merged"));
  ASSERT_TRUE(merged.has_value());
  EXPECT_THAT(merged->invalid_causes, Contains(HasSubstr("worker 0 has no record of 1 of its requests")));
}

TEST(Merge, AWorkerThatSentNothingIsMissingAndSaysWhy) {
  const Folder folder;
  std::vector<WorkerRun> runs = four_workers();
  runs[3].summary.stages.clear();
  runs[3].summary.validity = Validity::invalid;
  runs[3].summary.invalid_causes = {"worker 3 of 4 was ready 170 ms after the agreed start, accepted 100 ms"};
  const auto merged = merge_workers(runs, {}, folder.make("merged"));
  EXPECT_THAT(
      merged->invalid_causes,
      Contains(HasSubstr("worker 3 of 4 is missing; worker 3: worker 3 of 4 was ready 170 ms after")));
}

TEST(Merge, TheRunFileKeepsTheWorkers) {
  const Folder folder;
  auto merged = merge_workers(four_workers(), {}, folder.make("merged")).value();
  const auto again = parse_run(print_run(merged), "test");
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(print_run(*again), print_run(merged));
  EXPECT_EQ(again->workers.size(), 4U);
  EXPECT_EQ(again->workers[3].share.lateness, Nanos{100us});
}

}  // namespace
}  // namespace dsbench::results
