// The two wires must record the same on the same bytes. A server in this thread plays random scripts
// (responses in every framing, cut anywhere, torn, reset, garbled, one after another on a connection) to
// both, and whatever they tell of an attempt is compared: events, tokens, reason, status, retry advice,
// usage; not the stamps. One thread and no waiting: loopback hands over what is sent before send() returns.
//   wire_differential_test [SCRIPTS [SEED [THIS_ONE_ONLY]]]
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/rng.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/transport.h"

namespace {

using namespace dsbench;
using namespace dsbench::loadgen;

enum class Ending { keep, close, reset };

// One answer of the server.
struct Exchange {
  std::vector<std::string> pieces;
  std::vector<bool> look;  // after the piece the client gets to see it
  Ending ending = Ending::keep;
};
using Script = std::vector<Exchange>;

// ---- writing scripts

class Writer {
 public:
  explicit Writer(std::uint64_t number) : rng_{number, "scripts"} {}

  Script script() {
    Script out;
    const int exchanges = 1 + pick(3);
    for (int i = 0; i < exchanges; ++i) out.push_back(exchange());
    return out;
  }

 private:
  int pick(int n) { return static_cast<int>(rng_.uniform() * n); }
  bool chance(double p) { return rng_.uniform() < p; }
  std::string one_of(const std::vector<std::string>& of) {
    return of[static_cast<std::size_t>(pick(static_cast<int>(of.size())))];
  }

  std::string frame(const std::string& json) {
    const std::string end = chance(0.1) ? "\r\n" : "\n";
    return (chance(0.9) ? "data: " : "data:") + json + end + end;
  }

  std::string body() {
    if (chance(0.1)) return {};
    if (chance(0.1)) return one_of({"{\"error\":{\"message\":\"no\"}}", "<html>", "{}", "x"});
    std::string out;
    const int tokens = pick(5);
    if (chance(0.5)) out += frame(R"({"choices":[{"index":0,"delta":{"role":"assistant"}}]})");
    for (int i = 0; i < tokens; ++i) {
      if (chance(0.1)) out += ": keep-alive\n\n";
      out += frame(R"({"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]})");
    }
    if (chance(0.05)) out += frame(R"({"error":{"message":"boom"}})");
    if (chance(0.9))
      out += frame(R"({"choices":[{"index":0,"delta":{},"finish_reason":")" +
                   one_of({"length", "stop", "insufficient_system_resource"}) + "\"}]}");
    if (chance(0.5)) out += frame(R"({"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":3}})");
    if (chance(0.9)) out += "data: [DONE]\n\n";
    return out;
  }

  std::string chunked(const std::string& body) {
    std::string out;
    for (std::size_t at = 0; at < body.size();) {
      const std::size_t size =
          std::min<std::size_t>(body.size() - at, 1 + static_cast<std::size_t>(pick(200)));
      char hex[32];
      std::snprintf(hex, sizeof hex, chance(0.5) ? "%zx" : "%04zX", size);
      out += hex;
      if (chance(0.1)) out += one_of({";ext", "; a=b", " ", ";q=\"x\""});
      out += (chance(0.95) ? "\r\n" : "\n") + body.substr(at, size) + (chance(0.97) ? "\r\n" : "\n");
      at += size;
    }
    if (chance(0.97)) out += chance(0.9) ? "0\r\n" : "000;last\r\n";
    if (chance(0.15))
      out += one_of({"X-Trailer: 1\r\n", "Retry-After: 5\r\n", "A: b\r\nC: d\r\n", "no colon\r\n"});
    if (chance(0.97)) out += "\r\n";
    return out;
  }

  std::string response() {
    const std::string end = chance(0.05) ? "\n" : "\r\n";
    std::string out;
    while (chance(0.1))
      out += one_of({"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"});
    out += chance(0.93) ? "HTTP/1.1 " : "HTTP/1.0 ";
    out +=
        chance(0.7)
            ? "200 OK"
            : one_of({"200", "201 Created", "204 No Content", "206 Partial", "301 Moved", "304 Not Modified",
                      "400 Bad", "401 No", "404 Not Found", "429 Too Many", "500 Oops", "503 Busy",
                      "529 Overloaded", "101 Switching Protocols", "600 What", "99 Low", "1000 High"});
    out += end + "Content-Type: text/event-stream" + end;
    for (int i = pick(3); i > 0; --i) {
      out += one_of({"Server: x", "Connection: keep-alive", "connection: Close", "Retry-After: 3",
                     "retry-after-ms: 250", "x-should-retry: true", "X-Folded: a\r\n b", "Set-Cookie: a=b",
                     "X:", "Connection: upgrade"}) +
             end;
    }
    const std::string content = body();
    std::string framed = content;
    switch (pick(6)) {
      case 0:
      case 1:
      case 2:
        out += one_of({"Transfer-Encoding: chunked", "transfer-encoding:chunked",
                       "Transfer-Encoding: Chunked"}) +
               end;
        if (chance(0.03)) out += "Content-Length: 3" + end;
        framed = chunked(content);
        break;
      case 3:
      case 4: {
        std::size_t size = content.size();
        if (chance(0.1)) size += 1 + static_cast<std::size_t>(pick(20));
        if (chance(0.1) && size > 0)
          size -= 1 + static_cast<std::size_t>(pick(static_cast<int>(std::min<std::size_t>(size, 20))));
        out += "Content-Length: " + std::to_string(size) + end;
        if (chance(0.03))
          out += one_of({"Content-Length: -1", "Content-Length: x", "Content-Length: 99999999999999999999"}) +
                 end;
        break;
      }
      default:
        if (chance(0.1)) out += one_of({"Transfer-Encoding: identity", "Transfer-Encoding: foo"}) + end;
        break;
    }
    out += end + framed;
    if (chance(0.03)) out += one_of({"extra", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
    return out;
  }

  void garble(std::string& bytes) {
    static constexpr char interesting[] = "\r\n :;0123456789abHTP/.,{}\"dx\t\x80\xff";
    for (int n = 1 + pick(3); n > 0 && !bytes.empty(); --n) {
      // Mostly in the head, where most of the meaning is.
      const auto span =
          static_cast<int>(chance(0.6) ? std::min<std::size_t>(bytes.size(), 160) : bytes.size());
      const auto at = static_cast<std::size_t>(pick(span));
      const char c = interesting[pick(sizeof interesting - 1)];
      switch (pick(6)) {
        case 0:
          bytes[at] = c;
          break;
        case 1:
          bytes.insert(at, 1, c);
          break;
        case 2:
          bytes.erase(at, 1);
          break;
        case 3:
          bytes.erase(at, static_cast<std::size_t>(pick(30)));
          break;
        case 4:
          bytes.insert(
              at, bytes.substr(static_cast<std::size_t>(pick(span)), static_cast<std::size_t>(pick(30))));
          break;
        default:
          bytes.resize(at);
          break;
      }
    }
  }

  Exchange exchange() {
    Exchange out;
    std::string bytes =
        chance(0.03) ? one_of({"", "SSH-2.0-x\r\n", "HTTP", "HTT", "\r\n", "HTTP/1.1 2",
                               "http/1.1 200 OK\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 200 OK\r\n", "{}"})
                     : response();
    if (chance(0.35)) garble(bytes);
    const int manner = pick(4);
    for (std::size_t at = 0; at < bytes.size();) {
      std::size_t size = bytes.size() - at;
      if (manner == 1) size = 1;
      if (manner == 2) size = std::min<std::size_t>(size, 1 + static_cast<std::size_t>(pick(40)));
      if (manner == 3 && at == 0) size = 1 + static_cast<std::size_t>(pick(static_cast<int>(size)));
      out.pieces.push_back(bytes.substr(at, size));
      out.look.push_back(chance(0.9));
      at += size;
    }
    out.ending = chance(0.6) ? Ending::keep : chance(0.7) ? Ending::close : Ending::reset;
    return out;
  }

  Rng rng_;
};

// ---- playing them

class Server {
 public:
  Server() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0)
      std::abort();
    (void)::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~Server() {
    close_all();
    ::close(listener_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

  // The connection on which a whole request has come; −1 when there is none.
  int asked() {
    for (int fd = 0; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
      const int on = 1;
      (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      connections_.push_back({fd, {}});
    }
    for (Connection& c : connections_) {
      char piece[4096];
      for (ssize_t n = 0; (n = ::recv(c.fd, piece, sizeof piece, 0)) > 0;)
        c.request.append(piece, static_cast<std::size_t>(n));
      const std::size_t head = c.request.find("\r\n\r\n");
      const std::size_t length = c.request.find("Content-Length: ");
      if (head == std::string::npos || length > head) continue;
      if (c.request.size() < head + 4 + std::strtoul(c.request.c_str() + length + 16, nullptr, 10)) continue;
      c.request.clear();
      return c.fd;
    }
    return -1;
  }
  static void send(int fd, const std::string& bytes) {
    (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void close(int fd, bool reset) {
    if (reset) {
      const linger now{1, 0};
      (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    ::close(fd);
    std::erase_if(connections_, [&](const Connection& c) { return c.fd == fd; });
  }
  void close_all() {
    while (!connections_.empty()) close(connections_.back().fd, true);
  }

 private:
  struct Connection {
    int fd;
    std::string request;
  };
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::vector<Connection> connections_;
};

std::string describe(const TargetEvent& e) {
  std::string out = std::to_string(e.request) + ":";
  switch (e.kind) {
    case EventKind::sent:
      out += "sent";
      break;
    case EventKind::first_byte:
      out += "first_byte";
      break;
    case EventKind::tokens:
      out += "tokens=" + std::to_string(e.tokens);
      break;
    case EventKind::alive:
      out += "alive";
      break;
    case EventKind::done:
      out += "done";
      break;
    case EventKind::failed:
      out += "failed=" + std::string{results::to_word(e.reason)};
      break;
  }
  out += "/" + std::to_string(e.http_status);
  if (e.usage_output_tokens) out += " usage=" + std::to_string(*e.usage_output_tokens);
  if (e.retry_after) out += " retry_after=" + std::to_string(e.retry_after->count());
  if (e.should_retry) out += *e.should_retry ? " retry" : " no-retry";
  return out;
}

// What a wire tells of the script.
std::vector<std::string> play(const Script& script, WireKind wire, Server& server, const Clock& clock) {
  WireConfig config;
  config.wire = wire;
  config.providers.front().base_url = "http://127.0.0.1:" + std::to_string(server.port());
  config.providers.front().model = "m";
  auto poller = std::move(*Poller::make(clock));
  const Nanos epoch = clock.now();
  auto transport = std::move(*make_transport(config, {}, clock, epoch, *poller));
  std::vector<TargetEvent> events;
  const auto look = [&] {
    for (int quiet = 0; quiet < 2;) {
      const auto ready = poller->wait(clock.now(), Nanos{0});
      quiet = ready.empty() ? quiet + 1 : 0;
      transport->handle(ready, clock.now() - epoch, events);
    }
  };
  std::uint64_t number = 0;
  for (const Exchange& exchange : script) {
    transport->start(
        Attempt{.request = number, .prompt_tokens = 8, .output_tokens = 3, .prompt_seed = number}, events);
    int fd = -1;
    for (int tries = 0; tries < 1000 && fd < 0; ++tries) {
      look();
      fd = server.asked();
    }
    if (fd < 0) {
      events.emplace_back().request = number;  // nobody asked: told apart from everything else
      break;
    }
    for (std::size_t i = 0; i < exchange.pieces.size(); ++i) {
      Server::send(fd, exchange.pieces[i]);
      if (exchange.look[i]) look();
    }
    if (exchange.ending != Ending::keep) server.close(fd, exchange.ending == Ending::reset);
    look();
    // What hangs would hang for both; the server gives up.
    if (transport->in_flight() > 0 && exchange.ending == Ending::keep) server.close(fd, false);
    look();
    for (int tries = 0; tries < 1000 && transport->in_flight() > 0; ++tries) look();
    ++number;
  }
  transport.reset();
  server.close_all();
  std::vector<std::string> out;
  for (const TargetEvent& e : events) out.push_back(describe(e));
  return out;
}

std::string printable(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < ' ') {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(c));
      out += hex;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t scripts = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 400;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  SteadyClock clock;
  Server server;
  std::size_t events = 0, done = 0;
  int different = 0;
  const std::uint64_t only = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : scripts;
  for (std::uint64_t i = 0; i < scripts; ++i) {
    if (only != scripts && i != only) continue;
    const std::uint64_t number = derive_seed(seed, "script", i);
    const Script script = Writer{number}.script();
    const auto ours = play(script, WireKind::lean, server, clock);
    const auto theirs = play(script, WireKind::libcurl, server, clock);
    events += ours.size();
    for (const std::string& e : ours) done += e.find("done") != std::string::npos ? 1 : 0;
    if (ours == theirs) continue;
    ++different;
    std::printf("script %llu of seed %llu:\n", static_cast<unsigned long long>(i),
                static_cast<unsigned long long>(seed));
    for (const Exchange& e : script) {
      std::string all;
      for (std::size_t k = 0; k < e.pieces.size(); ++k) all += (k == 0 ? "" : "|") + e.pieces[k];
      std::printf("  %s  (%s)\n", printable(all).c_str(),
                  e.ending == Ending::keep    ? "kept"
                  : e.ending == Ending::close ? "closed"
                                              : "reset");
    }
    for (const auto& [name, told] : {std::pair{"lean", &ours}, std::pair{"libcurl", &theirs}}) {
      std::printf("  %s:", name);
      for (const std::string& e : *told) std::printf(" %s;", e.c_str());
      std::printf("\n");
    }
    if (different == 3) break;
  }
  std::printf("%llu scripts, %zu events, %zu whole answers, %d different\n",
              static_cast<unsigned long long>(scripts), events, done, different);
  // A corpus in which nothing succeeds, or nothing fails, would compare little.
  return different == 0 && done * 20 > scripts && events > 4 * scripts ? 0 : 1;
}
