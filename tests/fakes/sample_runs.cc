#include "tests/fakes/sample_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"

namespace dsbench::tests {
namespace {

using namespace results;

constexpr double saturation = 190;  // requests per second that the service can complete

Nanos seconds(double s) {
  return from_seconds(s);
}

LatencySummary latency(std::int64_t finite, std::int64_t failed, double p50_s, double p99_s) {
  LatencySummary l;
  l.count = finite;
  l.infinite = failed;
  if (finite > 0) {
    l.min = seconds(p50_s * 0.6);
    l.mean = seconds(p50_s * 1.1);
    l.max = seconds(p99_s * 1.4);
  }
  const std::int64_t all = finite + failed;
  const struct {
    double q;
    std::int64_t needs;
    double value;
  } rows[] = {{0.5, 11, p50_s},
              {0.9, 64, p50_s + (p99_s - p50_s) * 0.5},
              {0.95, 130, p50_s + (p99_s - p50_s) * 0.7},
              {0.99, 662, p99_s},
              {0.999, 6636, p99_s * 1.2}};
  for (const auto& r : rows) {
    LatencySummary::Percentile p{.q = r.q, .needs = r.needs, .value = {}};
    if (all >= r.needs) {
      p.infinite = r.q * static_cast<double>(all) > static_cast<double>(finite);
      if (!p.infinite) p.value = seconds(r.value);
    }
    l.percentiles.push_back(p);
  }
  return l;
}

struct Behaviour {
  double good_share = 1;  // of offered
  double completed_share = 1;
  double amplification = 1;
  double load = 0.5;  // of saturation: sets latencies
  Reason failure = Reason::first_token_timeout;
};

class Builder {
 public:
  explicit Builder(bool ledger) : ledger_{ledger} {}

  void stage(const std::string& name, StageKind kind, double rate, double length, const Behaviour& b,
             StepVerdict verdict) {
    StageSummary s;
    s.index = static_cast<std::uint32_t>(run.stages.size());
    s.name = name;
    s.kind = kind;
    s.planned = Rate::per_second(rate);
    s.start = seconds(clock_);
    s.measure_from = seconds(clock_ + std::min(2.0, length / 4));
    s.end = seconds(clock_ + length);
    const double window = to_seconds(s.end - s.measure_from);
    s.requests = std::llround(rate * window);
    s.delivered = s.requests;
    s.completed = std::llround(static_cast<double>(s.requests) * b.completed_share);
    s.good = std::llround(static_cast<double>(s.requests) * b.good_share);
    s.attempts = std::llround(static_cast<double>(s.requests) * b.amplification);
    const std::int64_t failed_requests = s.requests - s.completed;
    const std::int64_t failed_attempts = s.attempts - s.completed;
    s.requests_by_reason[static_cast<std::size_t>(Reason::ok)] = s.completed;
    s.requests_by_reason[static_cast<std::size_t>(b.failure)] = failed_requests;
    s.attempts_by_reason[static_cast<std::size_t>(Reason::ok)] = s.completed;
    s.attempts_by_reason[static_cast<std::size_t>(b.failure)] = failed_attempts - failed_attempts / 20;
    s.attempts_by_reason[static_cast<std::size_t>(Reason::total_timeout)] += failed_attempts / 20;
    const auto per_second = [&](std::int64_t n) { return Rate::per_second(static_cast<double>(n) / window); };
    s.offered = per_second(s.requests);
    s.delivered_rate = per_second(s.delivered);
    s.completed_rate = per_second(s.completed);
    s.good_rate = per_second(s.good);
    s.good_share = s.requests > 0 ? static_cast<double>(s.good) / static_cast<double>(s.requests) : 0;
    const double margin = s.requests > 0 ? 1.6 * std::sqrt(0.25 / static_cast<double>(s.requests)) * 0.3 : 1;
    s.good_share_lower = std::max(0.0, s.good_share - margin);
    s.good_share_upper = std::min(1.0, s.good_share + margin);
    s.verdict = verdict;
    s.output_tokens = s.completed * 48;
    const double queue = b.load < 0.97 ? 0.08 / (1 - b.load) : 2.7 + 6 * std::min(1.0, b.load - 0.97);
    const double ttft99 = b.load < 0.97 ? 0.3 / (1 - b.load) : 8.5;
    const double tpot = 0.006 + 0.012 * std::min(1.2, b.load);
    s.ttft = latency(s.completed, failed_requests, queue, ttft99);
    s.ttft_service = latency(s.completed, failed_requests, queue * 0.98, ttft99 * 0.97);
    s.tpot = latency(s.completed, 0, tpot, tpot * 1.9);
    s.itl = latency(s.completed * 47, 0, tpot * 0.95, tpot * 2.6);
    s.e2e = latency(s.completed, failed_requests, queue + 47 * tpot, ttft99 + 80 * tpot);
    s.e2e_service =
        latency(s.completed, failed_requests, queue * 0.98 + 47 * tpot, ttft99 * 0.97 + 80 * tpot);
    s.ntpot = latency(s.completed, failed_requests, queue / 48 + tpot, ttft99 / 48 + tpot);
    s.send_lag = latency(s.attempts, 0, 0.00009, 0.0011);
    s.read_lag = latency(s.attempts, 0, 0.00004, 0.0007);
    if (ledger_) s.ledger = ledger_of(s);
    seconds_of(s, b, rate, length);
    clock_ += length;
    run.stages.push_back(std::move(s));
  }

  RunSummary run;

  void finish() {
    Ledger total;
    for (const StageSummary& s : run.stages) {
      run.requests += s.requests;
      run.attempts += s.attempts;
      if (!s.ledger) continue;
      total.computed_tokens += s.ledger->computed_tokens;
      total.recomputed_tokens += s.ledger->recomputed_tokens;
      total.abandoned_tokens += s.ledger->abandoned_tokens;
      total.generated_tokens += s.ledger->generated_tokens;
      total.preemptions += s.ledger->preemptions;
    }
    if (ledger_) run.ledger = total;
    run.retry_amplification =
        run.requests > 0 ? static_cast<double>(run.attempts) / static_cast<double>(run.requests) : 1;
    run.duration = seconds(clock_);
    run.started_at = Nanos{1'795'348'608'000'000'000};
    run.ended_at = run.started_at + run.duration;
    run.seed = 7;
    run.target = "embedded";
    run.target_description =
        "reference engine, model tiny, CPU executor, 2 threads, block pool 4096 × 16 tokens";
    run.host = {{"cpu_model", "Example CPU at 2.50 GHz"},
                {"cpus", "2"},
                {"memory", "7.75 GiB"},
                {"kernel", "6.1.0"},
                {"clock_source", "tsc"}};
    run.dsbench_version = "0.1.0";
    run.dsbench_commit = "0123456789ab";
    run.dsbench_build = "GNU 12.2.0 Release";
    run.profile_json =
        "{\"profile\":{\"name\":\"rehearsal\",\"arrivals\":\"poisson\"},\"workload\":{\"prompt_tokens\":"
        "\"lognormal(128, 0.6)\","
        "\"output_tokens\":48},\"policy\":{\"retries\":2,\"first_token_timeout\":\"5s\",\"total_timeout\":"
        "\"30s\"},"
        "\"slo\":{\"ttft\":\"2s\",\"tpot\":\"50ms\"}}";
    run.slo = {.ttft = seconds(2), .tpot = seconds(0.05), .e2e = {}};
    run.command = {"dsbench", "rehearse", "--seed", "7"};
  }

 private:
  static Ledger ledger_of(const StageSummary& s) {
    Ledger l;
    l.generated_tokens = s.attempts * 40;
    l.computed_tokens = s.attempts * 170;
    const double waste =
        s.requests > 0 ? 1 - static_cast<double>(s.good) / static_cast<double>(s.requests) : 0;
    l.abandoned_tokens = std::llround(static_cast<double>(l.computed_tokens) * waste * 0.7);
    l.recomputed_tokens = std::llround(static_cast<double>(l.computed_tokens) * waste * 0.18);
    l.preemptions = l.recomputed_tokens / 160;
    return l;
  }

  // A fixed ripple instead of chance: seconds differ, and the sums stay near the stage's.
  void seconds_of(const StageSummary& s, const Behaviour& b, double rate, double length) {
    const auto n = static_cast<std::int64_t>(std::llround(length));
    for (std::int64_t i = 0; i < n; ++i) {
      TimelinePoint p;
      p.second = static_cast<std::int64_t>(std::llround(clock_)) + i;
      const double ripple = 1 + 0.06 * std::sin(static_cast<double>(p.second) * 1.7) +
                            0.04 * std::sin(static_cast<double>(p.second) * 0.61);
      // Good share moves towards the stage's value, it does not jump.
      share_ += (b.good_share - share_) * 0.35;
      flight_ += ((b.load < 0.97 ? rate * 0.9 : rate * 9) - flight_) * 0.15;
      p.offered = std::llround(rate * ripple);
      p.sent = std::llround(rate * ripple * b.amplification);
      p.completed = std::llround(rate * ripple * b.completed_share);
      p.good_of_due = std::min<std::int64_t>(p.offered, std::llround(rate * ripple * share_));
      p.good = p.good_of_due;
      p.failed = std::llround(rate * ripple * (1 - b.completed_share));
      p.in_flight = std::llround(flight_ * ripple);
      if (p.completed > 0) {
        p.ttft_p50 = seconds(b.load < 0.97 ? 0.08 / (1 - b.load) : 3.1 * ripple);
        p.ttft_max = *p.ttft_p50 * 3;
      }
      p.send_lag_max = seconds(0.0009 * ripple);
      if (ledger_) {
        p.engine_running = std::min(64.0, flight_);
        p.engine_waiting = std::max(0.0, flight_ - 64);
        p.engine_kv_used_share = std::min(1.0, flight_ / 90);
      }
      p.stage = static_cast<std::int32_t>(s.index);
      run.timeline.push_back(p);
    }
  }

  bool ledger_;
  double clock_ = 0;
  double share_ = 1;
  double flight_ = 0;
};

constexpr StepVerdict good = StepVerdict::good;
constexpr StepVerdict bad = StepVerdict::bad;
constexpr StepVerdict unclear = StepVerdict::unclear;

void rise(Builder& b, bool bounded) {
  const auto healthy = [](double rate) {
    return Behaviour{
        .good_share = 0.9985, .completed_share = 0.999, .amplification = 1.001, .load = rate / saturation};
  };
  const auto past = [bounded](double rate) {
    const double over = rate / saturation;
    if (bounded) {
      return Behaviour{.good_share = 0.96 / over,
                       .completed_share = 0.97 / over,
                       .amplification = 1 + (over - 0.9),
                       .load = 0.9,
                       .failure = Reason::http_503};
    }
    return Behaviour{.good_share = std::max(0.03, 1 - 2.4 * (over - 0.95)),
                     .completed_share = std::max(0.25, 1 - 1.6 * (over - 0.97)),
                     .amplification = std::min(2.9, 1 + 3.4 * (over - 0.9)),
                     .load = over};
  };
  b.stage("warm-up", StageKind::warm_up, 40, 8, healthy(40), unclear);
  int n = 1;
  for (const double rate : {40.0, 80.0, 120.0, 160.0})
    b.stage(fmt::format("step {}", n++), StageKind::step, rate, 10, healthy(rate), good);
  for (const double rate : {200.0, 240.0})
    b.stage(fmt::format("step {}", n++), StageKind::step, rate, 10, past(rate), bad);
  for (const double rate : {180.0, 180.0})
    b.stage(fmt::format("step {}", n++), StageKind::step, rate, 10, healthy(rate), good);
  b.stage(fmt::format("step {}", n++), StageKind::step, 190, 10, past(190), unclear);
  b.stage("hold 1.5 × knee", StageKind::hold, 270, 30, past(270), bad);
  n = 1;
  for (const double rate : {240.0, 200.0, 160.0, 120.0}) {
    Behaviour down = past(std::max(rate, 240.0));
    if (bounded) down = rate > saturation ? past(rate) : healthy(rate);
    const StepVerdict verdict = bounded && rate < saturation ? good : bad;
    b.stage(fmt::format("descent {}", n++), StageKind::descent, rate, 8, down, verdict);
  }
  if (bounded) {
    b.stage("recovery", StageKind::recovery, 90, 40, healthy(90), good);
  } else {
    b.stage("recovery", StageKind::recovery, 90, 40,
            Behaviour{.good_share = 0.04, .completed_share = 0.3, .amplification = 2.8, .load = 1.2}, bad);
  }
}

RunSummary rehearsal(bool bounded) {
  Builder b(true);
  rise(b, bounded);
  b.finish();
  RunSummary run = std::move(b.run);
  run.kind = "rehearse";
  run.knee = {Rate::per_second(180), Rate::per_second(180), Rate::per_second(190),
              "The service keeps 99 % of requests good up to 180/s; the knee lies between 180/s and 190/s."};
  Collapse& c = run.collapse;
  c.at = Rate::per_second(270);
  const StageSummary& hold = *std::find_if(run.stages.begin(), run.stages.end(),
                                           [](const StageSummary& s) { return s.kind == StageKind::hold; });
  c.good_rate = hold.good_rate;
  c.peak_good_rate = Rate::per_second(bounded ? 184.0 : 179.7);
  c.ratio = hold.good_rate / *c.peak_good_rate;
  c.ratio_lower = *c.ratio * 0.9;
  c.ratio_upper = std::min(1.0, *c.ratio * 1.1);
  if (bounded) {
    run.command.insert(run.command.end(), {"--engine-max-queued", "64"});
    run.verdict = Verdict::ready;
    run.sentence =
        "It carries 180/s, sheds what is above that, and is back 6 s after an overload of 1.5 × the knee.";
    c.verdict = CollapseVerdict::none;
    c.sentence = fmt::format("At 270/s offered the good rate is {}, {:.2f} × its peak: no collapse.",
                             format_rate(*c.good_rate), *c.ratio);
    run.recovery = {RecoveryVerdict::recovered,
                    Rate::per_second(90),
                    seconds(6),
                    0.998,
                    0.999,
                    Rate::per_second(160),
                    "The good rate was back above 95 % of offered 6 s after the offered rate had returned "
                    "below the knee."};
  } else {
    run.verdict = Verdict::not_ready;
    run.sentence = "Past 200/s its good rate collapses, and it stays down after the load is gone.";
    c.verdict = CollapseVerdict::collapsed;
    c.collapse_load = Rate::per_second(240);
    c.sentence = fmt::format("At 270/s offered the good rate falls to {}, {:.2f} × its peak of {}.",
                             format_rate(*c.good_rate), *c.ratio, format_rate(*c.peak_good_rate));
    run.recovery = {
        RecoveryVerdict::metastable,
        Rate::per_second(90),
        std::nullopt,
        0.04,
        0.06,
        std::nullopt,
        "Metastable: 40 s at 90/s, half of what it carried before, and only 4 % of requests are good."};
  }
  run.criteria = {{"safe load ≥ 120/s", "180/s (between 180/s and 190/s)", good},
                  {"no collapse at 1.5 × knee", fmt::format("good rate {:.2f} × its peak", *c.ratio),
                   bounded ? good : bad},
                  {"recovery within 30 s", bounded ? "6.00 s" : "not within 40 s", bounded ? good : bad}};
  run.warnings = {"Client and engine share 2 CPUs: the knee of the engine alone is higher."};
  return run;
}

RunSummary single_stage() {
  Builder b(false);
  b.stage("load", StageKind::load, 12, 20,
          Behaviour{.good_share = 0.98, .completed_share = 0.995, .amplification = 1, .load = 0.4}, unclear);
  b.finish();
  RunSummary run = std::move(b.run);
  run.kind = "load";
  run.command = {"dsbench", "load", "--target",   "http://127.0.0.1:8000",
                 "--rate",  "12/s", "--duration", "20s"};
  run.target = "http://127.0.0.1:8000";
  run.target_description = "";
  run.verdict = Verdict::measured;
  run.sentence = "Measured 216 requests at 12/s; no criteria were given.";
  return run;
}

RunSummary nothing_good() {
  Builder b(false);
  const Behaviour dead{
      .good_share = 0, .completed_share = 0, .amplification = 3, .load = 1, .failure = Reason::http_5xx};
  b.stage("probe 1", StageKind::probe, 2, 10, dead, bad);
  b.stage("probe 2", StageKind::probe, 1, 10, dead, bad);
  b.stage("hold", StageKind::hold, 3, 10, dead, bad);
  b.stage("recovery", StageKind::recovery, 1, 20, dead, bad);
  b.finish();
  RunSummary run = std::move(b.run);
  run.kind = "rehearse";
  run.verdict = Verdict::not_ready;
  run.sentence = "No request was good at any rate, the lowest being 1.00/s.";
  run.criteria = {{"safe load ≥ 1.00/s", "none found", bad}};
  run.knee.sentence = "No rate was good, so there is no knee.";
  return run;
}

RunSummary invalid() {
  RunSummary run = rehearsal(true);
  run.verdict = Verdict::invalid;
  run.validity = Validity::invalid;
  run.sentence =
      "The generator was not fit to measure: its send lag p99 was 380 ms, against a TTFT bound of 2.00 s.";
  run.invalid_causes = {"send lag p99 380 ms is above 5 % of the TTFT bound (100 ms)",
                        "CPU: 1.98 of 2 cores were busy in 14 of 38 s"};
  for (StageSummary& s : run.stages) {
    if (s.kind == StageKind::hold) {
      s.send_lag = latency(s.attempts, 0, 0.02, 0.38);
      s.invalid_causes = {"send lag p99 380 ms"};
    }
  }
  for (Criterion& c : run.criteria) c.verdict = unclear;
  run.ended = "interrupted";
  return run;
}

RunSummary many_stages() {
  Builder b(true);
  for (int i = 1; i <= 60; ++i) {
    const double rate = 6'000.0 * i;
    const double over = rate / 300'000;
    const bool fine = over < 0.9;
    b.stage(fmt::format("step {}", i), StageKind::step, rate, 180,
            Behaviour{.good_share = fine ? 0.999 : std::max(0.0, 1 - 3 * (over - 0.89)),
                      .completed_share = fine ? 0.9995 : 0.8,
                      .amplification = fine ? 1.0 : 1.8,
                      .load = over},
            fine ? good : bad);
  }
  b.finish();
  RunSummary run = std::move(b.run);
  run.kind = "rehearse";
  run.simulated = true;
  run.target = "sim:profiles/fleet/278-nodes.json";
  run.target_description = "278 nodes, step-time law fitted from measured steps";
  run.command = {"dsbench", "rehearse", "--target", "sim:profiles/fleet/278-nodes.json", "--seed", "7"};
  run.verdict = Verdict::inconclusive;
  run.sentence = "The knee lies between 264,000/s and 270,000/s, but no collapse was looked for.";
  run.criteria = {{"safe load ≥ 266,000/s", "264,000/s (between 264,000/s and 270,000/s)", unclear}};
  run.knee = {Rate::per_second(264'000), Rate::per_second(264'000), Rate::per_second(270'000), ""};
  return run;
}

RunSummary hostile() {
  static const std::string bait =
      "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[31m\xff|`*[x](y)";
  RunSummary run = rehearsal(false);
  run.sentence = bait;
  run.target = "http://h/" + bait;
  run.target_description = bait;
  run.criteria = {{bait, bait, bad}};
  run.warnings = {bait};
  run.invalid_causes = {bait};
  run.knee.sentence = run.collapse.sentence = run.recovery.sentence = bait;
  run.command = {"dsbench", bait};
  run.host = {{bait, bait}};
  run.profile_json = "{\"name\":\"</script><script>alert(1)</script>\"}";
  run.ended = bait;
  run.kind = bait;
  run.dsbench_version = run.dsbench_commit = run.dsbench_build = bait;
  for (StageSummary& s : run.stages) {
    s.name = bait;
    s.invalid_causes = {bait};
  }
  return run;
}

}  // namespace

std::string_view name_of(Sample sample) {
  switch (sample) {
    case Sample::collapsed:
      return "collapsed";
    case Sample::bounded:
      return "bounded";
    case Sample::single_stage:
      return "single_stage";
    case Sample::nothing_good:
      return "nothing_good";
    case Sample::invalid:
      return "invalid";
    case Sample::many_stages:
      return "many_stages";
    case Sample::hostile:
      return "hostile";
  }
  return "";
}

results::RunSummary sample_run(Sample sample) {
  switch (sample) {
    case Sample::collapsed:
      return rehearsal(false);
    case Sample::bounded:
      return rehearsal(true);
    case Sample::single_stage:
      return single_stage();
    case Sample::nothing_good:
      return nothing_good();
    case Sample::invalid:
      return invalid();
    case Sample::many_stages:
      return many_stages();
    case Sample::hostile:
      return hostile();
  }
  return {};
}

}  // namespace dsbench::tests
