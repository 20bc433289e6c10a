// What one issuer thread can do on this machine: not a test, a measurement. A null server (epoll, one thread,
// a process of its own on core 0) answers every request with a prepared stream; the generator runs on core 1.
//   wire_capacity closed CONCURRENCY SECONDS        requests per second of the transport alone, its core full
//   wire_capacity open RATE SECONDS [SPIN_US]       send lag and CPU of the whole generator at a Poisson rate
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/rng.h"
#include "loadgen/wire/curl_transport.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/wire_runner.h"

namespace {

using namespace dsbench;
using namespace dsbench::loadgen;

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  (void)::sched_setaffinity(0, sizeof set, &set);
}

// Ends with its parent. Counts a request per "}}" free body end: one request is outstanding per connection,
// so a whole one has come when its Content-Length has.
[[noreturn]] void serve(int listener, const std::string& answer) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin(0);
  const int epoll = ::epoll_create1(0);
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.fd = listener;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
  std::vector<std::string> buffers(65536);
  std::vector<epoll_event> ready(256);
  for (;;) {
    const int n = ::epoll_wait(epoll, ready.data(), 256, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = ready[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        const int c = ::accept(listener, nullptr, nullptr);
        const int on = 1;
        (void)::setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        e.data.fd = c;
        ::epoll_ctl(epoll, EPOLL_CTL_ADD, c, &e);
        buffers[static_cast<std::size_t>(c)].clear();
        continue;
      }
      char piece[16384];
      const ssize_t got = ::recv(fd, piece, sizeof piece, 0);
      if (got <= 0) {
        ::close(fd);
        continue;
      }
      std::string& b = buffers[static_cast<std::size_t>(fd)];
      b.append(piece, static_cast<std::size_t>(got));
      const std::size_t head = b.find("\r\n\r\n");
      if (head == std::string::npos) continue;
      const std::size_t at = b.find("Content-Length: ");
      if (b.size() < head + 4 + std::strtoul(b.c_str() + at + 16, nullptr, 10)) continue;
      b.clear();
      (void)!::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }
}

struct Sink final : results::RecordSink {
  void attempt(const results::AttemptRecord& r) override {
    if (r.reason == results::Reason::ok) ++ok;
    lags.push_back(r.sent - r.due);
  }
  void request(const results::RequestRecord&) override {}
  std::vector<Nanos> lags;
  std::int64_t ok = 0;
};

double micros(Nanos d) {
  return static_cast<double>(d.count()) * 1e-3;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const std::string mode = argv[1];
  const double amount = std::atof(argv[2]), seconds = std::atof(argv[3]);
  const std::string body =
      "data: "
      "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n\ndata: "
      "[DONE]\n\n";
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 4096) != 0)
    return 1;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const pid_t server = ::fork();
  if (server == 0) serve(listener, answer);
  pin(1);
  SteadyClock clock;
  WireConfig config;
  config.providers.front().base_url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  config.providers.front().model = "m";
  if (argc > 4) config.spin = Nanos{std::atoll(argv[4]) * 1000};

  if (mode == "closed") {
    auto poller = std::move(*Poller::make(clock));
    const Nanos epoch = clock.now();
    auto transport = std::move(*CurlTransport::make(config, {}, clock, epoch, *poller));
    std::vector<TargetEvent> events, taken;
    std::uint64_t next = 0, done = 0, failed = 0;
    const auto start = [&] {
      transport->start(
          Attempt{
              .request = next, .attempt = 0, .prompt_tokens = 64, .output_tokens = 1, .prompt_seed = next},
          events);
      ++next;
    };
    for (int i = 0; i < static_cast<int>(amount); ++i) start();
    const clock_t cpu = std::clock();
    Nanos now{0};
    while ((now = clock.now() - epoch) < from_seconds(seconds)) {
      auto deadline = transport->next_timer();
      if (!deadline || *deadline > now + Nanos{50'000'000}) deadline = now + Nanos{50'000'000};
      if (!events.empty()) deadline = Nanos{0};
      const auto ready = poller->wait(*deadline + epoch, Nanos{0});
      transport->handle(ready, clock.now() - epoch, events);
      taken.swap(events);
      events.clear();
      for (const TargetEvent& e : taken) {
        if (e.kind == EventKind::done) ++done;
        if (e.kind == EventKind::failed) ++failed;
        if (e.kind == EventKind::done || e.kind == EventKind::failed) start();
      }
    }
    const double used = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
    std::printf(
        "closed, %g streams: %.0f requests/s, %.1f us of CPU each, core %.0f %% busy, %llu failed, %llu "
        "connections\n",
        amount, static_cast<double>(done) / seconds, used * 1e6 / static_cast<double>(done),
        100 * used / seconds, static_cast<unsigned long long>(failed),
        static_cast<unsigned long long>(transport->counts().connections_opened));
  } else {
    Sink sink;
    std::atomic<bool> stop{false};
    auto made = make_wire_runner(
        config, {},
        [](std::uint64_t request) {
          return Attempt{.request = request,
                         .attempt = 0,
                         .prompt_tokens = 64,
                         .output_tokens = 1,
                         .prompt_seed = request};
        },
        1, [&](std::uint32_t) -> results::RecordSink& { return sink; }, stop);
    auto runner = std::move(*made);
    Rng rng{1, "arrivals"};
    std::vector<Arrival> arrivals;
    for (double at = 0.2; at < seconds + 0.2;) {
      at += rng.exponential() / amount;
      arrivals.push_back({arrivals.size(), from_seconds(at), 0});
    }
    sink.lags.reserve(arrivals.size());
    (void)runner->health();
    (void)runner->offer(arrivals, arrivals.back().due);
    (void)runner->drain(runner->now() + from_seconds(5));
    const auto health = runner->health();
    runner.reset();
    std::sort(sink.lags.begin(), sink.lags.end());
    const auto q = [&](double p) {
      return micros(sink.lags[static_cast<std::size_t>(p * static_cast<double>(sink.lags.size() - 1))]);
    };
    std::printf(
        "open, %g/s, spin %.0f us: send lag p50 %.0f p90 %.0f p99 %.0f p99.9 %.0f us, issuer %.0f %% of a "
        "core (%.1f us a request), "
        "platform jitter p99 %.0f us, %lld of %zu ok\n",
        amount, micros(config.spin), q(0.5), q(0.9), q(0.99), q(0.999), 100 * health.busiest_worker_share,
        1e6 * health.busiest_worker_share / amount, micros(health.platform_jitter_p99),
        static_cast<long long>(sink.ok), arrivals.size());
  }
  ::kill(server, SIGKILL);
  return 0;
}
