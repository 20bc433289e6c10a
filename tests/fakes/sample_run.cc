#include "tests/fakes/sample_run.h"

#include <string>

#include "results/latency_summary.h"

namespace dsbench::results {
namespace {

LatencySummary latency(Nanos unit, int n, int infinite) {
  Histogram h;
  for (int i = 1; i <= n; ++i) h.record(unit * i);
  h.record_infinite(infinite);
  return summarize_latency(h);
}

std::string any_text(Rng& rng) {
  static constexpr std::string_view pieces[] = {"knee", " × ",  "\"", "\\", "/s",       "é",
                                                "\n",   "0.99", "",   "≥",  "</script>"};
  std::string text;
  for (std::uint64_t i = rng.below(6); i > 0; --i) text += pieces[rng.below(std::size(pieces))];
  return text;
}
std::int64_t any_count(Rng& rng) {
  return static_cast<std::int64_t>(rng.next() >> (2 + rng.below(62)));
}
Nanos any_ns(Rng& rng) {
  return Nanos{any_count(rng)};
}
Rate any_rate(Rng& rng) {
  return Rate::per_second(rng.exponential() * 100);
}
template <class T, class F>
std::optional<T> maybe(Rng& rng, F f) {
  if (rng.below(2) == 0) return std::nullopt;
  return T{f(rng)};
}
double any_share(Rng& rng) {
  return rng.uniform();
}
template <class T, class F>
std::vector<T> some(Rng& rng, F f) {
  std::vector<T> all;
  for (std::uint64_t i = rng.below(4); i > 0; --i) all.push_back(f(rng));
  return all;
}
template <class Enum>
Enum any_of(Rng& rng, std::uint64_t n) {
  return static_cast<Enum>(rng.below(n));
}

LatencySummary any_latency(Rng& rng) {
  LatencySummary l;
  l.count = any_count(rng);
  l.infinite = any_count(rng);
  l.min = any_ns(rng);
  l.mean = any_ns(rng);
  l.max = any_ns(rng);
  l.percentiles = some<LatencySummary::Percentile>(rng, [](Rng& r) {
    return LatencySummary::Percentile{r.uniform(), any_count(r), maybe<Nanos>(r, any_ns), r.below(2) == 0};
  });
  return l;
}

Ledger any_ledger(Rng& rng) {
  return {any_count(rng), any_count(rng), any_count(rng), any_count(rng), any_count(rng)};
}

StageSummary any_stage(Rng& rng) {
  StageSummary s;
  s.index = static_cast<std::uint32_t>(rng.next());
  s.name = any_text(rng);
  s.kind = any_of<StageKind>(rng, 7);
  s.planned = any_rate(rng);
  s.start = any_ns(rng);
  s.measure_from = any_ns(rng);
  s.end = any_ns(rng);
  s.requests = any_count(rng);
  s.delivered = any_count(rng);
  s.completed = any_count(rng);
  s.good = any_count(rng);
  s.attempts = any_count(rng);
  for (auto& n : s.attempts_by_reason) n = rng.below(3) == 0 ? any_count(rng) : 0;
  for (auto& n : s.requests_by_reason) n = rng.below(3) == 0 ? any_count(rng) : 0;
  s.offered = any_rate(rng);
  s.delivered_rate = any_rate(rng);
  s.completed_rate = any_rate(rng);
  s.good_rate = any_rate(rng);
  s.good_share = any_share(rng);
  s.good_share_lower = any_share(rng);
  s.good_share_upper = any_share(rng);
  s.verdict = any_of<StepVerdict>(rng, 3);
  s.output_tokens = any_count(rng);
  for (LatencySummary* l : {&s.ttft, &s.ttft_service, &s.tpot, &s.itl, &s.e2e, &s.e2e_service, &s.ntpot,
                            &s.send_lag, &s.read_lag}) {
    *l = any_latency(rng);
  }
  s.ledger = maybe<Ledger>(rng, any_ledger);
  s.invalid_causes = some<std::string>(rng, any_text);
  return s;
}

WorkerShare any_worker(Rng& rng) {
  WorkerShare w;
  w.index = static_cast<std::uint32_t>(rng.below(4096));
  w.count = static_cast<std::uint32_t>(rng.below(4096));
  w.found = any_text(rng);
  w.start = any_text(rng);
  w.start_at = maybe<Nanos>(rng, any_ns);
  w.began_at = any_ns(rng);
  w.lateness = maybe<Nanos>(rng, any_ns);
  w.clock_offset = maybe<Nanos>(rng, any_ns);
  w.round_trip = maybe<Nanos>(rng, any_ns);
  w.plan_digest = any_text(rng);
  w.schedule_digest = any_text(rng);
  w.scheduled = any_count(rng);
  return w;
}

TimelinePoint any_point(Rng& rng) {
  TimelinePoint p;
  p.second = any_count(rng);
  p.offered = any_count(rng);
  p.sent = any_count(rng);
  p.completed = any_count(rng);
  p.good = any_count(rng);
  p.failed = any_count(rng);
  p.good_of_due = any_count(rng);
  p.in_flight = any_count(rng);
  p.ttft_p50 = maybe<Nanos>(rng, any_ns);
  p.ttft_max = maybe<Nanos>(rng, any_ns);
  p.send_lag_max = any_ns(rng);
  p.engine_running = maybe<double>(rng, any_share);
  p.engine_waiting = maybe<double>(rng, any_share);
  p.engine_kv_used_share = maybe<double>(rng, any_share);
  p.stage = static_cast<std::int32_t>(rng.below(10)) - 1;
  return p;
}

}  // namespace

RunSummary random_run(Rng& rng) {
  RunSummary r;
  r.kind = any_text(rng);
  r.verdict = any_of<Verdict>(rng, 5);
  r.sentence = any_text(rng);
  r.validity = static_cast<Validity>(rng.below(3));
  r.invalid_causes = some<std::string>(rng, any_text);
  r.warnings = some<std::string>(rng, any_text);
  r.criteria = some<Criterion>(rng, [](Rng& g) {
    return Criterion{any_text(g), any_text(g), any_of<StepVerdict>(g, 3)};
  });
  r.stages = some<StageSummary>(rng, any_stage);
  r.knee = {maybe<Rate>(rng, any_rate), maybe<Rate>(rng, any_rate), maybe<Rate>(rng, any_rate),
            any_text(rng)};
  r.collapse.verdict = any_of<CollapseVerdict>(rng, 4);
  r.collapse.at = maybe<Rate>(rng, any_rate);
  r.collapse.good_rate = maybe<Rate>(rng, any_rate);
  r.collapse.peak_good_rate = maybe<Rate>(rng, any_rate);
  r.collapse.ratio = maybe<double>(rng, any_share);
  r.collapse.ratio_lower = maybe<double>(rng, any_share);
  r.collapse.ratio_upper = maybe<double>(rng, any_share);
  r.collapse.collapse_load = maybe<Rate>(rng, any_rate);
  r.collapse.sentence = any_text(rng);
  r.recovery.verdict = any_of<RecoveryVerdict>(rng, 4);
  r.recovery.base = maybe<Rate>(rng, any_rate);
  r.recovery.time = maybe<Nanos>(rng, any_ns);
  r.recovery.ratio = maybe<double>(rng, any_share);
  r.recovery.ratio_upper = maybe<double>(rng, any_share);
  r.recovery.highest_recovered = maybe<Rate>(rng, any_rate);
  r.recovery.sentence = any_text(rng);
  r.requests = any_count(rng);
  r.attempts = any_count(rng);
  r.retry_amplification = 1 + rng.exponential();
  r.ledger = maybe<Ledger>(rng, any_ledger);
  r.timeline = some<TimelinePoint>(rng, any_point);
  r.slo = {maybe<Nanos>(rng, any_ns), maybe<Nanos>(rng, any_ns), maybe<Nanos>(rng, any_ns)};
  r.events = some<RunEvent>(rng, [](Rng& g) {
    return RunEvent{any_ns(g), maybe<Nanos>(g, any_ns), any_text(g), static_cast<std::uint16_t>(g.below(64))};
  });
  r.worker = maybe<WorkerShare>(rng, any_worker);
  r.workers = some<WorkerSummary>(rng, [](Rng& g) {
    WorkerSummary w;
    w.share = any_worker(g);
    w.ended = any_text(g);
    w.valid = g.below(2) == 0;
    w.requests = any_count(g);
    w.attempts = any_count(g);
    w.completed = any_count(g);
    w.good = any_count(g);
    w.send_lag_p99 = maybe<Nanos>(g, any_ns);
    w.send_lag_max = maybe<Nanos>(g, any_ns);
    w.cpu_model = any_text(g);
    return w;
  });
  r.workers_expected = any_count(rng);
  r.target = any_text(rng);
  r.target_description = any_text(rng);
  r.simulated = rng.below(2) == 0;
  r.command = some<std::string>(rng, any_text);
  r.profile_json = rng.below(2) == 0 ? R"({"traffic":{"z":1,"a":[1.5,"x"]}})" : any_text(rng);
  r.seed = rng.next();
  r.ended = any_text(rng);
  r.started_at = any_ns(rng);
  r.ended_at = any_ns(rng);
  r.duration = any_ns(rng);
  for (std::uint64_t i = rng.below(4); i > 0; --i)
    r.host.emplace_back("key_" + std::to_string(i), any_text(rng));
  r.dsbench_version = any_text(rng);
  r.dsbench_commit = any_text(rng);
  r.dsbench_build = any_text(rng);
  return r;
}

RunSummary sample_run() {
  using namespace std::chrono_literals;
  RunSummary r;
  r.kind = "rehearse";
  r.verdict = Verdict::not_ready;
  r.sentence = "1 of 3 criteria is missed: no collapse: found collapsed.";
  r.validity = Validity::valid;
  r.warnings = {"the CPU governor is 'powersave'; set it to 'performance'"};
  r.criteria = {{"safe load ≥ 10/s", "12.0/s (between 12.0/s and 14.0/s)", StepVerdict::good},
                {"no collapse", "collapsed", StepVerdict::bad},
                {"recovers", "undecided", StepVerdict::unclear}};
  StageSummary s;
  s.index = 0;
  s.name = "step 1";
  s.kind = StageKind::step;
  s.planned = Rate::per_second(12);
  s.start = 5s;
  s.measure_from = 7s;
  s.end = 67s;
  s.requests = 720;
  s.delivered = 720;
  s.completed = 716;
  s.good = 714;
  s.attempts = 731;
  s.attempts_by_reason[static_cast<std::size_t>(Reason::ok)] = 716;
  s.attempts_by_reason[static_cast<std::size_t>(Reason::first_token_timeout)] = 15;
  s.requests_by_reason[static_cast<std::size_t>(Reason::ok)] = 716;
  s.requests_by_reason[static_cast<std::size_t>(Reason::first_token_timeout)] = 4;
  s.offered = s.delivered_rate = Rate::per_second(12);
  s.completed_rate = Rate::per_second(716.0 / 60);
  s.good_rate = Rate::per_second(714.0 / 60);
  s.good_share = 714.0 / 720;
  s.good_share_lower = 0.9836;
  s.good_share_upper = 0.9964;
  s.verdict = StepVerdict::unclear;
  s.output_tokens = 22'912;
  s.ttft = latency(100us, 716, 4);
  s.ttft_service = latency(90us, 716, 4);
  s.tpot = latency(20us, 716, 4);
  s.itl = latency(1us, 10'000, 4);
  s.e2e = latency(1ms, 716, 4);
  s.e2e_service = latency(900us, 716, 4);
  s.ntpot = latency(30us, 716, 4);
  s.send_lag = latency(1us, 731, 0);
  s.read_lag = latency(2us, 728, 0);
  s.ledger = Ledger{50'000, 1'200, 300, 22'912, 3};
  r.stages = {s};
  s.index = 1;
  s.name = "hold 1.5 × knee";
  s.kind = StageKind::hold;
  s.verdict = StepVerdict::bad;
  s.ledger.reset();
  s.invalid_causes = {"send lag p99 12.0 ms is above 10 % of the TTFT bound 100 ms"};
  r.stages.push_back(s);
  r.knee = {Rate::per_second(12), Rate::per_second(12), Rate::per_second(14), "The safe load is 12.0/s."};
  r.collapse = {CollapseVerdict::collapsed,
                Rate::per_second(18),
                Rate::per_second(1.5),
                Rate::per_second(11.9),
                0.126,
                0.08,
                0.18,
                Rate::per_second(18),
                "collapsed: at 18.0/s the good rate was 1.50/s"};
  r.recovery = {RecoveryVerdict::recovered, Rate::per_second(8),     12s, 1.0, 1.01,
                Rate::per_second(8),        "recovered 12.0 s after"};
  r.requests = 1'440;
  r.attempts = 1'462;
  r.retry_amplification = 1462.0 / 1440;
  r.ledger = Ledger{100'000, 2'400, 600, 45'824, 6};
  TimelinePoint p;
  p.second = 7;
  p.offered = 12;
  p.sent = 12;
  p.completed = 11;
  p.good = 11;
  p.good_of_due = 12;
  p.in_flight = 3;
  p.ttft_p50 = 40ms;
  p.ttft_max = 71ms;
  p.send_lag_max = 800us;
  p.engine_running = 3;
  p.engine_waiting = 0;
  p.engine_kv_used_share = 0.25;
  p.stage = 0;
  r.timeline = {p};
  r.slo = {100ms, std::nullopt, 2s};
  WorkerShare share;
  share.index = 1;
  share.count = 4;
  share.found = "SLURM_PROCID and SLURM_NTASKS";
  share.start = "rendezvous";
  share.start_at = Nanos{1'795'347'410'000'000'000};
  share.began_at = Nanos{1'795'347'410'000'000'000};
  share.lateness = 140us;
  share.clock_offset = -3ms;
  share.round_trip = 90us;
  share.plan_digest = "0123456789abcdef";
  share.schedule_digest = "fedcba9876543210";
  share.scheduled = 1'440;
  r.worker = share;
  WorkerSummary worker;
  worker.share = share;
  worker.ended = "complete";
  worker.valid = false;
  worker.requests = 360;
  worker.attempts = 366;
  worker.completed = 355;
  worker.good = 350;
  worker.send_lag_p99 = 800us;
  worker.send_lag_max = 2ms;
  worker.cpu_model = "Example CPU";
  r.workers = {worker};
  r.workers_expected = 4;
  r.target = "embedded";
  r.target_description = "tiny, CPU model, unbounded queue";
  r.simulated = true;
  r.command = {"dsbench", "rehearse", "--seed", "7"};
  r.profile_json = R"({"traffic":{"name":"rehearsal"},"workload":{"prompt_tokens":64}})";
  r.seed = 18'446'744'073'709'551'615ULL;
  r.ended = "complete";
  r.started_at = Nanos{1'795'347'408'000'000'000};
  r.ended_at = Nanos{1'795'347'568'000'000'000};
  r.duration = 160s;
  r.host = {{"cpu_model", "Example CPU"}, {"cores", "2"}};
  r.dsbench_version = "0.1.0";
  r.dsbench_commit = "0123456789ab";
  r.dsbench_build = "GNU 12.2.0 Release";
  return r;
}

}  // namespace dsbench::results
