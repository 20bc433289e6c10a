#include "results/breakdown.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/files.h"
#include "results/recorder.h"
#include "results/report/report.h"
#include "results/run_file.h"

namespace dsbench::results {
namespace {

using namespace std::chrono_literals;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "dsbench-breakdown-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ec;
    std::filesystem::remove_all(path, ec);
  }
  std::filesystem::path path;
};

struct Told {
  std::uint64_t session = 0;
  std::uint32_t turn = 0;
  std::uint16_t tenant = 0;
  Nanos due{0}, ttft{0};
  Reason reason = Reason::ok;
  std::uint32_t attempts = 1;
  std::int32_t cached = -1;
};

void tell(RecordSink& sink, std::uint32_t stage, const Told& t) {
  const std::uint64_t number = t.session | std::uint64_t{t.turn} << turn_shift;
  AttemptRecord a;
  a.request = number;
  a.stage = stage;
  a.turn = t.turn;
  a.tenant = t.tenant;
  a.due = a.sent = t.due;
  a.prompt_tokens = 100;
  a.output_tokens = 10;
  for (std::uint32_t i = 0; i < t.attempts; ++i) {
    a.attempt = i;
    const bool last = i + 1 == t.attempts;
    a.reason = last ? t.reason : Reason::http_503;
    a.cached_prompt_tokens = last ? t.cached : -1;
    a.done = t.due + t.ttft + 100ms;
    sink.attempt(a);
  }
  RequestRecord r;
  r.request = number;
  r.stage = stage;
  r.turn = t.turn;
  r.tenant = t.tenant;
  r.attempts = t.attempts;
  r.due = r.sent = r.final_sent = t.due;
  r.reason = t.reason;
  r.done = a.done;
  if (ended_well(t.reason)) {
    r.first_token = t.due + t.ttft;
    r.last_token = r.done;
  }
  r.prompt_tokens = 100;
  r.output_tokens = 10;
  sink.request(r);
}

std::unique_ptr<Recorder> recorder_in(const Folder& folder) {
  Slo loose, tight;
  loose.ttft = 1s;
  tight.ttft = 10ms;
  auto recorder =
      open_recorder(folder.path, loose, {.tenants = {{"people", loose, 0}, {"agents", tight, 0.7}}});
  EXPECT_TRUE(recorder) << (recorder ? "" : recorder.error().message);
  StageInfo stage;
  stage.name = "first";
  stage.measure_from = 1s;
  stage.end = 10s;
  EXPECT_EQ((*recorder)->begin_stage(stage), 0u);
  stage.name = "second";
  stage.start = stage.measure_from = 10s;
  stage.end = 20s;
  EXPECT_EQ((*recorder)->begin_stage(stage), 1u);
  return std::move(*recorder);
}

RunSummary summary_of(Recorder& recorder) {
  RunSummary run;
  run.kind = "load";
  for (std::uint32_t i = 0; i < 2; ++i) run.stages.push_back(recorder.summarize(i));
  run.stages[0].ledger = Ledger{660, 0, 0, 0, 0};
  return run;
}

TEST(Breakdown, TellsTenantsTurnsAndTheChainApart) {
  const Folder folder;
  const auto recorder = recorder_in(folder);
  RecordSink& sink = recorder->channel(0);
  tell(sink, 0, {.session = 1, .due = 500ms, .ttft = 5ms});  // in the warm-up: not measured
  tell(sink, 0, {.session = 1, .turn = 1, .due = 2s, .ttft = 50ms, .cached = 80});
  tell(sink, 0, {.session = 1, .turn = 5, .due = 3s, .ttft = 50ms, .attempts = 2, .cached = 90});
  tell(sink, 0, {.session = 2, .tenant = 1, .due = 4s, .ttft = 50ms});  // too late for its own bound
  tell(sink, 1, {.session = 2, .turn = 1, .tenant = 1, .due = 11s, .ttft = 5ms, .reason = Reason::cancelled});
  tell(sink, 1,
       {.session = 2, .turn = 2, .tenant = 1, .due = 12s, .ttft = 5ms, .reason = Reason::closed_early});
  RunSummary run = summary_of(*recorder);
  EXPECT_EQ(run.stages[0].good, 2) << "the recorder judges each tenant by its own bounds";
  EXPECT_EQ(run.stages[1].good, 1);
  EXPECT_EQ(run.stages[1].completed, 1) << "what the client cut short is no failure";
  ASSERT_TRUE(recorder->close());
  const auto added = add_breakdown(folder.path / "records.sqlite", run);
  ASSERT_TRUE(added) << added.error().message;

  ASSERT_EQ(run.tenants.size(), 2u);
  EXPECT_EQ(run.tenants[0].name, "people");
  EXPECT_EQ(run.tenants[0].slice.requests, 2);
  EXPECT_EQ(run.tenants[0].slice.good, 2);
  EXPECT_EQ(run.tenants[0].slice.attempts, 3);
  EXPECT_EQ(run.tenants[0].slice.prompt_tokens, 200);
  EXPECT_EQ(run.tenants[0].slice.output_tokens, 20);
  EXPECT_DOUBLE_EQ(run.tenants[0].slice.cached_share.value_or(0), 0.85);
  EXPECT_EQ(run.tenants[0].slice.ttft.count, 2);
  EXPECT_FALSE(run.tenants[0].slice.ttft.percentiles[3].value) << "two samples carry no p99";
  EXPECT_EQ(run.tenants[1].slo.ttft, Nanos{10ms});
  EXPECT_EQ(run.tenants[1].planned_reasoning_share, 0.7);
  EXPECT_EQ(run.tenants[1].slice.requests, 3);
  EXPECT_EQ(run.tenants[1].slice.good, 1);
  EXPECT_EQ(run.tenants[1].slice.completed, 2);
  EXPECT_EQ(run.tenants[1].slice.ttft.infinite, 1);
  EXPECT_FALSE(run.tenants[1].slice.cached_share);
  // Jain's index of 1 and 1/3: (4/3)² ÷ (2 · 10/9) = 0.8.
  EXPECT_NEAR(run.fairness.value_or(0), 0.8, 1e-12);

  ASSERT_EQ(run.turns.size(), 4u);  // 0, 1, 2, 4 to 7
  EXPECT_EQ(run.turns[0].slice.requests, 1);
  EXPECT_EQ(run.turns[1].slice.requests, 2);
  EXPECT_EQ(run.turns[3].from, 4u);
  EXPECT_EQ(run.turns[3].to, 7u);
  EXPECT_EQ(run.turns[3].slice.attempts, 2);

  ASSERT_EQ(run.amplification.size(), 2u);
  const Amplification& first = run.amplification[0];
  EXPECT_EQ(first.name, "first");
  EXPECT_EQ(first.users, 2);
  EXPECT_EQ(first.requests, 4);
  EXPECT_EQ(first.attempts, 5);
  EXPECT_EQ(first.tokens, 5 * 110);
  EXPECT_EQ(first.computed_tokens, 660);
  EXPECT_DOUBLE_EQ(first.requests_per_user, 2);
  EXPECT_DOUBLE_EQ(first.attempts_per_request, 1.25);
  EXPECT_DOUBLE_EQ(first.tokens_per_attempt, 110);
  EXPECT_DOUBLE_EQ(first.computed_per_token.value_or(0), 1.2);
  EXPECT_FALSE(run.amplification[1].computed_tokens);

  const auto again = parse_run(print_run(run), "run.json");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(print_run(*again), print_run(run));
  const std::string text = report::render_text(run, {});
  for (const char* said :
       {"tenants\n", "people", "70.0 % (planned)", "turns of sessions", "4 to 7", "from users to compute",
        "fairness  0.800, Jain's index of the good shares of 2 tenants"}) {
    EXPECT_NE(text.find(said), std::string::npos) << said << " in\n" << text;
  }
  EXPECT_NE(report::render_html(run).find("from users to compute"), std::string::npos);
  EXPECT_NE(report::render_markdown(run).find("| people | 2 | 100 % | 3 | 200 | 85.0 % |"), std::string::npos)
      << report::render_markdown(run);
}

TEST(Breakdown, SaysWhatItCannotRead) {
  const Folder folder;
  RunSummary run;
  const auto none = add_breakdown(folder.path / "records.sqlite", run);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::io);
  EXPECT_NE(none.error().message.find("cannot open"), std::string::npos) << none.error().message;
  ASSERT_TRUE(write_file_atomically(folder.path / "other", std::string(5'000, 'x')));
  const auto other = add_breakdown(folder.path / "other", run);
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("as dsbench.records/1: file is not a database"), std::string::npos)
      << other.error().message;
}

TEST(Breakdown, JainIndex) {
  EXPECT_DOUBLE_EQ(jain_index(std::vector<double>{0.5, 0.5, 0.5}).value_or(0), 1);
  EXPECT_DOUBLE_EQ(jain_index(std::vector<double>{1, 0, 0, 0}).value_or(0), 0.25);
  EXPECT_FALSE(jain_index(std::vector<double>{0, 0}));
}

}  // namespace
}  // namespace dsbench::results
