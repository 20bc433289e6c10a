#include "results/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "core/files.h"
#include "core/rng.h"
#include "results/gap_codec.h"
#include "results/hdr_log.h"

namespace dsbench::results {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// A folder that goes when the test does.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "dsbench-recorder-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Every row of a query, the columns joined by '|'.
std::vector<std::string> query(const std::filesystem::path& database, const std::string& sql) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open_v2(database.c_str(), &db, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  std::vector<std::string> rows;
  while (sqlite3_step(statement) == SQLITE_ROW) {
    std::string row;
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
      row += (i > 0 ? "|" : "") + std::string{text ? text : "NULL"};
    }
    rows.push_back(row);
  }
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return rows;
}

AttemptRecord attempt_of(std::uint64_t request, std::uint32_t attempt, Nanos due, Nanos done,
                         Reason reason = Reason::ok) {
  AttemptRecord a;
  a.request = request;
  a.attempt = attempt;
  a.due = due;
  a.sent = due + 1ms;
  a.done = done;
  a.reason = reason;
  a.prompt_tokens = 10;
  a.output_tokens_asked = 5;
  if (reason == Reason::ok) {
    a.first_byte = a.first_token = due + (done - due) / 2;
    a.last_token = done;
    a.output_tokens = 5;
    a.http_status = 200;
    a.gaps = {10ms, 20ms, 30ms, 40ms};
  }
  return a;
}

RequestRecord request_of(const AttemptRecord& last, Nanos due) {
  RequestRecord r;
  r.request = last.request;
  r.stage = last.stage;
  r.attempts = last.attempt + 1;
  r.due = due;
  r.sent = due + 1ms;
  r.final_sent = last.sent;
  r.first_token = last.first_token;
  r.last_token = last.last_token;
  r.done = last.done;
  r.prompt_tokens = last.prompt_tokens;
  r.output_tokens = last.output_tokens;
  r.reason = last.reason;
  return r;
}

const Slo slo{2s, std::nullopt, std::nullopt};

class RecorderTest : public ::testing::Test {
 protected:
  std::unique_ptr<Recorder> open(const RecorderOptions& options = {}) {
    auto recorder = open_recorder(folder_.path(), slo, options);
    EXPECT_TRUE(recorder.has_value()) << recorder.error().message;
    return std::move(*recorder);
  }
  // Offers and records a request of one attempt.
  static void whole(Recorder& recorder, std::uint32_t stage, std::uint64_t request, Nanos due, Nanos done,
                    Reason reason = Reason::ok) {
    recorder.offered(stage, request, due);
    AttemptRecord a = attempt_of(request, 0, due, done, reason);
    a.stage = stage;
    recorder.channel(0).attempt(a);
    recorder.channel(0).request(request_of(a, due));
  }
  [[nodiscard]] std::filesystem::path database() const { return folder_.path() / "records.sqlite"; }

  Folder folder_;
};

TEST_F(RecorderTest, every_column_holds_its_own_value) {
  auto recorder = open();
  AttemptRecord a;
  a.request = 1;
  a.attempt = 2;
  a.stage = 0;
  a.worker = 4;
  a.due = Nanos{5};
  a.sent = Nanos{6};
  a.first_byte = Nanos{7};
  a.first_token = Nanos{8};
  a.last_token = Nanos{9};
  a.done = Nanos{10};
  a.prompt_tokens = 11;
  a.output_tokens = 12;
  a.output_tokens_asked = 13;
  a.token_source = TokenSource::usage;
  a.reason = Reason::error_frame;
  a.http_status = 16;
  a.turn = 17;
  a.tenant = 18;
  a.provider = 19;
  a.cached_prompt_tokens = 20;
  a.reasoning_tokens = 21;
  a.connect_time = Nanos{22};
  a.tls_time = Nanos{23};
  a.gaps = {1ms};
  a.dns_time = Nanos{25};
  a.prompt_tokens_asked = 26;
  a.prompt_token_source = TokenSource::retokenised;
  a.images = 28;
  a.image_bytes = std::int64_t{29} << 32;
  a.read_lag = Nanos{30};
  RequestRecord r;
  r.request = 1;
  r.stage = 0;
  r.attempts = 3;
  r.due = Nanos{4};
  r.sent = Nanos{5};
  r.final_sent = Nanos{6};
  r.first_token = Nanos{7};
  r.last_token = Nanos{8};
  r.done = Nanos{9};
  r.prompt_tokens = 10;
  r.output_tokens = 11;
  r.reason = Reason::malformed;
  r.turn = 14;
  r.tenant = 15;
  r.provider = 16;
  (void)recorder->begin_stage({"step", StageKind::step, {}, 0s, 0s, 10s});
  recorder->channel(0).attempt(a);
  recorder->channel(0).request(r);
  AttemptRecord bare;  // of which nothing is known
  bare.request = std::uint64_t{1} << 40;
  recorder->channel(0).attempt(bare);
  ASSERT_TRUE(recorder->close().has_value());
  EXPECT_EQ(
      query(database(), "select *, hex(gaps_us) <> '' from attempts where request = 1"),
      (std::vector<std::string>{"1|2|0|4|5|6|7|8|9|10|11|12|13|usage|error_frame|16|17|18|19|20|21|22|23|" +
                                query(database(), "select gaps_us from attempts where request = 1").at(0) +
                                "|25|26|retokenised|28|124554051584|30|1"}));
  EXPECT_EQ(query(database(), "select * from requests"),
            (std::vector<std::string>{"1|0|3|4|5|6|7|8|9|10|11|malformed|0|14|15|16"}));
  EXPECT_EQ(query(database(),
                  "select count(*) from attempts where request = 1099511627776 and coalesce(due_ns, sent_ns, "
                  "first_byte_ns, first_token_ns, last_token_ns, done_ns, cached_prompt_tokens, "
                  "reasoning_tokens, connect_ns, tls_ns, gaps_us, dns_ns, read_lag_ns) is null"),
            (std::vector<std::string>{"1"}));
}

TEST_F(RecorderTest, counts_what_was_offered_good_and_left_open) {
  auto recorder = open();
  const auto stage = recorder->begin_stage({"step 1", StageKind::step, Rate::per_second(2), 0s, 2s, 12s});
  whole(*recorder, stage, 0, 1s, 1500ms);                // before the measured window
  whole(*recorder, stage, 1, 3s, 3500ms);                // good
  whole(*recorder, stage, 2, 3500ms, 40s);               // whole, but first token after 18 s: late
  whole(*recorder, stage, 3, 4s, 5s, Reason::http_503);  // failed
  recorder->offered(stage, 4, 11s);                      // never ended
  const StageSummary s = recorder->summarize(stage);
  EXPECT_EQ(s.requests, 4);
  EXPECT_EQ(s.delivered, 3);
  EXPECT_EQ(s.completed, 2);
  EXPECT_EQ(s.good, 1);
  EXPECT_EQ(s.attempts, 3);
  EXPECT_EQ(s.requests_by_reason[static_cast<std::size_t>(Reason::http_503)], 1);
  EXPECT_DOUBLE_EQ(s.offered.per_second(), 0.4);
  EXPECT_DOUBLE_EQ(s.good_share, 0.25);
  EXPECT_EQ(s.ttft.count, 2);
  EXPECT_EQ(s.ttft.infinite, 1);
  EXPECT_EQ(s.itl.count, 8);
  EXPECT_EQ(s.send_lag.count, 3);
  EXPECT_EQ(s.output_tokens, 10);
  EXPECT_EQ(recorder->attempts(), 4);

  const auto seconds = recorder->seconds(0s, 12s);
  ASSERT_EQ(seconds.size(), 12U);
  EXPECT_EQ(seconds[3], (SecondCounts{3, 2, 1, 2})) << "a request due in second 3 that ended in second 40";
  EXPECT_EQ(seconds[11], (SecondCounts{11, 1, 0, 0}));
  EXPECT_FALSE(seconds[11].decided());
  EXPECT_EQ(recorder->seconds(1500ms, 3900ms).size(), 1U) << "only whole seconds";

  const auto timeline = recorder->timeline();
  ASSERT_EQ(timeline.size(), 41U);
  EXPECT_EQ(timeline[3].in_flight, 1);
  EXPECT_EQ(timeline[39].in_flight, 2);
  EXPECT_EQ(timeline[40].in_flight, 1);
  EXPECT_EQ(timeline[40].completed, 1);
  EXPECT_EQ(timeline[40].good, 0);
  EXPECT_EQ(timeline[5].failed, 1);
  EXPECT_EQ(timeline[3].stage, 0);
  EXPECT_EQ(timeline[20].stage, -1);
  EXPECT_EQ(timeline[3].ttft_max, 250ms);
  EXPECT_FALSE(timeline[3].ttft_p50.has_value()) << "a median needs 11 samples";
  EXPECT_TRUE(recorder->close().has_value());
}

TEST_F(RecorderTest, a_retry_belongs_to_the_window_of_its_request) {
  auto recorder = open();
  const auto stage = recorder->begin_stage({"step", StageKind::step, Rate::per_second(1), 0s, 2s, 10s});
  // Due before the window, retried inside it; and due inside it, retried behind it.
  for (const auto& [request, due] : std::map<std::uint64_t, Nanos>{{0, 1s}, {1, 9s}}) {
    recorder->offered(stage, request, due);
    auto& sink = recorder->channel(1);
    sink.attempt(attempt_of(request, 0, due, due + 500ms, Reason::first_token_timeout));
    const AttemptRecord second = attempt_of(request, 1, due + 2s, due + 3s);
    sink.attempt(second);
    sink.request(request_of(second, due));
  }
  const StageSummary s = recorder->summarize(stage);
  EXPECT_EQ(s.requests, 1);
  EXPECT_EQ(s.attempts, 2);
  EXPECT_EQ(s.delivered, 1);
  EXPECT_EQ(s.attempts_by_reason[static_cast<std::size_t>(Reason::first_token_timeout)], 1);
  EXPECT_EQ(s.completed, 1);
  EXPECT_EQ(s.good, 0) << "first token 2.5 s after due";
}

// Of every attempt whose wire tells it, whatever became of it.
// A hedge ends while the first attempt goes on, and may have been due when the stage was over.
TEST_F(RecorderTest, a_hedge_belongs_to_the_window_of_its_request) {
  auto recorder = open();
  recorder->begin_stage({"hold", StageKind::load, Rate::per_second(1), 0s, 5s, 10s});
  RecordSink& sink = recorder->channel(1);
  // Due in the measured part, hedged behind it; due in the warm-up, hedged in the measured part.
  for (const auto& [request, due] : {std::pair{0, Nanos{9900ms}}, std::pair{1, Nanos{4900ms}}}) {
    const auto number = static_cast<std::uint64_t>(request);
    sink.offered(0, number, due);
    sink.attempt(attempt_of(number, 1, due + 200ms, due + 300ms, Reason::superseded));
    const AttemptRecord first = attempt_of(number, 0, due, due + 500ms);
    sink.attempt(first);
    sink.request(request_of(first, due));
  }
  ASSERT_TRUE(recorder->close());
  const StageSummary s = recorder->summarize(0);
  EXPECT_EQ(s.requests, 1);
  EXPECT_EQ(s.attempts, 2);
  EXPECT_EQ(s.attempts_by_reason[static_cast<std::size_t>(Reason::superseded)], 1);
}

TEST_F(RecorderTest, read_lag_has_percentiles_beside_the_send_lag) {
  auto recorder = open();
  const auto stage = recorder->begin_stage({"step", StageKind::step, Rate::per_second(2), 0s, 0s, 12s});
  for (std::uint64_t i = 0; i < 30; ++i) {
    AttemptRecord a = attempt_of(i, 0, 1s, 2s, i == 7 ? Reason::closed_early : Reason::ok);
    if (i % 3 > 0) a.read_lag = Nanos{1ms} * static_cast<int>(i);
    recorder->channel(1).attempt(a);
    recorder->channel(1).request(request_of(a, 1s));
  }
  const StageSummary s = recorder->summarize(stage);
  EXPECT_EQ(s.read_lag.count, 20);
  EXPECT_EQ(s.read_lag.infinite, 0);
  EXPECT_EQ(s.read_lag.max, 29ms);
  EXPECT_TRUE(s.read_lag.percentiles[0].value.has_value());
  ASSERT_TRUE(recorder->close().has_value());
  EXPECT_EQ(query(database(), "select read_lag_ns from attempts where request in (6, 7) order by request"),
            (std::vector<std::string>{"NULL", "7000000"}));
}

TEST_F(RecorderTest, every_stamp_is_in_the_database) {
  auto recorder = open();
  const auto stage = recorder->begin_stage({"step 1", StageKind::step, Rate::per_second(2), 0s, 0s, 12s});
  whole(*recorder, stage, 7, 1s, 2s);
  whole(*recorder, stage, 8, 1s, 3s, Reason::connect_failed);
  ASSERT_TRUE(recorder->close().has_value());
  EXPECT_EQ(
      query(database(), "select * from attempts where request = 8"),
      (std::vector<std::string>{"8|0|0|0|1000000000|1001000000|NULL|NULL|NULL|3000000000|10|0|5|chunks|"
                                "connect_failed|0|0|0|0|NULL|NULL|NULL|NULL|NULL|NULL|0|asked|0|0|NULL"}));
  EXPECT_EQ(
      query(database(),
            "select first_token_ns, last_token_ns, reason, hex(gaps_us) from attempts where request = 7"),
      (std::vector<std::string>{"1500000000|2000000000|ok|904EA09C01B0EA01C0B802"}));
  EXPECT_EQ(
      query(database(), "select request, attempts, done_ns, reason, good from requests order by request"),
      (std::vector<std::string>{"7|1|2000000000|ok|1", "8|1|3000000000|connect_failed|0"}));
  EXPECT_EQ(query(database(), "select * from stages"),
            (std::vector<std::string>{"0|step 1|step|2.0|0|0|12000000000"}));
  EXPECT_EQ(query(database(), "select value from meta where key in ('schema', 'slo_ttft_ns') order by key"),
            (std::vector<std::string>{"dsbench.records/1", "2000000000"}));
  EXPECT_EQ(query(database(), "pragma integrity_check"), (std::vector<std::string>{"ok"}));
  EXPECT_FALSE(std::filesystem::exists(database().string() + "-wal")) << "one file is left";
}

TEST_F(RecorderTest, readable_while_it_is_written) {
  RecorderOptions options;
  options.flush_every = 1ms;
  auto recorder = open(options);
  const auto stage = recorder->begin_stage({"step", StageKind::step, Rate::per_second(2), 0s, 0s, 12s});
  whole(*recorder, stage, 0, 1s, 2s);
  // The writer's tick is a millisecond; however slow the machine, it comes.
  while (query(database(), "select count(*) from attempts") != std::vector<std::string>{"1"})
    std::this_thread::yield();
  EXPECT_TRUE(recorder->close().has_value());
}

TEST_F(RecorderTest, an_interrupted_stage_forgets_what_was_never_due) {
  auto recorder = open();
  const auto stage = recorder->begin_stage({"step", StageKind::step, Rate::per_second(1), 0s, 0s, 100s});
  for (std::uint64_t i = 0; i < 100; ++i) recorder->offered(stage, i, std::chrono::seconds{i});
  EXPECT_EQ(recorder->summarize(stage).requests, 100);
  recorder->end_stage(stage, 30500ms);
  const StageSummary s = recorder->summarize(stage);
  EXPECT_EQ(s.requests, 31);
  EXPECT_EQ(s.end, 30500ms);
  EXPECT_EQ(recorder->seconds(30s, 32s), (std::vector<SecondCounts>{{30, 1, 0, 0}, {31, 0, 0, 0}}));
}

// A later turn of a session that comes between two stages is due in its second all the same.
TEST_F(RecorderTest, what_is_due_behind_a_stage_is_due) {
  auto recorder = open();
  const auto stage = recorder->begin_stage({"step", StageKind::step, Rate::per_second(1), 0s, 0s, 10s});
  whole(*recorder, stage, 0, 9s, 9500ms);
  recorder->end_stage(stage, 10s);
  whole(*recorder, stage, 1, 12s, 14500ms);
  const auto timeline = recorder->timeline();
  ASSERT_EQ(timeline.size(), 15U);
  EXPECT_EQ(timeline[12].offered, 1);
  EXPECT_EQ(timeline[12].good_of_due, 1);
  EXPECT_EQ(timeline[12].in_flight, 1);
  EXPECT_EQ(timeline[14].in_flight, 0);
}

TEST_F(RecorderTest, a_stage_of_unknown_end_is_open) {
  auto recorder = open();
  const auto stage = recorder->begin_stage({"hold", StageKind::hold, Rate::per_second(1), 10s, 10s, 0s});
  whole(*recorder, stage, 0, 12s, 15s);
  EXPECT_EQ(recorder->summarize(stage).end, 15s);
  EXPECT_EQ(recorder->summarize(stage).completed, 1);
  recorder->end_stage(stage, 20s);
  EXPECT_EQ(recorder->summarize(stage).end, 20s);
  EXPECT_DOUBLE_EQ(recorder->summarize(stage).completed_rate.per_second(), 0.1);
}

TEST_F(RecorderTest, intervals_of_the_log_sum_to_the_stage) {
  auto recorder = open({.flush_every = 10ms, .most_buffered = 64, .most_database_pages = 0});
  Rng rng{1, "recorder"};
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    const Nanos start = stage * 10s;
    ASSERT_EQ(recorder->begin_stage(
                  {"step × " + std::to_string(stage), StageKind::step, {}, start, start, start + 10s}),
              stage);
    for (std::uint64_t i = 0; i < 500; ++i) {
      const Nanos due = start + 20ms * static_cast<int>(i);
      whole(*recorder, stage, stage * 1000 + i, due, due + from_seconds(rng.exponential()),
            rng.uniform() < 0.1 ? Reason::http_429 : Reason::ok);
    }
  }
  std::vector<StageSummary> summaries;
  for (std::uint32_t stage = 0; stage < 3; ++stage) summaries.push_back(recorder->summarize(stage));
  ASSERT_TRUE(recorder->close().has_value());
  const auto intervals = parse_hdr_log(*read_file(folder_.path() / "latency.hlog"));
  ASSERT_TRUE(intervals.has_value()) << intervals.error().message;
  std::map<std::string, Histogram> sums;
  for (const auto& interval : *intervals) sums[interval.tag].add(interval.histogram);
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    const std::string name = ";" + std::to_string(stage) + "-step-x-" + std::to_string(stage);
    const StageSummary& s = summaries[stage];
    EXPECT_EQ(sums["ttft" + name].count(), s.ttft.count);
    EXPECT_EQ(sums["itl" + name].count(), s.itl.count);
    EXPECT_EQ(sums["send_lag" + name].count(), s.send_lag.count);
    EXPECT_EQ(s.ttft.count + s.ttft.infinite, 500);
    // The median of the sum is the stage's, except that V2 does not carry the infinite samples: of finite
    // ones only.
    EXPECT_EQ(sums["send_lag" + name].quantile(0.5), Nanos{Histogram::highest_at(Histogram::index_of(1ms))});
    EXPECT_EQ(recorder->summarize(stage).ttft.percentiles[0].value, s.ttft.percentiles[0].value)
        << "handing the intervals over changes no summary";
  }
}

TEST_F(RecorderTest, the_same_records_give_the_same_rows_and_lines) {
  const auto run = [](const std::filesystem::path& folder, Nanos flush_every) {
    auto recorder = open_recorder(
        folder, slo, {.flush_every = flush_every, .most_buffered = 100, .most_database_pages = 0});
    EXPECT_TRUE(recorder.has_value());
    Rng rng{5, "same"};
    const auto stage = (*recorder)->begin_stage({"step", StageKind::step, {}, 0s, 0s, 1000s});
    Nanos now{0};
    for (std::uint64_t i = 0; i < 3000; ++i) {
      now += from_seconds(0.02 * rng.exponential());
      whole(**recorder, stage, i, now - 100ms * static_cast<int>(rng.below(10)), now);
    }
    EXPECT_TRUE((*recorder)->close().has_value());
  };
  Folder other;
  run(folder_.path(), 1ms);
  run(other.path(), 1h);
  const std::string rows = "select * from attempts", more = "select * from requests";
  EXPECT_EQ(query(database(), rows), query(other.path() / "records.sqlite", rows));
  EXPECT_EQ(query(database(), more), query(other.path() / "records.sqlite", more));
  EXPECT_EQ(*read_file(folder_.path() / "latency.hlog"), *read_file(other.path() / "latency.hlog"));
}

TEST_F(RecorderTest, many_threads_lose_nothing) {
  auto recorder = open({.flush_every = 1ms, .most_buffered = 256, .most_database_pages = 0});
  const auto stage = recorder->begin_stage({"step", StageKind::step, {}, 0s, 0s, 1000s});
  constexpr std::uint64_t threads = 4, each = 3000;
  std::vector<std::thread> issuers;
  for (std::uint64_t t = 0; t < threads; ++t) {
    issuers.emplace_back([&, t, &sink = recorder->channel(static_cast<std::uint32_t>(t))] {
      for (std::uint64_t i = 0; i < each; ++i) {
        const std::uint64_t number = i * threads + t;
        const Nanos due = 10ms * static_cast<std::int64_t>(number);
        recorder->offered(stage, number, due);
        AttemptRecord a = attempt_of(number, 0, due, due + 300ms);
        a.worker = static_cast<std::uint32_t>(t);
        sink.attempt(a);
        sink.request(request_of(a, due));
      }
    });
  }
  for (int i = 0; i < 50; ++i)
    EXPECT_LE(recorder->summarize(stage).good, static_cast<std::int64_t>(threads * each));
  for (auto& issuer : issuers) issuer.join();
  const StageSummary s = recorder->summarize(stage);
  EXPECT_EQ(s.good, static_cast<std::int64_t>(threads * each));
  EXPECT_EQ(s.ttft.count, s.good);
  ASSERT_TRUE(recorder->close().has_value());
  EXPECT_EQ(query(database(), "select count(*), count(distinct request) from attempts"),
            (std::vector<std::string>{"12000|12000"}));
}

TEST_F(RecorderTest, a_full_database_is_reported_with_what_was_lost) {
  auto recorder = open({.flush_every = 1ms, .most_buffered = 1000, .most_database_pages = 24});
  const auto stage = recorder->begin_stage({"step", StageKind::step, {}, 0s, 0s, 1000s});
  for (std::uint64_t i = 0; i < 5000; ++i)
    whole(*recorder, stage, i, 10ms * static_cast<std::int64_t>(i), 20ms * static_cast<std::int64_t>(i + 1));
  EXPECT_EQ(recorder->summarize(stage).attempts, 5000) << "the run goes on";
  const auto closed = recorder->close();
  ASSERT_FALSE(closed.has_value());
  EXPECT_EQ(closed.error().kind, ErrorKind::io);
  EXPECT_THAT(closed.error().message, HasSubstr("records.sqlite': database or disk is full"));
  EXPECT_THAT(closed.error().message, HasSubstr("lost: "));
  EXPECT_EQ(recorder->failed()->message, closed.error().message);
  EXPECT_EQ(query(database(), "pragma integrity_check"), (std::vector<std::string>{"ok"}))
      << "what was written is whole";
}

TEST_F(RecorderTest, a_file_that_may_not_grow_is_reported_for_both_files) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 150'000;
  auto recorder = open({.flush_every = 1ms, .most_buffered = 100, .most_database_pages = 0});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto stage = recorder->begin_stage({"step", StageKind::step, {}, 0s, 0s, 10000s});
  for (std::uint64_t i = 0; i < 6'000; ++i)
    whole(*recorder, stage, i, 50ms * static_cast<std::int64_t>(i), 50ms * static_cast<std::int64_t>(i + 20));
  const auto closed = recorder->close();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(closed.has_value());
  EXPECT_THAT(closed.error().message, HasSubstr("lost: "));
  EXPECT_THAT(closed.error().message, ::testing::Not(HasSubstr(" 0 lines of latency.hlog")));
  EXPECT_EQ(recorder->attempts(), 6'000);
}

TEST_F(RecorderTest, a_former_run_is_never_written_over) {
  ASSERT_TRUE(open()->close().has_value());
  const auto second = open_recorder(folder_.path(), slo);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().message,
            fmt::format("cannot record into '{}': it holds a former run; a run is never written over",
                        database().string()));
  EXPECT_FALSE(open_recorder(folder_.path() / "missing", slo).has_value());
}

TEST(GapCodec, round_trip_keeps_the_sum) {
  Rng rng{3, "gaps"};
  std::vector<Nanos> gaps;
  Nanos total{0};
  for (int i = 0; i < 1000; ++i) {
    gaps.push_back(Nanos{static_cast<std::int64_t>(rng.below(40'000'000))});
    total += gaps.back();
  }
  std::string bytes;
  append_gaps(bytes, gaps);
  const auto read = decode_gaps(bytes);
  ASSERT_TRUE(read.has_value());
  ASSERT_EQ(read->size(), gaps.size());
  Nanos sum{0};
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    EXPECT_LE(std::chrono::abs((*read)[i] - gaps[i]), 1us);
    sum += (*read)[i];
  }
  EXPECT_LE(std::chrono::abs(sum - total), 500ns);
  EXPECT_FALSE(decode_gaps("\xff").has_value()) << "ends in the middle of a number";
  EXPECT_FALSE(decode_gaps(std::string(9, '\xff')).has_value());
}

}  // namespace
}  // namespace dsbench::results
