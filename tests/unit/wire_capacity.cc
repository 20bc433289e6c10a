// What one issuer thread can do on this machine: not a test, a measurement. The null server runs in a process
// of its own on core 0, the generator on core 1.
//
//   wire_capacity bare WIRE CONCURRENCY SECONDS [PATH]
//       the transport alone, its core full
//   wire_capacity recorded WIRE CONCURRENCY SECONDS [PATH]
//       the same through machine and recorder, as in a run; its writer thread runs on core 0
//   wire_capacity open WIRE RATE SECONDS [PATH [SPIN_US [THREADS]]]
//       send lag and CPU of the whole generator
//   wire_capacity streams WIRE COUNT SECONDS
//       COUNT streams at one event a second
//   wire_capacity scale WIRE CONCURRENCY SECONDS PATH - THREADS
//       as recorded, THREADS at once, each with a server of its own
//   wire_capacity scan - - -
//       ns of scan_chunk
//   wire_capacity serve - PORT -
//       only the null server, for other clients
//
// WIRE is lean or libcurl. PATH is the null server's, such as /sse/100/1; one line of JSON is printed.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/descriptors.h"
#include "core/rng.h"
#include "engine/server/null_server.h"
#include "loadgen/codec/chunk_scanner.h"
#include "loadgen/load_machine.h"
#include "loadgen/wire/issuer.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/transport.h"
#include "loadgen/wire/wire_runner.h"
#include "results/recorder.h"

namespace {

using namespace dsbench;
using namespace dsbench::loadgen;

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  (void)::sched_setaffinity(0, sizeof set, &set);
}

// The k-th from the last, around and around.
int core_from_end(std::uint32_t k) {
  const long cores = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  return static_cast<int>(cores - 1 - static_cast<long>(k) % cores);
}

// Of the calling thread.
double cpu_seconds() {
  timespec t{};
  (void)::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Memory of our own: resident, and of no file. Kept open, so that it can be read when descriptors have run
// out.
class OwnMemory {
 public:
  [[nodiscard]] long kib() const {
    char text[256]{};
    long all = 0, resident = 0, shared = 0;
    if (::pread(fd_, text, sizeof text - 1, 0) <= 0 ||
        std::sscanf(text, "%ld %ld %ld", &all, &resident, &shared) != 3) {
      std::perror("/proc/self/statm");
      std::exit(1);
    }
    return (resident - shared) * (::sysconf(_SC_PAGESIZE) / 1024);
  }

 private:
  int fd_ = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
};

[[noreturn]] void serve(std::uint16_t port, int write_to, int core = 0) {
  pin(core);
  (void)raise_descriptor_limit();
  engine::server::NullServerConfig config;
  config.port = port;
  config.spin = std::chrono::microseconds{100};
  auto server = engine::server::NullServer::start(config);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    std::_Exit(1);
  }
  const std::uint16_t got = (*server)->port();
  if (write_to >= 0) (void)!::write(write_to, &got, sizeof got);
  for (;;) ::pause();
}

struct Figures {
  std::uint64_t done = 0, failed = 0, tokens = 0;
  std::uint64_t sent = 0;
  void take(const TargetEvent& e) {
    if (e.kind == EventKind::done) ++done;
    if (e.kind == EventKind::failed) ++failed;
    if (e.kind == EventKind::tokens) ++tokens;
  }
};

// Passes on to the recorder, and asks for the next request as soon as one has ended.
struct ClosingSink final : results::RecordSink {
  results::RecordSink* to = nullptr;
  Figures figures;
  std::uint64_t ended = 0;
  void attempt(const results::AttemptRecord& r) override {
    ++(r.reason == results::Reason::ok ? figures.done : figures.failed);
    figures.tokens += r.gaps.size() + (r.first_token != results::never ? 1 : 0);
    to->attempt(r);
  }
  void request(const results::RequestRecord& r) override {
    ++ended;
    to->request(r);
  }
};

struct LagSink final : results::RecordSink {
  results::RecordSink* to = nullptr;
  std::vector<Nanos> lags;
  std::uint64_t ok = 0, attempts = 0, tokens = 0;
  Nanos last{0};
  void attempt(const results::AttemptRecord& r) override {
    ++attempts;
    if (r.reason == results::Reason::ok) ++ok;
    if (lags.size() < lags.capacity()) lags.push_back(r.sent - r.due);
    tokens += r.gaps.size() + 1;
    last = std::max(last, r.done);
    to->attempt(r);
  }
  void request(const results::RequestRecord& r) override { to->request(r); }
};

Attempt attempt_of(std::uint64_t request) {
  Attempt a;
  a.request = request;
  a.prompt_tokens = 64;
  a.output_tokens = 1;
  a.prompt_seed = request;
  return a;
}

struct Setting {
  std::string mode, wire;
  double amount = 0, seconds = 1;
  WireConfig config;
  std::vector<std::string> urls;  // of the servers
  std::filesystem::path folder;
};

std::unique_ptr<results::Recorder> recorder_in(const std::filesystem::path& folder) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  // The writer thread inherits where its maker runs: the server's core, as on a machine with cores to spare.
  pin(0);
  auto recorder = std::move(*results::open_recorder(folder, results::Slo{}));
  pin(1);
  (void)recorder->begin_stage({"capacity", results::StageKind::load, Rate::per_second(1), Nanos{0}, Nanos{0},
                               Nanos{86'400'000'000'000}});
  return recorder;
}

// What one issuer thread did in a closed loop.
struct Closed {
  Figures figures;
  double wall = 0, used = 0;  // seconds, of the clock and of the thread's processor time
  std::uint64_t connections = 0;
};

// `recorder`: none for the transport alone.
Closed closed_loop(const Setting& s, const std::string& url, std::uint32_t worker,
                   results::Recorder* recorder) {
  SteadyClock clock;
  ask_for_exact_wakeups();
  auto poller = std::move(*Poller::make(clock));
  const Nanos epoch = clock.now();
  WireConfig config = s.config;
  config.providers.front().base_url = url;
  auto transport = std::move(*make_transport(config, {}, clock, epoch, *poller));
  std::vector<TargetEvent> events, taken;
  std::vector<Action> actions;
  std::vector<Attempt> starting;
  Figures bare;
  ClosingSink sink;
  std::unique_ptr<LoadMachine> machine;
  std::uint64_t next = std::uint64_t{worker} << 40;
  const auto add = [&](Nanos due) {
    const Arrival arrival{next++, due, 0};
    machine->add({&arrival, 1});
  };
  if (recorder != nullptr) {
    sink.to = &recorder->channel(worker);
    machine = std::make_unique<LoadMachine>(ClientPolicy{}, SharedSource{attempt_of}, 1, worker, sink);
    for (int i = 0; i < static_cast<int>(s.amount); ++i) add(Nanos{0});
  } else {
    for (int i = 0; i < static_cast<int>(s.amount); ++i) transport->start(attempt_of(next++), events);
  }
  Nanos now{0};
  const double cpu = cpu_seconds();
  const Nanos from = clock.now() - epoch;
  while ((now = clock.now() - epoch) < from + from_seconds(s.seconds)) {
    auto deadline = transport->next_timer();
    if (!deadline || *deadline > now + Nanos{50'000'000}) deadline = now + Nanos{50'000'000};
    if (!events.empty() || !actions.empty() || (machine && machine->pending() > 0)) deadline = Nanos{0};
    const auto ready = poller->wait(*deadline + epoch, Nanos{0});
    now = clock.now() - epoch;
    transport->handle(ready, now, events);
    taken.swap(events);
    events.clear();
    if (!machine) {
      for (const TargetEvent& e : taken) {
        bare.take(e);
        if (e.kind == EventKind::done || e.kind == EventKind::failed) starting.push_back(attempt_of(next++));
      }
      transport->start_all(starting, events);
      starting.clear();
      continue;
    }
    for (const TargetEvent& e : taken) machine->on_event(e, actions);
    for (; sink.ended > 0; --sink.ended) add(now);
    machine->on_time(now, actions);
    for (Action& a : actions) starting.push_back(std::move(a.attempt));
    actions.clear();
    transport->start_all(starting, events);
    starting.clear();
  }
  Closed out;
  out.wall = to_seconds(clock.now() - epoch - from);
  out.used = cpu_seconds() - cpu;
  out.figures = machine ? sink.figures : bare;
  out.connections = transport->counts().connections_opened;
  return out;
}

void closed(const Setting& s) {
  const auto recorder = s.mode == "recorded" ? recorder_in(s.folder) : nullptr;
  const Closed c = closed_loop(s, s.urls.front(), 0, recorder.get());
  const Figures& f = c.figures;
  std::printf(
      "{\"mode\":\"%s\",\"wire\":\"%s\",\"concurrency\":%g,\"requests_per_s\":%.0f,\"requests_per_cpu_s\":%."
      "0f,"
      "\"events_per_cpu_s\":%.0f,\"us_per_request\":%.2f,\"us_per_event\":%.3f,\"busy\":%.2f,\"failed\":%llu,"
      "\"connections\":%llu}\n",
      s.mode.c_str(), s.wire.c_str(), s.amount, static_cast<double>(f.done) / c.wall,
      static_cast<double>(f.done) / c.used, static_cast<double>(f.tokens) / c.used,
      c.used * 1e6 / static_cast<double>(std::max<std::uint64_t>(f.done, 1)),
      c.used * 1e6 / static_cast<double>(std::max<std::uint64_t>(f.tokens, 1)), c.used / c.wall,
      static_cast<unsigned long long>(f.failed), static_cast<unsigned long long>(c.connections));
}

// As many issuer threads as there are servers, each full on a core of its own (the last ones first), into one
// recorder. Where the cores do not suffice for threads and servers, they share: then the processor time of a
// request still tells whether the threads are in each other's way, and the requests per second tell nothing.
void scale(const Setting& s) {
  const auto recorder = recorder_in(s.folder);
  const auto threads = static_cast<std::uint32_t>(s.urls.size());
  std::vector<Closed> done(threads);
  std::vector<std::thread> running;
  for (std::uint32_t k = 0; k < threads; ++k) {
    running.emplace_back([&, k] {
      pin(core_from_end(k));
      done[k] = closed_loop(s, s.urls[k], k, recorder.get());
    });
  }
  for (std::thread& t : running) t.join();
  double used = 0, rate = 0;
  std::uint64_t requests = 0;
  for (const Closed& c : done) {
    used += c.used;
    rate += static_cast<double>(c.figures.done) / c.wall;
    requests += c.figures.done;
  }
  std::printf(
      "{\"mode\":\"scale\",\"wire\":\"%s\",\"threads\":%u,\"requests_per_s\":%.0f,\"us_per_request\":%.2f}\n",
      s.wire.c_str(), threads, rate, used * 1e6 / static_cast<double>(std::max<std::uint64_t>(requests, 1)));
}

// RATE per second (Poisson), or for `streams` that many over the first six seconds; what opening them costs
// the kernel (looking for ports) is not counted.
void open(const Setting& s) {
  const auto recorder = recorder_in(s.folder);
  std::atomic<bool> stop{false};
  std::vector<LagSink> sinks(static_cast<std::size_t>(s.config.threads));
  for (std::size_t i = 0; i < sinks.size(); ++i)
    sinks[i].to = &recorder->channel(static_cast<std::uint32_t>(i));
  if (s.config.threads > 1) {  // both cores
    cpu_set_t both;
    CPU_ZERO(&both);
    CPU_SET(0, &both);
    CPU_SET(1, &both);
    (void)::sched_setaffinity(0, sizeof both, &both);
  }
  const bool streams = s.mode == "streams";
  Rng rng{1, "arrivals"};
  std::vector<Arrival> arrivals;
  if (streams) {
    for (int i = 0; i < static_cast<int>(s.amount); ++i)
      arrivals.push_back({arrivals.size(), from_seconds(0.2 + 6.0 * i / s.amount), 0});
  } else {
    for (double at = 0.2; at < s.seconds + 0.2;) {
      at += rng.exponential() / s.amount;
      arrivals.push_back({arrivals.size(), from_seconds(at), 0});
    }
  }
  const std::size_t count = arrivals.size();
  for (LagSink& sink : sinks) sink.lags.reserve(count);
  const OwnMemory memory;
  const long before = memory.kib();
  auto runner = std::move(*make_wire_runner(
      s.config, {}, SharedSource{attempt_of}, 1,
      [&](std::uint32_t worker) -> results::RecordSink& { return sinks[worker]; }, stop));
  (void)runner->health();
  long peak = before;
  GeneratorHealth health;
  if (streams) {
    (void)runner->offer(arrivals, from_seconds(8));
    (void)runner->health();
    (void)runner->offer({}, from_seconds(8 + s.seconds));
    peak = memory.kib();
    health = runner->health();
    const std::size_t live = runner->in_flight();
    std::printf(
        "{\"mode\":\"streams\",\"wire\":\"%s\",\"streams\":%g,\"in_flight\":%zu,\"issuer_share\":%.3f,"
        "\"us_per_event\":%.2f,\"kib_per_stream\":%.2f,\"jitter_p99_us\":%.0f}\n",
        s.wire.c_str(), s.amount, live, health.busiest_worker_share,
        1e6 * health.busiest_worker_share / static_cast<double>(std::max<std::size_t>(live, 1)),
        static_cast<double>(peak - before) / s.amount,
        static_cast<double>(health.platform_jitter_p99.count()) * 1e-3);
    runner->abandon();
    return;
  }
  const Nanos last_due = arrivals.back().due;
  (void)runner->offer(arrivals, last_due);
  (void)runner->drain(runner->now() + from_seconds(5));
  health = runner->health();
  runner.reset();
  std::vector<Nanos> lags;
  std::uint64_t ok = 0;
  Nanos last{0};
  for (const LagSink& sink : sinks) {
    lags.insert(lags.end(), sink.lags.begin(), sink.lags.end());
    ok += sink.ok;
    last = std::max(last, sink.last);
  }
  std::sort(lags.begin(), lags.end());
  const auto q = [&](double p) {
    return lags.empty()
               ? 0.0
               : static_cast<double>(
                     lags[static_cast<std::size_t>(p * static_cast<double>(lags.size() - 1))].count()) *
                     1e-3;
  };
  std::printf(
      "{\"mode\":\"open\",\"wire\":\"%s\",\"rate\":%g,\"spin_us\":%.0f,\"threads\":%d,\"lag_p50_us\":%.1f,"
      "\"lag_p90_us\":%.1f,\"lag_p99_us\":%.1f,\"lag_p999_us\":%.1f,\"issuer_share\":%.3f,\"us_per_request\":"
      "%.2f,"
      "\"jitter_p99_us\":%.0f,\"delivered_per_s\":%.0f,\"ok\":%llu,\"offered\":%zu}\n",
      s.wire.c_str(), s.amount, static_cast<double>(s.config.spin.count()) * 1e-3, s.config.threads, q(0.5),
      q(0.9), q(0.99), q(0.999), health.busiest_worker_share, 1e6 * health.busiest_worker_share / s.amount,
      static_cast<double>(health.platform_jitter_p99.count()) * 1e-3,
      static_cast<double>(ok) / to_seconds(std::max(last, last_due) - from_seconds(0.2)),
      static_cast<unsigned long long>(ok), count);
}

void scan() {
  const std::string chunk =
      R"({"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"deepseek-v3","choices":[{"index":0,"delta":{"content":" the"},"logprobs":null,"finish_reason":null}]})";
  SteadyClock clock;
  std::uint64_t found = 0;
  Nanos best{1'000'000'000};
  for (int k = 0; k < 20; ++k) {
    const Nanos from = clock.now();
    for (int i = 0; i < 20'000; ++i) {
      const auto facts = scan_chunk(chunk);
      found += facts ? 1 : 0;
    }
    best = std::min(best, clock.now() - from);
  }
  std::printf("{\"mode\":\"scan\",\"bytes\":%zu,\"ns_per_chunk\":%.0f,\"found\":%llu}\n", chunk.size(),
              static_cast<double>(best.count()) / 20'000, static_cast<unsigned long long>(found));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  Setting s;
  s.mode = argv[1];
  s.wire = argv[2];
  s.amount = std::atof(argv[3]);
  s.seconds = std::atof(argv[4]);
  if (s.mode == "serve") serve(static_cast<std::uint16_t>(s.amount), -1);
  if (s.mode == "scan") {
    pin(1);
    scan();
    return 0;
  }
  std::string path = argc > 5 ? argv[5] : "/sse/1/1";
  if (s.mode == "streams") path = "/sse/100000/1/1s";
  const std::int64_t descriptors = raise_descriptor_limit() - 64;
  if (s.mode == "streams" && s.amount > static_cast<double>(descriptors)) {
    std::fprintf(stderr, "%g streams are more than the descriptors here: at most %ld (ulimit -n less 64)\n",
                 s.amount, static_cast<long>(descriptors));
    return 2;
  }
  if (argc > 6) s.config.spin = Nanos{std::atoll(argv[6]) * 1000};
  if (argc > 7) s.config.threads = std::atoi(argv[7]);
  std::vector<pid_t> servers;
  for (int k = 0; k < (s.mode == "scale" ? s.config.threads : 1); ++k) {
    int pipe[2];
    if (::pipe(pipe) != 0) return 1;
    servers.push_back(::fork());
    if (servers.back() == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const auto cores = static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
      serve(0, pipe[1], k % cores);
    }
    std::uint16_t port = 0;
    if (::read(pipe[0], &port, sizeof port) != sizeof port) return 1;
    s.urls.push_back("http://127.0.0.1:" + std::to_string(port) + path);
  }
  pin(1);
  s.config.wire = s.wire == "lean" ? WireKind::lean : WireKind::libcurl;
  s.config.providers.front().base_url = s.urls.front();
  s.config.providers.front().model = "null";
  s.folder = std::filesystem::temp_directory_path() / ("dsbench-capacity-" + std::to_string(::getpid()));
  if (s.mode == "open" || s.mode == "streams") {
    open(s);
  } else if (s.mode == "scale") {
    scale(s);
  } else {
    closed(s);
  }
  std::filesystem::remove_all(s.folder);
  for (const pid_t server : servers) ::kill(server, SIGKILL);
  return 0;
}
