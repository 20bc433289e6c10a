#include "loadgen/wire/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/fakes/scripted_http_server.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using dsbench::testing::chunked;
using dsbench::testing::Script;
using dsbench::testing::ScriptedHttpServer;
using dsbench::testing::SeenRequest;
using dsbench::testing::whole_stream;
using dsbench::testing::with_length;
using ::testing::HasSubstr;

TEST(Proxy, IsRefusedWithASentence) {
  EXPECT_TRUE(check_proxy(""));
  EXPECT_TRUE(check_proxy("socks5h://127.0.0.1:1080"));
  const auto with_key = check_proxy("http://user:secret@proxy:1");
  ASSERT_FALSE(with_key);
  EXPECT_THAT(with_key.error().message, HasSubstr("the proxy's URL holds credentials"));
  EXPECT_THAT(with_key.error().message, ::testing::Not(HasSubstr("secret")));
  const auto other = check_proxy("ftp://proxy:1");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message,
            "the proxy ftp://proxy:1 is of scheme ftp; accepted are http, https, socks5 and socks5h");
}

TEST(Preflight, LearnsTheModelAndAsksOneToken) {
  ScriptedHttpServer server{[](const SeenRequest& r) {
    if (r.head.starts_with("GET /v1/models "))
      return with_length(R"({"object":"list","data":[{"id":"tiny","max_model_len":4096},{"id":"b"}]})",
                         "200 OK", "Server: fake/1\r\n");
    return chunked({whole_stream(1)});
  }};
  WireConfig config;
  config.providers.front().base_url = server.url();
  const auto info = probe_target(config);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->model, "tiny");
  EXPECT_EQ(info->models, (std::vector<std::string>{"tiny", "b"}));
  EXPECT_EQ(info->max_model_len, 4096);
  EXPECT_EQ(info->server, "fake/1");
  EXPECT_TRUE(info->usage_reported);
  ASSERT_EQ(server.requests().size(), 2u);
  EXPECT_THAT(server.requests()[1].body, HasSubstr("\"max_tokens\":1,"));

  config.providers.front().model = "c";
  const auto wrong = probe_target(config);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().kind, ErrorKind::unreachable);
  EXPECT_EQ(wrong.error().message, "the target does not serve the model c; it serves tiny, b");
}

TEST(Preflight, SaysWhatIsWrong) {
  const auto message = [](const Script& models, const Script& completion, WireConfig config = {}) {
    ScriptedHttpServer server{
        [&](const SeenRequest& r) { return r.head.starts_with("GET") ? models : completion; }};
    config.providers.front().base_url = server.url();
    const auto info = probe_target(config);
    EXPECT_FALSE(info);
    if (info) return std::string{};
    EXPECT_EQ(info.error().kind, ErrorKind::unreachable);
    return info.error().message;
  };
  const Script models = with_length(R"({"data":[{"id":"m"}]})");
  EXPECT_THAT(message(with_length(R"({"error":{"message":"no\nkey","code":401}})", "401 Unauthorized"), {}),
              HasSubstr("/v1/models answers 401 \"no key\": it wants an API key, and none was given"));
  WireConfig with_key;
  with_key.providers.front().api_key = Secret{"sk-very-secret"};
  const std::string refused = message(with_length("{}", "403 Forbidden"), {}, with_key);
  EXPECT_THAT(refused, HasSubstr("the API key that was given is not accepted"));
  EXPECT_THAT(refused, ::testing::Not(HasSubstr("sk-very-secret")));
  EXPECT_THAT(
      message(with_length("Not Found", "404 Not Found"), {}),
      HasSubstr("answers 404 \"Not Found\": is this the base URL of a server that speaks the API chat"));
  EXPECT_THAT(message(with_length("{}"), {}), HasSubstr("names no model; name the model to ask for"));
  EXPECT_THAT(message(models, with_length(R"({"message":"bad field"})", "400 Bad Request")),
              HasSubstr("/v1/chat/completions answers 400 \"bad field\": a 200 was expected"));
  EXPECT_THAT(message(models, with_length(R"({"choices":[]})")),
              HasSubstr("answers 200, but not with a whole answer (malformed)"));
  EXPECT_THAT(message(models, with_length("", "503 Service Unavailable")),
              HasSubstr("it is overloaded before the run has begun"));
  EXPECT_THAT(
      message(models, with_length("", "301 Moved", "Location: https://elsewhere/v1\r\n")),
      HasSubstr("answers 301 without a word: it points to 'https://elsewhere/v1'; redirections are not "
                "followed, so give that as the target"));
  EXPECT_THAT(
      message(models, with_length("\x1F\x8B", "200 OK", "Content-Encoding: gzip\r\n")),
      HasSubstr("answers 200 with a body in 'gzip', which nobody asked for; --compressed accepts it"));
  const std::string echoed = message(models, with_length("you are sk-very-secret"), with_key);
  EXPECT_THAT(echoed, HasSubstr("you are [redacted]"));
  EXPECT_THAT(echoed, ::testing::Not(HasSubstr("sk-very-secret")));
}

TEST(Preflight, UnreachableIsASentence) {
  std::string url;
  {
    ScriptedHttpServer gone{[](const SeenRequest&) { return Script{}; }};
    url = gone.url();
  }
  WireConfig config;
  config.providers.front().base_url = url;
  const auto info = probe_target(config);
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().kind, ErrorKind::unreachable);
  EXPECT_THAT(info.error().message, HasSubstr(url + "/v1/models does not answer: Failed to connect"));
  config.providers.front().unix_socket = "/nowhere/socket";
  EXPECT_THAT(probe_target(config).error().message,
              HasSubstr("/v1/models does not answer at the Unix socket '/nowhere/socket': "));
  config.providers.front().unix_socket.clear();
  config.proxy = "http://127.0.0.1:1";
  EXPECT_THAT(probe_target(config).error().message,
              HasSubstr("/v1/models does not answer through the proxy http://127.0.0.1:1: "));
  config.proxy.clear();
  // A label of 64 letters is no name: nobody needs to be asked.
  config.providers.front().base_url = "http://" + std::string(64, 'x') + ".invalid";
  const auto nowhere = probe_target(config);
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().message, HasSubstr("Could not resolve host"));
}

TEST(HttpGet, GivesTheBodyOrASentence) {
  ScriptedHttpServer server{[](const SeenRequest& r) {
    return r.head.starts_with("GET /metrics ") ? with_length("vllm:num_requests_running 1\n")
                                               : with_length("", "404 Not Found");
  }};
  EXPECT_EQ(http_get(server.url() + "/metrics", Nanos{5s}).value_or("?"), "vllm:num_requests_running 1\n");
  const auto missing = http_get(server.url() + "/other", Nanos{5s});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("/other answers 404"));
}

}  // namespace
}  // namespace dsbench::loadgen
