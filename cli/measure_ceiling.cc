#include "cli/measure_ceiling.h"

#include <fmt/format.h>
#include <sched.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/descriptors.h"
#include "core/text.h"
#include "core/version.h"
#include "engine/server/null_server.h"
#include "loadgen/wire/host_limits.h"
#include "loadgen/wire/wire_runner.h"
#include "results/host_facts.h"
#include "results/recorder.h"

namespace dsbench::cli {
namespace {

constexpr Nanos lead{20'000'000};  // from the runner's start to the first arrival
constexpr std::int32_t events_per_answer = 200;
constexpr std::int32_t packed_answer = 1024, packed_events = 64;
constexpr Nanos stream_gap{100'000'000};
constexpr Nanos grace{100'000'000};  // after the last arrival of a trial, for what is in flight

// A folder that goes with its owner.
class TemporaryFolder {
 public:
  static Result<std::unique_ptr<TemporaryFolder>> make() {
    std::error_code error;
    const auto parent = std::filesystem::temp_directory_path(error);
    std::string name = ((error ? std::filesystem::path{"/tmp"} : parent) / "dsbench-ceiling-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      return fail(ErrorKind::io, "cannot make a temporary folder '{}' for the records of the measurement",
                  name);
    }
    return std::unique_ptr<TemporaryFolder>{new TemporaryFolder{name}};
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  // A new, empty folder in it.
  [[nodiscard]] std::filesystem::path next() {
    const auto path = path_ / std::to_string(++count_);
    std::error_code ignored;
    std::filesystem::remove_all(path_ / std::to_string(count_ - 1), ignored);
    std::filesystem::create_directory(path, ignored);
    return path;
  }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_{std::move(path)} {}
  std::filesystem::path path_;
  int count_ = 0;
};

// Keeps the calling thread, and those it starts, off one core; gives it back at the end.
class WithoutCore {
 public:
  WithoutCore() {
    CPU_ZERO(&all_);
    if (::sched_getaffinity(0, sizeof all_, &all_) != 0 || CPU_COUNT(&all_) < 2) return;
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && !core; --cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &all_)) core = cpu;
    }
    cpu_set_t rest = all_;
    CPU_CLR(static_cast<std::size_t>(*core), &rest);
    if (::sched_setaffinity(0, sizeof rest, &rest) != 0) core.reset();
  }
  ~WithoutCore() {
    if (core) (void)::sched_setaffinity(0, sizeof all_, &all_);
  }
  WithoutCore(const WithoutCore&) = delete;
  WithoutCore& operator=(const WithoutCore&) = delete;
  std::optional<int> core;  // absent: there is only one

 private:
  cpu_set_t all_;
};

struct Trial {
  bool kept_up = false;
  double busiest = 0;       // issuer, share of a core
  double server_share = 0;  // the null server, share of a core
  results::LatencySummary send_lag;
  Nanos jitter_p99{0};
};

class Bench {
 public:
  Bench(const CeilingOptions& options, std::atomic<bool>& stop, engine::server::NullServer& server,
        TemporaryFolder& folder)
      : options_{options}, stop_{stop}, server_{server}, folder_{folder} {}

  // `count` requests of `tokens` tokens, evenly over `spread`; then the generator has `patience` to
  // end.
  Result<Trial> run(const std::string& path, std::int32_t tokens, std::int64_t count, Nanos spread,
                    Nanos patience, std::int64_t most_left) {
    loadgen::WireConfig config;
    config.providers.front().base_url = server_.url() + path;
    config.providers.front().model = "null";
    config.threads = options_.threads;
    DSBENCH_TRY(const auto recorder, results::open_recorder(folder_.next(), results::Slo{}));
    const loadgen::SharedSource source{[tokens](std::uint64_t request) {
      loadgen::Attempt attempt;
      attempt.request = request;
      attempt.prompt_tokens = 64;
      attempt.output_tokens = tokens;
      attempt.prompt_seed = request;
      return attempt;
    }};
    DSBENCH_TRY(
        const auto runner,
        loadgen::make_wire_runner(
            config, loadgen::ClientPolicy{}, source, 1,
            [&](std::uint32_t worker) -> results::RecordSink& { return recorder->channel(worker); }, stop_));
    const Nanos start = runner->now() + lead;
    const Nanos end = start + spread;
    const std::uint32_t stage = recorder->begin_stage(
        {"ceiling", results::StageKind::load,
         Rate::per_second(static_cast<double>(count) / to_seconds(spread)), start, start, end});
    std::vector<loadgen::Arrival> arrivals;
    arrivals.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      arrivals.push_back({static_cast<std::uint64_t>(i), start + Nanos{spread.count() * i / count}, stage});
      recorder->offered(stage, arrivals.back().request, arrivals.back().due);
    }
    (void)runner->health();
    const Nanos cpu_before = server_.cpu_time(), began = runner->now();
    DSBENCH_CHECK(runner->offer(arrivals, end));
    DSBENCH_TRY(const std::size_t left, runner->drain(end + patience));
    const Nanos wall = runner->now() - began;
    const auto health = runner->health();
    runner->abandon();
    Trial trial;
    trial.busiest = health.busiest_worker_share;
    trial.jitter_p99 = health.platform_jitter_p99;
    trial.server_share = to_seconds(server_.cpu_time() - cpu_before) / std::max(to_seconds(wall), 1e-9);
    const results::StageSummary summary = recorder->summarize(stage);
    trial.send_lag = summary.send_lag;
    trial.kept_up = static_cast<std::int64_t>(left) <= most_left && health.unsent == 0 &&
                    summary.completed >= count - most_left;
    DSBENCH_CHECK(recorder->close());
    return trial;
  }

  // The highest rate of requests at which what is offered is done by its end. `report` hears of each attempt.
  struct Found {
    double rate = 0;
    bool by_server = false;  // it was the server that could not more
    bool reached = false;    // a higher rate was tried and not kept up with
  };
  Result<Found> search(const std::string& path, std::int32_t tokens, double rate,
                       const std::function<void(double)>& report) {
    Found found;
    const Nanos length = options_.per_figure / 8;
    // Doubling, then halving the gap. A pause of the machine spoils one trial, seldom two: a rate that was
    // not kept up with is tried again.
    double failed = 0;
    bool again = false;
    for (int attempt = 0; attempt < 14; ++attempt) {
      report(rate);
      const auto count = std::max<std::int64_t>(1, std::llround(rate * to_seconds(length)));
      DSBENCH_TRY(const Trial trial,
                  run(path, tokens, count, length, grace, std::max<std::int64_t>(count / 100, 2)));
      if (!trial.kept_up && !std::exchange(again, true)) continue;
      again = false;
      if (trial.kept_up) {
        found.rate = rate;
      } else {
        found.reached = true;
        found.by_server = trial.server_share > 0.95 && trial.busiest < 0.9;
        failed = rate;
      }
      if (failed > 0 && found.rate > 0 && failed / found.rate < 1.1) break;
      rate = failed == 0 ? 2 * rate : found.rate == 0 ? rate / 2 : std::sqrt(found.rate * failed);
    }
    return found;
  }

 private:
  const CeilingOptions& options_;
  std::atomic<bool>& stop_;
  engine::server::NullServer& server_;
  TemporaryFolder& folder_;
};

Nanos percentile(const results::LatencySummary& summary, double q) {
  for (const auto& p : summary.percentiles) {
    if (p.q == q) return p.value.value_or(summary.max);
  }
  return summary.max;
}

}  // namespace

Result<Ceiling> measure_ceiling(const CeilingOptions& options, std::atomic<bool>& stop, Progress& progress) {
  const WithoutCore without;
  engine::server::NullServerConfig server_config;
  server_config.core = without.core;
  const std::int64_t descriptors = raise_descriptor_limit();
  DSBENCH_TRY(const auto server, engine::server::NullServer::start(server_config));
  DSBENCH_TRY(const auto folder, TemporaryFolder::make());
  Bench bench{options, stop, *server, *folder};

  Ceiling ceiling;
  ceiling.measured_at = format_utc(wall_clock_now());
  ceiling.dsbench_version = version();
  ceiling.dsbench_commit = commit();
  for (const auto& [key, value] : results::describe_host()) {
    if (key == "cpu_model") ceiling.cpu_model = value;
  }
  ceiling.cores = loadgen::usable_cores() + (without.core ? 1 : 0);
  ceiling.threads = options.threads;

  const auto saying = [&](int figure, const char* what) {
    return [&progress, figure, what](double rate) {
      progress.status(fmt::format("{} of 5 · {} · trying {:.0f}/s", figure, what, rate));
    };
  };
  DSBENCH_TRY(const auto requests, bench.search("/sse/1/1", 1, 4000, saying(1, "requests")));
  ceiling.requests = Rate::per_second(requests.rate);
  ceiling.requests_limited_by = !requests.reached    ? "not reached"
                                : requests.by_server ? "null server"
                                                     : "generator";

  DSBENCH_TRY(const auto events, bench.search(fmt::format("/sse/{}/1", events_per_answer), events_per_answer,
                                              100, saying(2, "answers of 200 events, each in a packet")));
  ceiling.events = Rate::per_second(events.rate * events_per_answer);

  DSBENCH_TRY(const auto packed,
              bench.search(fmt::format("/sse/{}/{}", packed_answer, packed_events), packed_answer, 100,
                           saying(3, "answers of 1,024 events, 64 to a packet")));
  ceiling.packed_events = Rate::per_second(packed.rate * packed_answer);

  // Both ends of a stream are descriptors of ours, and each takes a port.
  const std::int64_t most =
      std::min({std::int64_t{32'000}, descriptors / 2 - 256, loadgen::ephemeral_ports() * 8 / 10});
  for (std::int64_t streams = 1000;; streams = std::min(2 * streams, most)) {
    progress.status(fmt::format("4 of 5 · streams · trying {} at {:.0f} events/s each", streams,
                                ceiling.stream_events.per_second()));
    // All are open between the last arrival and the first end.
    const Nanos spread = std::max(options.per_figure / 6, Nanos{streams * 200'000});
    const Nanos together = options.per_figure / 3;
    const auto n = static_cast<std::int32_t>((spread + together) / stream_gap + 1);
    const Nanos length = (n - 1) * stream_gap;
    if (streams > most) break;
    DSBENCH_TRY(const Trial trial, bench.run(fmt::format("/sse/{}/1/100ms", n), n, streams, spread,
                                             length + length / 20, streams / 1000));
    if (!trial.kept_up || trial.busiest > 0.97) break;
    ceiling.streams = streams;
    if (streams == most) break;
  }

  ceiling.lag_rate = Rate::per_second(std::floor(std::min(10'000.0, 0.25 * requests.rate)));
  saying(5, "send lag")(ceiling.lag_rate.per_second());
  const auto count =
      std::max<std::int64_t>(1, std::llround(ceiling.lag_rate.per_second() * to_seconds(options.per_figure)));
  DSBENCH_TRY(const Trial lag,
              bench.run("/sse/1/1", 1, count, options.per_figure, Nanos{500'000'000}, count));
  ceiling.send_lag_p50 = percentile(lag.send_lag, 0.5);
  ceiling.send_lag_p99 = percentile(lag.send_lag, 0.99);
  ceiling.platform_jitter_p99 = lag.jitter_p99;
  progress.clear();
  return ceiling;
}

}  // namespace dsbench::cli
