#include "results/gate/evidence.h"

#include <algorithm>
#include <cmath>
#include <system_error>

#include "core/files.h"
#include "core/text.h"
#include "results/gate/evidence_readers.h"
#include "results/interop/import.h"
#include "results/run_file.h"

namespace dsbench::results::gate {
namespace {

// The number of a percentile as people write it: 50, 99.9.
std::string percentile_name(double q) {
  return fmt::format("p{:g}", q * 100);
}

class Collector {
 public:
  explicit Collector(std::vector<Measured>& out) : out_{out} {}

  void add(Metric metric, std::optional<double> value, std::string missing, bool by_default) {
    out_.push_back({std::move(metric), value, std::move(missing), std::nullopt, by_default});
  }

  void latency(const std::string& prefix, const std::string& name, const LatencySummary& l,
               bool p50_by_default, bool p99_by_default) {
    const std::int64_t samples = l.count + l.infinite;
    for (const auto& p : l.percentiles) {
      const bool by_default = (p.q == 0.5 && p50_by_default) || (p.q == 0.99 && p99_by_default);
      const Metric metric{fmt::format("{}{} {}", prefix, percentile_name(p.q), name), Better::lower,
                          Unit::seconds};
      if (p.infinite) {
        add(metric, HUGE_VAL, "", by_default);
      } else if (p.value) {
        add(metric, to_seconds(*p.value), "", by_default);
      } else {
        add(metric, std::nullopt, fmt::format("needs {} samples, has {}", p.needs, samples), by_default);
      }
    }
    const Metric mean{fmt::format("{}mean {}", prefix, name), Better::lower, Unit::seconds};
    if (samples == 0) {
      add(mean, std::nullopt, "no samples", false);
    } else {
      add(mean, l.infinite > 0 ? HUGE_VAL : to_seconds(l.mean), "", false);
    }
  }

  void count(const std::string& name, Better better, Unit unit, bool there, double value, bool by_default) {
    add({name, better, unit}, there ? std::optional<double>{value} : std::nullopt, there ? "" : "no requests",
        by_default);
  }

 private:
  std::vector<Measured>& out_;
};

void collect_stage(Collector& c, const std::string& prefix, const StageSummary& s, bool by_default) {
  c.latency(prefix, "ttft", s.ttft, by_default, by_default);
  c.latency(prefix, "tpot", s.tpot, by_default, false);
  c.latency(prefix, "e2e", s.e2e, by_default, false);
  c.latency(prefix, "itl", s.itl, false, false);
  c.latency(prefix, "ntpot", s.ntpot, false, false);
  c.latency(prefix, "ttft_service", s.ttft_service, false, false);
  c.latency(prefix, "e2e_service", s.e2e_service, false, false);
  const bool any = s.requests > 0;
  const double n = any ? static_cast<double>(s.requests) : 1;
  const double length = to_seconds(s.end - s.measure_from);
  c.count(prefix + "good_rate", Better::higher, Unit::per_second, any, s.good_rate.per_second(), by_default);
  c.count(prefix + "good_share", Better::higher, Unit::share, any, static_cast<double>(s.good) / n, false);
  c.count(prefix + "completed_share", Better::higher, Unit::share, any, static_cast<double>(s.completed) / n,
          false);
  c.count(prefix + "failed_share", Better::lower, Unit::share, any,
          static_cast<double>(s.requests - s.completed) / n, false);
  c.count(prefix + "delivered_rate", Better::higher, Unit::per_second, any, s.delivered_rate.per_second(),
          false);
  c.count(prefix + "completed_rate", Better::higher, Unit::per_second, any, s.completed_rate.per_second(),
          false);
  c.count(prefix + "output_token_rate", Better::higher, Unit::per_second, any && length > 0,
          length > 0 ? static_cast<double>(s.output_tokens) / length : 0, false);
}

// Stages by name; a name that comes again gets a number.
std::string stage_prefix(const std::vector<StageSummary>& stages, std::size_t i) {
  if (stages.size() == 1) return "";
  const auto same = std::count_if(stages.begin(), stages.begin() + static_cast<std::ptrdiff_t>(i),
                                  [&](const StageSummary& s) { return s.name == stages[i].name; });
  return same == 0 ? stages[i].name + ": " : fmt::format("{} #{}: ", stages[i].name, same + 1);
}

void collect_rehearsal(Collector& c, const RunSummary& run) {
  const auto rate = [](const std::optional<Rate>& r) {
    return r ? std::optional<double>{r->per_second()} : std::nullopt;
  };
  c.add({"knee", Better::higher, Unit::per_second}, rate(run.knee.offered), "no knee was found", true);
  c.add({"peak_good_rate", Better::higher, Unit::per_second}, rate(run.collapse.peak_good_rate),
        "no collapse was tested", true);
  c.add({"collapse_ratio", Better::higher, Unit::share}, run.collapse.ratio, "no collapse was tested", false);
  std::optional<double> recovery;
  if (run.recovery.time) recovery = to_seconds(*run.recovery.time);
  if (run.recovery.verdict == RecoveryVerdict::metastable) recovery = HUGE_VAL;
  c.add({"recovery_time", Better::lower, Unit::seconds}, recovery, "no recovery was seen", true);
  for (const StageSummary& s : run.stages) {
    if (s.kind == StageKind::probe) return collect_stage(c, "probe: ", s, false);
  }
}

}  // namespace

std::string format_value(Unit unit, double value) {
  if (std::isinf(value)) return "infinite";
  switch (unit) {
    case Unit::seconds:
      return format_duration(from_seconds(value));
    case Unit::per_second:
      return format_rate(Rate::per_second(value));
    case Unit::share:
      return fmt::format("{:.2f} %", value * 100);
    case Unit::plain:
      break;
  }
  return fmt::format("{:.4g}", value);
}

const Measured* Evidence::find(std::string_view metric) const {
  const auto found = std::find_if(metrics.begin(), metrics.end(),
                                  [&](const Measured& m) { return m.metric.name == metric; });
  return found == metrics.end() ? nullptr : &*found;
}

Evidence evidence_of(RunSummary run, std::string source) {
  Evidence e;
  e.source = std::move(source);
  e.kind = run.kind;
  for (const std::string& cause : run.invalid_causes) e.invalid.push_back(cause);
  if (run.validity == Validity::invalid && e.invalid.empty())
    e.invalid.emplace_back("the run calls itself invalid");
  if (run.ended != "complete") e.invalid.push_back("not a whole run: " + run.ended);
  // Of another tool's runs it never is known; a gate between such is what their users ask for.
  if (run.validity == Validity::unknown && run.kind != "imported" && e.invalid.empty())
    e.invalid.emplace_back("nobody knows whether the generator was fit to measure");
  e.key = comparability_key(run);
  Collector collector{e.metrics};
  if (run.kind == "rehearse") {
    collect_rehearsal(collector, run);
  } else {
    for (std::size_t i = 0; i < run.stages.size(); ++i)
      collect_stage(collector, stage_prefix(run.stages, i), run.stages[i], true);
    for (const TenantSummary& t : run.tenants) {
      const std::string prefix = fmt::format("class {}: ", t.name);
      collector.latency(prefix, "ttft", t.slice.ttft, false, false);
      collector.latency(prefix, "e2e", t.slice.e2e, false, false);
      collector.count(prefix + "good_share", Better::higher, Unit::share, t.slice.requests > 0,
                      t.slice.good_share, false);
    }
  }
  e.run = std::make_shared<const RunSummary>(std::move(run));
  return e;
}

Result<Evidence> read_evidence(const std::filesystem::path& path) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  const std::filesystem::path file = folder ? path / "run.json" : path;
  if (!std::filesystem::exists(file, error)) {
    return fail(ErrorKind::usage,
                "{} is no evidence: {}; accepted: a run directory, its run.json, a JSON file of Google "
                "Benchmark's form, or a result of vllm bench serve, SGLang, AIPerf or GuideLLM",
                path.string(), folder ? "there is no run.json in it" : "there is no such file");
  }
  DSBENCH_TRY(const std::string text, read_file(file));
  if (is_kernel_result(text)) return parse_kernel_evidence(text, path.string());
  DSBENCH_TRY(RunSummary run, read_any_run(file));
  Evidence e = evidence_of(std::move(run), path.string());
  e.records = file.parent_path() / "records.sqlite";
  return e;
}

}  // namespace dsbench::results::gate
