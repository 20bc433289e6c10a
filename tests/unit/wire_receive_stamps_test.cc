// When the kernel received the bytes, however late this thread comes to read them.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "core/clock.h"
#include "loadgen/wire/lean_transport.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/receive_clock.h"
#include "tests/fakes/scripted_http_server.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using dsbench::testing::as_chunk;
using dsbench::testing::chunk;
using dsbench::testing::done_marker;
using dsbench::testing::finish;
using dsbench::testing::stream_head;

TEST(ReceiveClock, KnowsTheDistanceMoreCloselyWithEveryLook) {
  ReceiveClock c;
  EXPECT_FALSE(c.run_time(1000s)) << "it has not looked yet";
  EXPECT_FALSE(c.look(1s, 1001s, 1s + 5ms)) << "the first look finds no step";
  EXPECT_FALSE(c.run_time(1001s)) << "5 ms apart is too vague";
  c.look(2s, 1002s, 2s + 10us);
  EXPECT_EQ(c.run_time(1002s), 2s + 5us);
  c.look(3s, 1003s + 8us, 3s + 9us);  // the distance is 999.999999 to 1000.000008 s; it was at most 1000 s
  EXPECT_EQ(c.run_time(1003s), 3s + 500ns);
  c.look(4s, 1004s, 4s + 5ms);
  EXPECT_EQ(c.run_time(1004s), 4s + 500ns) << "a vague look spoils nothing";
  EXPECT_EQ(c.steps(), 0);
}

TEST(ReceiveClock, BelievesNothingForASecondAfterAStep) {
  for (const Nanos step : {Nanos{-10min}, Nanos{-3ms}, Nanos{3ms}, Nanos{1h}}) {
    ReceiveClock c;
    c.look(1s, 1001s, 1s + 100ns);
    EXPECT_FALSE(c.look(2s, 1002s, 2s + 100ns));
    EXPECT_TRUE(c.look(3s, 1003s + step, 3s + 100ns));
    EXPECT_FALSE(c.run_time(1003s));
    EXPECT_FALSE(c.look(3900ms, 1003900ms + step, 3900ms + 100ns)) << "one step is told once";
    EXPECT_FALSE(c.run_time(1003900ms + step));
    EXPECT_FALSE(c.look(4100ms, 1004100ms + step, 4100ms + 100ns));
    EXPECT_EQ(c.run_time(1005s + step), 5s + 50ns);
    EXPECT_EQ(c.steps(), 1);
  }
}

TEST(ReceiveClock, RoundingIsNoStep) {
  ReceiveClock c;
  c.look(1s, 1001s, 1s + 1ns);
  EXPECT_FALSE(c.look(2s, 1002s + 3ns, 2s + 1ns));
  EXPECT_FALSE(c.look(3s, 1003s, 3s + 1ns));
  EXPECT_EQ(c.steps(), 0);
}

Nanos wall_step{0};
Nanos stepped_wall_clock() {
  return wall_clock_now() + wall_step;
}

// A lean transport and its server, both in this thread: a byte is with the client's kernel before send()
// returns, and is read when the test says so.
class Line {
 public:
  explicit Line(const std::string& unix_path = {}) : unix_path_{unix_path}, epoch_{clock_.now()} {
    listener_ = ::socket(unix_path.empty() ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in ip{};
    sockaddr_un path{};
    WireConfig config;
    config.providers.front().model = "m";
    config.providers.front().base_url = "http://localhost";
    if (unix_path.empty()) {
      ip.sin_family = AF_INET;
      ip.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&ip), sizeof ip), 0);
      socklen_t size = sizeof ip;
      EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&ip), &size), 0);
      config.providers.front().base_url = "http://127.0.0.1:" + std::to_string(ntohs(ip.sin_port));
    } else {
      path.sun_family = AF_UNIX;
      unix_path.copy(path.sun_path, sizeof path.sun_path - 1);
      (void)::unlink(unix_path.c_str());
      EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&path), sizeof path), 0);
      config.providers.front().unix_socket = unix_path;
    }
    EXPECT_EQ(::listen(listener_, 4), 0);
    poller_ = std::move(*Poller::make(clock_));
    transport_ =
        std::move(*LeanTransport::make(config, {}, clock_, epoch_, *poller_, nullptr, stepped_wall_clock));
    transport_->start(Attempt{.request = 0, .prompt_tokens = 8, .output_tokens = 3, .prompt_seed = 1},
                      events);
    peer_ = ::accept(listener_, nullptr, nullptr);
    const int on = 1;
    if (unix_path.empty()) (void)::setsockopt(peer_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    read();  // the client writes its request
    char buffer[4096];
    EXPECT_GT(::recv(peer_, buffer, sizeof buffer, 0), 0);
  }
  ~Line() {
    wall_step = Nanos{0};
    transport_.reset();
    ::close(peer_);
    ::close(listener_);
    if (!unix_path_.empty()) (void)::unlink(unix_path_.c_str());
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  [[nodiscard]] Nanos now() const { return clock_.now() - epoch_; }
  void wait(Nanos time) { clock_.sleep_until(clock_.now() + time); }
  void send(const std::string& bytes) {
    EXPECT_EQ(::send(peer_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void send_token() { send(as_chunk(chunk("a"))); }
  // One turn.
  void read() {
    const auto ready = poller_->wait(clock_.now() + Nanos{100ms}, Nanos{0});
    transport_->handle(ready, now(), events);
  }
  // The kernel stamps from a moment after it was first asked to.
  bool until_stamped() {
    for (int i = 0; i < 200; ++i) {
      send_token();
      read();
      if (!events.empty() && events.back().read_lag != results::never) return true;
      wait(5ms);
    }
    return false;
  }

  std::vector<TargetEvent> events;

 private:
  std::string unix_path_;
  SteadyClock clock_;
  Nanos epoch_;
  int listener_ = -1, peer_ = -1;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<LeanTransport> transport_;
};

TEST(ReceiveStamps, AreTrueHoweverLateWeRead) {
  Line line;
  line.send(stream_head());
  ASSERT_TRUE(line.until_stamped()) << "no stamp within a second";
  for (int i = 0; i < 3; ++i) {
    line.events.clear();
    const Nanos before = line.now();
    line.send_token();
    const Nanos after = line.now();
    line.wait(50ms);
    const Nanos from = line.now();
    line.read();
    ASSERT_EQ(line.events.size(), 1U);
    const TargetEvent& e = line.events.front();
    EXPECT_EQ(e.kind, EventKind::tokens);
    EXPECT_GE(e.at, before - 10us);
    EXPECT_LE(e.at, after + 10us);
    EXPECT_GE(e.at + e.read_lag, from);
    EXPECT_LE(e.at + e.read_lag, line.now());
  }
}

TEST(ReceiveStamps, NeverGoBackOnOneConnection) {
  Line line;
  line.send(stream_head());
  ASSERT_TRUE(line.until_stamped());
  for (int i = 0; i < 20; ++i) {
    line.send_token();
    if (i % 3 == 0) line.read();
  }
  line.send(as_chunk(finish() + done_marker()));
  line.wait(20ms);
  line.read();
  ASSERT_EQ(line.events.front().kind, EventKind::sent);
  ASSERT_EQ(line.events.back().kind, EventKind::done);
  for (std::size_t i = 1; i < line.events.size(); ++i) {
    EXPECT_LE(line.events[i - 1].at, line.events[i].at);
    const Nanos lag = line.events[i].read_lag;
    EXPECT_TRUE(lag == results::never || lag >= Nanos{0}) << lag.count();
  }
  EXPECT_GE(line.events.back().read_lag, 20ms);
}

// What waited together has the stamp of the last of it: the kernel keeps no other.
TEST(ReceiveStamps, ChunksThatWaitedTogetherHaveOneStamp) {
  Line line;
  line.send(stream_head());
  ASSERT_TRUE(line.until_stamped());
  line.events.clear();
  const Nanos first = line.now();
  line.send_token();
  line.wait(20ms);
  line.send_token();
  const Nanos last = line.now();
  line.wait(20ms);
  line.read();
  ASSERT_EQ(line.events.size(), 2U);
  for (const TargetEvent& e : line.events) {
    EXPECT_GE(e.at, first);
    EXPECT_LE(e.at, last + 10us);
  }
  EXPECT_EQ(line.events[0].at, line.events[1].at);
}

TEST(ReceiveStamps, WithoutThemTheClockSaysWhenWeCameToRead) {
  Line line{(std::string{::testing::TempDir()} + "dsbench-stamps-") + std::to_string(::getpid())};
  line.send(stream_head() + as_chunk(chunk("a")));
  line.wait(50ms);
  const Nanos from = line.now();
  line.read();
  ASSERT_EQ(line.events.back().kind, EventKind::tokens);
  EXPECT_GE(line.events.back().at, from);
  EXPECT_EQ(line.events.back().read_lag, results::never);
}

TEST(ReceiveStamps, AStepOfTheWallClockCostsASecondOfThem) {
  for (const Nanos step : {Nanos{-1h}, Nanos{-20ms}, Nanos{20ms}, Nanos{1h}}) {
    Line line;
    line.send(stream_head());
    ASSERT_TRUE(line.until_stamped());
    line.events.clear();
    line.send_token();
    wall_step = step;
    line.wait(50ms);
    const Nanos from = line.now();
    line.read();
    line.send_token();
    line.read();
    const Nanos to = line.now();
    ASSERT_EQ(line.events.size(), 2U);
    for (const TargetEvent& e : line.events) {
      EXPECT_GE(e.at, from) << "by the clock, as if there were no stamps";
      EXPECT_LE(e.at, to);
      EXPECT_EQ(e.read_lag, results::never);
    }
  }
}

}  // namespace
}  // namespace dsbench::loadgen
