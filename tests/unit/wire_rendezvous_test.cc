#include "loadgen/wire/rendezvous.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "loadgen/wire/start_time.h"

namespace dsbench::loadgen {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

RendezvousConfig config_of(std::uint32_t index, std::uint32_t count, std::uint16_t port = 0) {
  RendezvousConfig c;
  c.port = port;
  c.index = index;
  c.count = count;
  c.plan = "plan";
  c.patience = 20s;
  return c;
}

// A clock that is wrong by so much.
std::function<Nanos()> wrong_by(Nanos error) {
  return [error] { return wall_clock_now() + error; };
}

TEST(Rendezvous, AllGetOneStartAndKnowTheirClocksErrors) {
  const std::vector<Nanos> errors{0ms, 250ms, -3s, 40us};
  auto host = RendezvousHost::open(config_of(0, 4));
  ASSERT_TRUE(host.has_value()) << host.error().message;
  const std::uint16_t port = (*host)->port();
  std::atomic<bool> stop{false};
  std::vector<Result<Agreement>> agreed(4, Agreement{});
  std::vector<std::thread> others;
  for (std::uint32_t i = 1; i < 4; ++i) {
    others.emplace_back([&, i] {
      RendezvousConfig c = config_of(i, 4, port);
      c.wall = wrong_by(errors[i]);
      agreed[i] = join_rendezvous(c, stop);
    });
  }
  agreed[0] = (*host)->meet(stop, {});
  for (std::thread& t : others) t.join();
  for (std::uint32_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(agreed[i].has_value()) << agreed[i].error().message;
    EXPECT_EQ(agreed[i]->start_at, agreed[0]->start_at);
    // The offset undoes the clock's error, to half the round trip: that is what it promises, on any machine.
    const Nanos wrong = agreed[i]->offset + errors[i];
    EXPECT_LE(wrong < 0ns ? -wrong : wrong, agreed[i]->round_trip / 2 + 1us) << i;
    EXPECT_EQ(agreed[i]->own_start(), agreed[i]->start_at - agreed[i]->offset);
  }
}

TEST(Rendezvous, AnotherPlanIsRefusedOnBothSides) {
  auto host = RendezvousHost::open(config_of(0, 2)).value();
  std::atomic<bool> stop{false};
  Result<Agreement> joined = Agreement{};
  std::thread other{[&] {
    RendezvousConfig c = config_of(1, 2, host->port());
    c.plan = "another";
    joined = join_rendezvous(c, stop);
  }};
  const auto met = host->meet(stop, {});
  other.join();
  ASSERT_FALSE(met.has_value());
  EXPECT_EQ(met.error().kind, ErrorKind::usage);
  EXPECT_THAT(met.error().message,
              HasSubstr("worker 1 is about to send another plan (another, ours is plan)"));
  ASSERT_FALSE(joined.has_value());
  EXPECT_THAT(joined.error().message, HasSubstr("its plan is another, worker 0's is plan"));
}

TEST(Rendezvous, WhoDoesNotComeIsNamed) {
  RendezvousConfig c = config_of(0, 3);
  c.patience = 300ms;
  auto host = RendezvousHost::open(c).value();
  std::atomic<bool> stop{false};
  const auto met = host->meet(stop, {});
  ASSERT_FALSE(met.has_value());
  EXPECT_EQ(met.error().kind, ErrorKind::unreachable);
  EXPECT_THAT(met.error().message, HasSubstr("1 of 3 workers came to the rendezvous"));
  EXPECT_THAT(met.error().message, HasSubstr("missing: 1, 2"));
}

TEST(Rendezvous, AWorkerZeroThatIsNotThereIsSaid) {
  RendezvousConfig c = config_of(1, 2, 1);  // nobody listens at port 1
  c.patience = 200ms;
  std::atomic<bool> stop{false};
  const auto joined = join_rendezvous(c, stop);
  ASSERT_FALSE(joined.has_value());
  EXPECT_THAT(joined.error().message, HasSubstr("no worker 0 at 127.0.0.1:1 within 200 ms"));
}

TEST(Rendezvous, AnInterruptionEndsTheWait) {
  auto host = RendezvousHost::open(config_of(0, 2)).value();
  std::atomic<bool> stop{true};
  EXPECT_EQ(host->meet(stop, {}).error().kind, ErrorKind::interrupted);
  EXPECT_EQ(join_rendezvous(config_of(1, 2, 1), stop).error().kind, ErrorKind::interrupted);
}

// Says one line and returns the first bytes of the answer.
std::string say(std::uint16_t port, const std::string& line) {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(s, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  (void)!::write(s, line.data(), line.size());
  char answer[256] = {};
  const ssize_t n = ::read(s, answer, sizeof answer - 1);
  ::close(s);
  return {answer, static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

TEST(Rendezvous, StrangersAndDoublesAreSentAwayAndTheOthersStillMeet) {
  auto host = RendezvousHost::open(config_of(0, 2)).value();
  std::atomic<bool> stop{false};
  Result<Agreement> met = Agreement{}, joined = Agreement{};
  std::thread zero{[&] { met = host->meet(stop, {}); }};
  EXPECT_THAT(say(host->port(), "GET / HTTP/1.1\r\n\r\n"),
              HasSubstr("refused: this is dsbench-rendezvous/1"));
  EXPECT_THAT(say(host->port(), "dsbench-rendezvous/1 7 2 plan\n"), HasSubstr("refused: worker 7 of 2"));
  EXPECT_THAT(say(host->port(), "dsbench-rendezvous/1 1 5 plan\n"),
              HasSubstr("worker 0 expects workers 1 to 1"));
  (void)say(host->port(), std::string(4096, 'x'));
  joined = join_rendezvous(config_of(1, 2, host->port()), stop);
  zero.join();
  EXPECT_TRUE(joined.has_value());
  EXPECT_TRUE(met.has_value());
}

TEST(Rendezvous, APortThatIsTakenIsSaid) {
  auto first = RendezvousHost::open(config_of(0, 2)).value();
  const auto second = RendezvousHost::open(config_of(0, 2, first->port()));
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::usage);
  EXPECT_THAT(second.error().message, HasSubstr("Address already in use; give a port that is free there"));
}

TEST(Rendezvous, ANameThatIsNoAddressOfOursListensEverywhere) {
  RendezvousConfig c = config_of(0, 2);
  c.host = "192.0.2.1";  // of the block for documentation: nobody's
  auto host = RendezvousHost::open(c);
  ASSERT_TRUE(host.has_value()) << host.error().message;
  EXPECT_NE((*host)->port(), 0);
  c.host = "no-such-name.invalid";
  EXPECT_TRUE(RendezvousHost::open(c).has_value());
}

TEST(Rendezvous, APlaceIsHostAndPort) {
  RendezvousConfig c;
  ASSERT_TRUE(set_meeting_point(c, "node-1:7117").has_value());
  EXPECT_EQ(c.host, "node-1");
  EXPECT_EQ(c.port, 7117);
  ASSERT_TRUE(set_meeting_point(c, "[::1]:80").has_value());
  EXPECT_EQ(c.host, "::1");
  for (const char* wrong : {"node-1", ":80", "node-1:0", "node-1:x", "node-1:70000"})
    EXPECT_THAT(set_meeting_point(c, wrong).error().message, HasSubstr("is no meeting point")) << wrong;
}

TEST(StartTime, TheSameInstantOnBothClocks) {
  const SteadyClock clock;
  const Nanos before = clock.now();
  const Nanos steady = steady_of_wall(wall_clock_now());
  const Nanos after = clock.now();
  EXPECT_GE(steady, before - 1ms);
  EXPECT_LE(steady, after + 1ms);
}

TEST(StartTime, TheWatchSaysHowLateItWokeAndNeverEarly) {
  const Nanos wall = wall_clock_now() + 60ms;
  const StartWatch watch{wall, steady_of_wall(wall)};
  EXPECT_FALSE(watch.lateness().has_value());
  while (!watch.lateness()) std::this_thread::yield();
  EXPECT_GE(wall_clock_now(), wall);
  EXPECT_GE(*watch.lateness(), 0ns);
}

TEST(StartTime, AClockThatWasSetMeanwhileShows) {
  const Nanos wall = wall_clock_now() + 20ms;
  // As if the wall clock had been set back by a second after the steady instant was computed.
  const StartWatch watch{wall, steady_of_wall(wall) - 1s};
  while (!watch.lateness()) std::this_thread::yield();
  EXPECT_GE(*watch.lateness(), 1s);
}

TEST(StartTime, AWaitCanBeInterrupted) {
  std::atomic<bool> stop{true};
  const auto waited = wait_for_wall(wall_clock_now() + 1h, stop);
  ASSERT_FALSE(waited.has_value());
  EXPECT_EQ(waited.error().kind, ErrorKind::interrupted);
}

}  // namespace
}  // namespace dsbench::loadgen
