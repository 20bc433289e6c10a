#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "engine/server/metrics.h"
#include "engine/server/reply.h"
#include "engine/server/token_bridge.h"

namespace dsbench::engine::server {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

// Writes down what it hears.
class Diary final : public StreamConsumer {
 public:
  void on_started(Nanos at) override { text += "started@" + std::to_string(at.count()) + " "; }
  void on_token(TokenId token, Nanos at) override {
    text += std::to_string(token) + "@" + std::to_string(at.count()) + " ";
  }
  void on_finished(const Finish& finish, Nanos at) override {
    text += "finished(" + std::to_string(finish.output_tokens) + ")@" + std::to_string(at.count());
  }
  std::string text;
};

TEST(ServerTokenBridge, OneWakeUpForAllThatComesBeforeItIsAnswered) {
  ManualClock clock;
  int wakes = 0;
  const auto bridge = std::make_shared<TokenBridge>(clock, [&] { ++wakes; });
  std::vector<Diary> diaries(1000);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (auto& diary : diaries) {
    streams.push_back(std::make_shared<TokenStream>(bridge));
    streams.back()->attach(&diary);
  }
  const std::array<TokenId, 2> tokens{7, 8};
  for (int step = 1; step <= 3; ++step) {
    clock.advance(Nanos{1});
    for (auto& stream : streams) stream->generated(tokens);
    EXPECT_EQ(wakes, step);
    bridge->drain();
  }
  for (const auto& diary : diaries) EXPECT_EQ(diary.text, "7@1 8@1 7@2 8@2 7@3 8@3 ");
}

TEST(ServerTokenBridge, KeepsOrderAndSurvivesDetachingAndClosing) {
  ManualClock clock{Nanos{5}};
  const auto bridge = std::make_shared<TokenBridge>(clock, [] {});
  Diary diary;
  auto stream = std::make_shared<TokenStream>(bridge);
  stream->attach(&diary);
  stream->started();
  const TokenId token = 65;
  stream->generated({&token, 1});
  stream->finished({.reason = FinishReason::stop, .prompt_tokens = 1, .output_tokens = 1, .message = ""});
  const std::weak_ptr<TokenStream> watched = stream;
  stream.reset();  // the engine and the session have let go: the queued events keep it
  bridge->drain();
  EXPECT_EQ(diary.text, "started@5 65@5 finished(1)@5");
  EXPECT_TRUE(watched.expired());

  auto orphan = std::make_shared<TokenStream>(bridge);
  orphan->attach(&diary);
  orphan->detach();
  orphan->generated({&token, 1});
  bridge->drain();
  bridge->close();
  orphan->generated({&token, 1});
  bridge->drain();
  EXPECT_EQ(diary.text, "started@5 65@5 finished(1)@5");
}

TEST(ServerTokenBridge, TakesFromAnotherThread) {
  SteadyClock clock;
  const auto bridge = std::make_shared<TokenBridge>(clock, [] {});
  struct Counter final : StreamConsumer {
    void on_started(Nanos) override {}
    void on_token(TokenId token, Nanos) override { in_order = in_order && token == tokens++; }
    void on_finished(const Finish&, Nanos) override { finished = true; }
    TokenId tokens = 0;
    bool in_order = true;
    bool finished = false;
  } counter;
  const auto stream = std::make_shared<TokenStream>(bridge);
  stream->attach(&counter);
  std::thread engine{[&] {
    for (TokenId token = 0; token < 100000; ++token) stream->generated({&token, 1});
    stream->finished({});
  }};
  while (!counter.finished) bridge->drain();
  engine.join();
  EXPECT_EQ(counter.tokens, 100000);
  EXPECT_TRUE(counter.in_order);
}

struct ReplyTest : testing::Test {
  Reply reply(bool stream, HttpFraming framing = {}) {
    Reply::Setup setup;
    setup.identity = {
        .kind = ApiKind::completion, .id = "i", .created = 1, .model = "m", .include_usage = false};
    setup.stream = stream;
    setup.framing = framing;
    setup.date = "D";
    setup.submitted = milliseconds{100};
    Reply made{std::move(setup), metrics};
    made.on_change([this] { ++changes; });
    return made;
  }
  static std::string take(Reply& from) {
    std::string out;
    from.take(out);
    return out;
  }
  std::string metrics_text() { return metrics.render({}, 0); }
  ServerMetrics metrics{"m"};
  int changes = 0;
};

const Finish kDone{.reason = FinishReason::length, .prompt_tokens = 3, .output_tokens = 2, .message = ""};

TEST_F(ReplyTest, StreamSendsItsHeadWithItsFirstTokenAndBatchesWhatIsReady) {
  Reply r = reply(true);
  r.on_started(milliseconds{150});
  EXPECT_FALSE(r.ready());
  EXPECT_FALSE(r.status());
  r.on_token('a', milliseconds{300});
  EXPECT_EQ(r.status(), 200);
  const std::string first = take(r);
  EXPECT_THAT(first, testing::StartsWith("HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: text/event-stream"));
  EXPECT_THAT(first, HasSubstr(R"("text":"a")"));
  EXPECT_FALSE(r.ready());
  r.on_token('b', milliseconds{310});
  r.on_finished(kDone, milliseconds{310});
  const std::string rest = take(r);
  EXPECT_THAT(rest, HasSubstr(R"("text":"b")"));
  EXPECT_THAT(rest, testing::EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  EXPECT_TRUE(r.done());
  EXPECT_TRUE(r.keep_alive());
  EXPECT_EQ(changes, 3);
  const std::string text = metrics_text();
  EXPECT_THAT(text, HasSubstr("vllm:request_queue_time_seconds_sum{model_name=\"m\"} 0.05\n"));
  EXPECT_THAT(text, HasSubstr("vllm:time_to_first_token_seconds_sum{model_name=\"m\"} 0.2\n"));
  EXPECT_THAT(text, HasSubstr("vllm:inter_token_latency_seconds_count{model_name=\"m\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vllm:e2e_request_latency_seconds_sum{model_name=\"m\"} 0.21\n"));
  EXPECT_THAT(text, HasSubstr("vllm:request_generation_tokens_sum{model_name=\"m\"} 2\n"));
}

TEST_F(ReplyTest, StreamWithoutATokenIsStillAWholeStream) {
  Reply r = reply(true);
  r.on_finished({.reason = FinishReason::stop, .prompt_tokens = 3, .output_tokens = 0, .message = ""},
                milliseconds{110});
  const std::string all = take(r);
  EXPECT_THAT(all, HasSubstr(R"("finish_reason":"stop")"));
  EXPECT_THAT(all, HasSubstr("data: [DONE]\n\n"));
}

TEST_F(ReplyTest, Http10StreamHasNoChunksAndEndsWithTheConnection) {
  Reply r = reply(true, {.http11 = false, .keep_alive = true});
  r.on_token('a', milliseconds{300});
  r.on_finished(kDone, milliseconds{310});
  const std::string all = take(r);
  EXPECT_THAT(all, Not(HasSubstr("chunked")));
  EXPECT_THAT(all, testing::EndsWith("data: [DONE]\n\n"));
  EXPECT_FALSE(r.keep_alive());
}

TEST_F(ReplyTest, AFailureIsAStatusBeforeTheFirstTokenAndAnEventAfterIt) {
  struct Row {
    FinishReason reason;
    int status;
    std::string message;
  };
  for (const auto& [reason, status, message] :
       {Row{FinishReason::queue_timeout, 503,
            "the request waited in the queue for longer than the server allows"},
        Row{FinishReason::aborted, 503, "the server is shutting down"},
        Row{FinishReason::failed, 500, "the engine failed"}}) {
    const Finish finish{.reason = reason, .prompt_tokens = 3, .output_tokens = 0, .message = ""};
    for (const bool stream : {false, true}) {
      Reply before = reply(stream);
      before.on_finished(finish, milliseconds{200});
      EXPECT_EQ(before.status(), status);
      EXPECT_THAT(take(before), HasSubstr("\"message\":\"" + message + "\""));
      EXPECT_TRUE(before.keep_alive());
    }
    Reply after = reply(true);
    after.on_token('a', milliseconds{150});
    after.on_finished(finish, milliseconds{200});
    const std::string all = take(after);
    EXPECT_THAT(all, HasSubstr("data: {\"error\":{\"message\":\"" + message + "\""));
    EXPECT_THAT(all, Not(HasSubstr("[DONE]")));
    EXPECT_TRUE(after.done());
    EXPECT_FALSE(after.keep_alive());
  }
}

TEST(ServerSubmitError, SaysWhatTheEngineSaid) {
  const auto error = submit_error(
      {.status = SubmitStatus::too_long, .id = 0, .message = "5 tokens; at most 4"}, ApiKind::chat);
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.code, "context_length_exceeded");
  EXPECT_EQ(error.param, "messages");
  EXPECT_EQ(error.message, "5 tokens; at most 4");
  EXPECT_EQ(submit_error({.status = SubmitStatus::queue_full, .id = 0, .message = ""}, ApiKind::chat).status,
            503);
  EXPECT_EQ(submit_error({.status = SubmitStatus::shutting_down, .id = 0, .message = ""}, ApiKind::chat).code,
            "shutting_down");
}

TEST(ServerMetricsText, ShowsTheEnginesLedgerUnderItsNames) {
  ServerMetrics metrics{"tiny"};
  EngineStats stats;
  stats.running = 3;
  stats.waiting = 4;
  stats.blocks_total = 8;
  stats.blocks_used = 2;
  stats.steps = 10;
  stats.preemptions = 1;
  stats.requests_finished[0] = 5;
  stats.requests_finished[2] = 6;
  stats.requests_refused = 7;
  stats.prompt_tokens = 100;
  stats.generated_tokens = 50;
  stats.recomputed_tokens = 20;
  stats.computed_tokens = 170;
  stats.abandoned_tokens = 30;
  (void)metrics.render(stats, 1);
  stats.steps = 12;
  metrics.responded("/health", "GET", 200);
  const std::string text = metrics.render(stats, 2);
  for (const char* line : {
           "vllm:num_requests_running{model_name=\"tiny\"} 3\n",
           "vllm:num_requests_waiting{model_name=\"tiny\"} 4\n",
           "vllm:kv_cache_usage_perc{model_name=\"tiny\"} 0.25\n",
           "vllm:num_preemptions_total{model_name=\"tiny\"} 1\n",
           "vllm:prompt_tokens_total{model_name=\"tiny\"} 100\n",
           "vllm:generation_tokens_total{model_name=\"tiny\"} 50\n",
           "vllm:request_success_total{finished_reason=\"stop\",model_name=\"tiny\"} 5\n",
           "vllm:request_success_total{finished_reason=\"abort\",model_name=\"tiny\"} 6\n",
           "vllm:request_success_total{finished_reason=\"length\",model_name=\"tiny\"} 0\n",
           "dsbench_recomputed_tokens_total{model_name=\"tiny\"} 20\n",
           "dsbench_abandoned_tokens_total{model_name=\"tiny\"} 30\n",
           "dsbench_computed_tokens_total{model_name=\"tiny\"} 170\n",
           "dsbench_requests_refused_total{model_name=\"tiny\"} 7\n",
           "dsbench_steps_total{model_name=\"tiny\"} 12\n",
           "dsbench_http_connections{model_name=\"tiny\"} 2\n",
           "http_requests_total{handler=\"/health\",method=\"GET\",status=\"200\"} 1\n",
           "# TYPE vllm:request_prompt_tokens histogram\n",
           "# TYPE vllm:generation_tokens_total counter\n",
       })
    EXPECT_THAT(text, HasSubstr(line));
}

}  // namespace
}  // namespace dsbench::engine::server
