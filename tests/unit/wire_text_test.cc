#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "loadgen/wire/jitter_probe.h"
#include "loadgen/wire/prometheus_text.h"
#include "loadgen/wire/retry_advice.h"
#include "loadgen/wire/secret.h"
#include "loadgen/wire/wire_config.h"

namespace dsbench::loadgen {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(PrometheusText, ReadsWhatItKnowsAndLeavesTheRestAbsent) {
  const EngineMetrics m = parse_prometheus_text(
      "# HELP vllm:num_requests_running Number of requests.\n"
      "# TYPE vllm:num_requests_running gauge\n"
      "vllm:num_requests_running{engine=\"0\",model_name=\"a} b\\\"{\"} 3.0\n"
      "vllm:num_requests_running{engine=\"1\",model_name=\"a\"} 4.0 1700000000000\r\n"
      "vllm:num_requests_waiting 1.2e1\n"
      "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n"
      "vllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n"
      "vllm:prompt_tokens_total{} 100\n"
      "vllm:prompt_tokens_created{} 1.7e9\n"
      "vllm:generation_tokens_total 50\n"
      "vllm:request_success_total{finished_reason=\"stop\"} 9\n"
      "vllm:num_preemptions_total NaN\n"
      "nonsense\nvllm:num_preemptions_total{ 5\nvllm:num_preemptions_total five\n\n");
  EXPECT_EQ(m.running, 7);
  EXPECT_EQ(m.waiting, 12);
  EXPECT_EQ(m.kv_used_share, 0.75);
  EXPECT_EQ(m.prompt_tokens, 100);
  EXPECT_EQ(m.generated_tokens, 50);
  EXPECT_FALSE(m.preemptions);
  EXPECT_FALSE(m.ledger());
}

TEST(PrometheusText, GivesALedgerWhereTheEngineKeepsOne) {
  const auto ledger =
      parse_prometheus_text(
          "dsbench_computed_tokens_total 1000\ndsbench_recomputed_tokens_total 200\n"
          "dsbench_abandoned_tokens_total 30\nvllm:generation_tokens_total 400\nvllm:num_preemptions_total 5")
          .ledger();
  ASSERT_TRUE(ledger);
  EXPECT_EQ(ledger->computed_tokens, 1000);
  EXPECT_EQ(ledger->recomputed_tokens, 200);
  EXPECT_EQ(ledger->abandoned_tokens, 30);
  EXPECT_EQ(ledger->generated_tokens, 400);
  EXPECT_EQ(ledger->preemptions, 5);
  EXPECT_FALSE(parse_prometheus_text("").running);
}

TEST(RetryHeaders, Table) {
  struct Row {
    std::vector<const char*> lines;
    std::optional<Nanos> after;
    std::optional<bool> should;
  };
  constexpr Nanos second{1'000'000'000};
  // 2026-11-22 12:00:00 UTC
  const Nanos wall{std::int64_t{1'795'348'800} * 1'000'000'000};
  const Row rows[] = {
      {{"Retry-After: 2\r\n"}, 2 * second, {}},
      {{"retry-after:  0.5 "}, second / 2, {}},
      {{"RETRY-AFTER-MS: 1500", "Retry-After: 2"}, Nanos{1'500'000'000}, {}},
      {{"Retry-After: 2", "retry-after-ms: 1500"}, Nanos{1'500'000'000}, {}},
      {{"Retry-After: Sun, 22 Nov 2026 12:00:07 GMT"}, 7 * second, {}},
      {{"Retry-After: Sun, 22 Nov 2026 11:00:00 GMT"}, Nanos{0}, {}},
      {{"Retry-After: soon"}, {}, {}},
      {{"Retry-After: -1"}, {}, {}},
      {{"Retry-After: 1e99"}, {}, {}},
      {{"Retry-After: inf"}, {}, {}},
      {{"x-should-retry: true"}, {}, true},
      {{"X-Should-Retry: False"}, {}, false},
      {{"x-should-retry: maybe", "garbage", ""}, {}, {}},
  };
  for (const Row& row : rows) {
    RetryHeaders headers;
    for (const char* line : row.lines) headers.read(line, wall);
    EXPECT_EQ(headers.advice().retry_after, row.after) << row.lines.front();
    EXPECT_EQ(headers.advice().should_retry, row.should) << row.lines.front();
  }
}

TEST(BaseUrl, Table) {
  struct Row {
    const char* url;
    const char* base;
    const char* host;
    int port;
    bool tls;
  };
  for (const Row& row :
       {Row{"http://127.0.0.1:8000", "http://127.0.0.1:8000", "127.0.0.1", 8000, false},
        Row{"http://127.0.0.1:8000/", "http://127.0.0.1:8000", "127.0.0.1", 8000, false},
        Row{"https://api.example.com/v1/", "https://api.example.com:443", "api.example.com", 443, true},
        Row{"https://h/openai", "https://h:443/openai", "h", 443, true},
        Row{"http://[::1]:1", "http://[::1]:1", "::1", 1, false}}) {
    const auto base = parse_base_url(row.url);
    ASSERT_TRUE(base) << row.url << ": " << base.error().message;
    EXPECT_EQ(base->base, row.base);
    EXPECT_EQ(base->host, row.host);
    EXPECT_EQ(base->port, row.port);
    EXPECT_EQ(base->tls, row.tls);
  }
}

TEST(BaseUrl, RefusesWithASentence) {
  const auto message = [](const char* url) {
    const auto base = parse_base_url(url);
    EXPECT_FALSE(base) << url;
    return base ? std::string{} : base.error().message;
  };
  const std::string credentials = message("http://alice:hunter2@127.0.0.1:80");
  EXPECT_THAT(credentials, HasSubstr("holds credentials, which would appear in logs and reports"));
  EXPECT_THAT(credentials, Not(HasSubstr("hunter2")));
  EXPECT_THAT(credentials, Not(HasSubstr("alice")));
  EXPECT_THAT(message("http://token@127.0.0.1:80"), Not(HasSubstr("token@")));
  EXPECT_EQ(message("ftp://h/"), "the target ftp://h/ is of scheme ftp; accepted are http and https");
  EXPECT_THAT(message("http://h/?key=1"), HasSubstr("the target http://h/ has a query or a fragment"));
  EXPECT_THAT(message("127.0.0.1:8000"),
              HasSubstr("accepted is http://HOST:PORT or https://HOST[:PORT][/PATH]"));
  EXPECT_THAT(message(""), HasSubstr("the target is not a URL"));
}

class SecretTest : public ::testing::Test {
 protected:
  std::filesystem::path write(std::string_view content, mode_t mode) {
    const auto path =
        std::filesystem::path{::testing::TempDir()} / fmt::format("dsbench-secret-{}", ::getpid());
    std::filesystem::remove(path);
    std::ofstream{path} << content;
    ::chmod(path.c_str(), mode);
    files_.push_back(path);
    return path;
  }
  void TearDown() override {
    for (const auto& f : files_) std::filesystem::remove(f);
  }
  static std::string message(const std::string& source) {
    const auto secret = read_secret(source);
    EXPECT_FALSE(secret) << source;
    return secret ? std::string{} : secret.error().message;
  }
  std::vector<std::filesystem::path> files_;
};

TEST_F(SecretTest, ComesFromAFileThatOnlyItsOwnerReads) {
  const auto path = write("sk-123\n", 0600);
  EXPECT_EQ(read_secret("file:" + path.string())->reveal(), "sk-123");
  ::chmod(path.c_str(), 0644);
  const std::string refused = message("file:" + path.string());
  EXPECT_THAT(refused, HasSubstr("may be read by others (mode 0644); only its owner may: chmod 600"));
  EXPECT_THAT(refused, Not(HasSubstr("sk-123")));
  EXPECT_THAT(message("file:/nonexistent/key"),
              HasSubstr("cannot read the secret from the file /nonexistent/key: No such file"));
}

TEST_F(SecretTest, ComesFromADescriptorACommandOrTheEnvironment) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "abc", 3), 3);
  ::close(ends[1]);
  EXPECT_EQ(read_secret(fmt::format("fd:{}", ends[0]))->reveal(), "abc");
  ::close(ends[0]);
  EXPECT_EQ(read_secret("command:printf 'k-%s\\n' 7")->reveal(), "k-7");
  ::setenv("DSBENCH_TEST_KEY", "from-env", 1);
  EXPECT_EQ(read_secret("env:DSBENCH_TEST_KEY")->reveal(), "from-env");
  ::unsetenv("DSBENCH_TEST_KEY");
}

TEST_F(SecretTest, RefusesWithoutRepeatingWhatMightBeTheSecret) {
  EXPECT_THAT(message("env:DSBENCH_TEST_KEY"), HasSubstr("DSBENCH_TEST_KEY, which is not set"));
  EXPECT_THAT(message("command:exit 3"), HasSubstr("ended with exit code 3; 0 is accepted"));
  EXPECT_THAT(message("fd:x"), HasSubstr("as in fd:3"));
  EXPECT_THAT(message("file:" + write("\n", 0600).string()), HasSubstr("gave nothing"));
  EXPECT_THAT(message("file:" + write("a\r\nX-Admin: 1\n", 0600).string()),
              HasSubstr("other than printable ASCII"));
  EXPECT_THAT(message("file:" + write(std::string(100'000, 'a'), 0600).string()),
              HasSubstr("is longer than 65536 bytes"));
  const std::string bare = message("sk-real-key");
  EXPECT_THAT(bare, Not(HasSubstr("sk-real-key")));
  EXPECT_THAT(bare, HasSubstr("file:PATH, fd:N, command:SHELL COMMAND or env:NAME"));
}

TEST(JitterBuckets, EndsAreTight) {
  for (std::int64_t n :
       {0L, 1L, 15L, 16L, 17L, 31L, 32L, 1000L, 65'535L, 65'536L, 1'000'000L, 123'456'789L, 5'000'000'000L}) {
    const Nanos end = JitterProbe::bucket_end(JitterProbe::bucket_of(Nanos{n}));
    EXPECT_GE(end.count(), n);
    EXPECT_LE(static_cast<double>(end.count()), static_cast<double>(n) * 1.07);
  }
  EXPECT_EQ(JitterProbe::bucket_of(Nanos{-5}), 0u);
}

}  // namespace
}  // namespace dsbench::loadgen
