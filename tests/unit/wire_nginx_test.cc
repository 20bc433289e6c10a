// libcurl's wire against a real server of another make: HTTP/2 over TLS and in the clear, compression, and
// the times that a connection took. nginx of the distribution, on loopback, in a folder of its own; without
// it the tests are skipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "core/clock.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/transport.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* nginx = "/usr/sbin/nginx";

// A port that is free now.
int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

class Nginx : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(nginx)) GTEST_SKIP() << nginx << " is not installed (scripts/setup --test)";
    folder_ = std::filesystem::temp_directory_path() / ("dsbench-nginx-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    const std::string make_key =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout " + path("key.pem") +
        " -out " + path("cert.pem") + " 2>/dev/null";
    if (std::system(make_key.c_str()) != 0) GTEST_SKIP() << "openssl makes no certificate";
    clear_ = free_port();
    clear_http2_ = free_port();
    tls_ = free_port();
    // What answers. It stands behind another nginx that hands requests on whole: one that answers by itself
    // does not wait for a request's body, and may reset an HTTP/2 stream for it.
    const std::string behind = std::to_string(free_port());
    const std::string event =
        R"(data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n)";
    const std::string answer = event + event +
                               R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n)" +
                               R"(data: [DONE]\n\n)";
    std::ofstream{path("nginx.conf")}
        << "daemon off; master_process off; worker_processes 1; pid " << path("pid") << "; error_log "
        << path("error") << ";\nevents { worker_connections 512; }\nhttp {\n  client_body_temp_path "
        << path("body") << "; proxy_temp_path " << path("p") << "; fastcgi_temp_path " << path("f")
        << "; uwsgi_temp_path " << path("u") << "; scgi_temp_path " << path("s")
        << ";\n  log_format l '$server_protocol $http_accept_encoding "
        << "$gzip_ratio';\n  access_log " << path("access")
        << " l;\n  gzip on; gzip_min_length 1; gzip_types "
        << "text/event-stream;\n  server {\n    listen 127.0.0.1:" << clear_
        << ";\n    listen 127.0.0.1:" << clear_http2_ << " http2;\n    listen 127.0.0.1:" << tls_
        << " ssl http2;\n    ssl_certificate " << path("cert.pem") << "; ssl_certificate_key "
        << path("key.pem") << ";\n    location / { proxy_pass http://127.0.0.1:" << behind
        << "; }\n  }\n  server {\n    listen 127.0.0.1:" << behind
        << ";\n    access_log off; gzip off;\n    location / { default_type text/event-stream; return 200 '"
        << answer << "'; }\n  }\n}\n";
    server_ = ::fork();
    if (server_ == 0) {
      ::execl(nginx, nginx, "-e", path("error").c_str(), "-p", folder_.c_str(), "-c",
              path("nginx.conf").c_str(), nullptr);
      std::_Exit(127);
    }
    for (int i = 0; i < 500 && !std::filesystem::exists(path("pid")); ++i) ::usleep(10'000);
    ASSERT_TRUE(std::filesystem::exists(path("pid"))) << read("error");
  }
  void TearDown() override {
    if (server_ > 0) {
      ::kill(server_, SIGTERM);
      (void)::waitpid(server_, nullptr, 0);
    }
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::string read(const char* name) const {
    std::ifstream in{path(name)};
    return {std::istreambuf_iterator<char>{in}, {}};
  }

  // nginx writes a request's line after it has answered it.
  [[nodiscard]] std::string access_log(std::ptrdiff_t lines) const {
    std::string log = read("access");
    for (int i = 0; i < 1000 && std::count(log.begin(), log.end(), '\n') < lines; ++i) {
      ::usleep(10'000);
      log = read("access");
    }
    return log;
  }

  struct Outcome {
    std::size_t done = 0, tokens = 0, connects = 0, handshakes = 0;
    std::uint64_t connections = 0;
    std::string failure;
  };
  // So many attempts at once.
  Outcome run(WireConfig config, const std::string& url, std::uint64_t attempts) {
    config.providers.front().base_url = url;
    config.providers.front().model = "m";
    SteadyClock clock;
    auto poller = std::move(*Poller::make(clock));
    const Nanos epoch = clock.now();
    auto transport = make_transport(config, {}, clock, epoch, *poller);
    Outcome out;
    if (!transport) {
      out.failure = transport.error().message;
      return out;
    }
    Transport& t = **transport;
    std::vector<TargetEvent> events;
    for (std::uint64_t i = 0; i < attempts; ++i)
      t.start(Attempt{.request = i, .prompt_tokens = 8, .output_tokens = 2, .prompt_seed = i}, events);
    const Nanos limit = clock.now() + Nanos{10s};
    while (t.in_flight() > 0 && clock.now() < limit) {
      const auto ready = poller->wait(clock.now() + Nanos{2ms}, Nanos{0});
      t.handle(ready, clock.now() - epoch, events);
    }
    std::vector<bool> sent(attempts, false);
    for (const TargetEvent& e : events) {
      if (e.kind == EventKind::sent) sent[e.request] = true;
      EXPECT_TRUE(sent[e.request]) << "an event before `sent`";
      if (e.kind == EventKind::done) ++out.done;
      if (e.kind == EventKind::tokens) ++out.tokens;
      if (e.kind == EventKind::failed) out.failure = results::to_word(e.reason);
      if (e.connect_time) ++out.connects;
      if (e.tls_time) ++out.handshakes;
    }
    out.connections = t.counts().connections_opened;
    return out;
  }

  std::filesystem::path folder_;
  int clear_ = 0, clear_http2_ = 0, tls_ = 0;
  pid_t server_ = -1;
};

TEST_F(Nginx, ManyStreamsShareOneConnectionOfHttp2) {
  WireConfig config;
  config.insecure = true;
  config.http = HttpVersion::http2;
  const Outcome tls = run(config, "https://127.0.0.1:" + std::to_string(tls_), 20);
  EXPECT_EQ(tls.failure, "");
  EXPECT_EQ(tls.done, 20u);
  EXPECT_EQ(tls.tokens, 40u);
  EXPECT_EQ(tls.connections, 1u);
  EXPECT_EQ(tls.connects, 1u);
  EXPECT_EQ(tls.handshakes, 1u);
  const std::string log = access_log(20);
  EXPECT_THAT(log, HasSubstr("HTTP/2.0"));
  EXPECT_THAT(log, ::testing::Not(HasSubstr("HTTP/1.1")));

  config.http = HttpVersion::http2_prior_knowledge;
  const Outcome clear = run(config, "http://127.0.0.1:" + std::to_string(clear_http2_), 20);
  if (clear.failure.find("cannot use such a connection twice") != std::string::npos) {
    EXPECT_THAT(clear.failure, HasSubstr("accepted is libcurl 8 or newer, or HTTP/2 over TLS (--http 2)"));
    return;
  }
  EXPECT_EQ(clear.failure, "");
  EXPECT_EQ(clear.done, 20u);
  EXPECT_EQ(clear.connections, 1u);
  EXPECT_EQ(clear.handshakes, 0u);
}

TEST_F(Nginx, OneStreamAConnectionOfHttp1) {
  WireConfig config;
  config.insecure = true;
  const Outcome tls = run(config, "https://127.0.0.1:" + std::to_string(tls_), 5);
  EXPECT_EQ(tls.failure, "");
  EXPECT_EQ(tls.done, 5u);
  EXPECT_EQ(tls.connections, 5u);
  EXPECT_EQ(tls.connects, 5u);
  EXPECT_EQ(tls.handshakes, 5u);
  for (const WireKind wire : {WireKind::lean, WireKind::libcurl}) {
    config.wire = wire;
    const Outcome clear = run(config, "http://127.0.0.1:" + std::to_string(clear_), 5);
    EXPECT_EQ(clear.failure, "");
    EXPECT_EQ(clear.done, 5u);
    EXPECT_EQ(clear.tokens, 10u);
    EXPECT_EQ(clear.connects, 5u);
  }
}

TEST_F(Nginx, CompressedAnswersAreReadLikeOthers) {
  WireConfig config;
  const Outcome plain = run(config, "http://127.0.0.1:" + std::to_string(clear_), 1);
  EXPECT_EQ(plain.done, 1u);
  EXPECT_THAT(access_log(1), HasSubstr("HTTP/1.1 - -\n"));
  config.compressed = true;
  const Outcome packed = run(config, "http://127.0.0.1:" + std::to_string(clear_), 1);
  EXPECT_EQ(packed.failure, "");
  EXPECT_EQ(packed.done, 1u);
  EXPECT_EQ(packed.tokens, 2u);
  const std::string log = access_log(2);
  EXPECT_THAT(log, HasSubstr("gzip"));
  EXPECT_THAT(log.substr(log.find("gzip")), ::testing::Not(HasSubstr(" -\n"))) << "it was not compressed";
}

}  // namespace
}  // namespace dsbench::loadgen
