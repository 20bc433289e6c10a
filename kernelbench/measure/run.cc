#include "kernelbench/measure/run.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

namespace dsbench::kernelbench {
namespace {

constexpr const char* kNotReached = "interrupted";

// One cell while its repetitions are taken.
struct Running {
  CellResult* result = nullptr;
  Stand* stand = nullptr;
  int id = 0;
  std::vector<Sample> samples;
};

// Google Benchmark keeps the registry, the order and the file; times are ours. It writes its file's head once
// and its tail once, however many groups are run in between.
class FileReporter final : public benchmark::BenchmarkReporter {
 public:
  FileReporter() {
    json_.SetOutputStream(&text_);
    json_.SetErrorStream(&errors_);
    SetOutputStream(&text_);
    SetErrorStream(&errors_);
  }
  bool ReportContext(const Context& context) override {
    if (begun_) return true;
    begun_ = true;
    return json_.ReportContext(context);
  }
  void ReportRuns(const std::vector<Run>& report) override { json_.ReportRuns(report); }
  void Finalize() override {}
  std::string finish() {
    if (begun_) json_.Finalize();
    return text_.str();
  }

 private:
  std::ostringstream text_, errors_;
  benchmark::JSONReporter json_;
  bool begun_ = false;
};

void initialise_google_benchmark() {
  static bool done = false;
  if (done) return;
  done = true;
  std::array<std::string, 2> words{"dsbench", "--benchmark_enable_random_interleaving=true"};
  std::array<char*, 3> arguments{words[0].data(), words[1].data(), nullptr};
  int count = 2;
  benchmark::Initialize(&count, arguments.data());
}

std::string benchmark_name(const CellResult& cell) {
  return cell.kernel.name.empty() ? cell.name : fmt::format("{}/{}", cell.name, cell.kernel.name);
}

class Runner {
 public:
  Runner(Device& device, const RunOptions& options, Clock& clock, const std::atomic<bool>& stop,
         const RunProgress& progress)
      : device_{device}, options_{options}, clock_{clock}, stop_{stop}, progress_{progress} {}

  Result<RunReport> run(const std::vector<CellPlan>& plan) {
    RunReport report;
    report.run.facts = device_.facts();
    report.run.facts.insert(report.run.facts.end(), options_.facts.begin(), options_.facts.end());
    if (options_.timing) {
      progress_(0, 0, "measuring what this machine can do at best");
      DSBENCH_TRY(const Ceilings* ceilings, device_.ceilings());
      report.run.ceilings = *ceilings;
    }
    for (const auto& [key, value] : report.run.facts) benchmark::AddCustomContext(key, value);

    report.run.cells.resize(plan.size() + (options_.timing ? 1 : 0));
    const auto real =
        std::count_if(plan.begin(), plan.end(), [](const CellPlan& c) { return c.stand != nullptr; });
    total_ = static_cast<std::int64_t>(real) * (1 + (options_.timing ? options_.repetitions : 0));
    for (std::size_t i = 0; i < plan.size(); ++i) {
      CellResult& cell = report.run.cells[i];
      cell.problem = plan[i].problem;
      cell.name = name_of(plan[i].problem);
      if (plan[i].stand == nullptr) {
        cell.kernel = {
            .name = "-", .op = plan[i].problem.op, .author = {}, .device = std::string{device_.word()}};
        cell.state = CellState::unsupported;
        cell.why = fmt::format("no kernel on {} does {}", device_.word(), plan[i].problem.op);
        continue;
      }
      cell.kernel = plan[i].stand->kernels()[plan[i].kernel];
      cell.state = CellState::skipped;
      cell.why = kNotReached;
    }
    bool broken = false;
    for (std::size_t first = 0; first < plan.size() && !stopped() && !broken;) {
      const std::size_t end = group_end(plan, first);
      if (const Result<void> ran = run_group(plan, first, end, report.run); !ran) {
        give_up(std::span(report.run.cells).subspan(first, plan.size() - first), ran.error());
        broken = true;
      }
      first = end;
    }
    if (options_.timing) {
      report.google_json = reporter_.finish();
      finish_control(report.run.cells.back());
    }
    // A ceiling is the best that was seen: what ran beside the first measurement must not make kernels look
    // good.
    if (options_.timing && !stopped() && !broken) {
      DSBENCH_TRY(const Ceilings* again, device_.ceilings_again());
      report.run.ceilings = *again;
    }
    finish(report.run);
    report.run.interrupted = stopped();
    return report;
  }

 private:
  bool stopped() const { return stop_.load(std::memory_order_relaxed); }

  // The cells from `first` whose operands fit together; one at least. Kernels of one problem share theirs.
  std::size_t group_end(const std::vector<CellPlan>& plan, std::size_t first) const {
    double bytes = 0;
    std::string before;
    std::size_t end = first;
    for (; end < plan.size(); ++end) {
      std::string json = to_json(plan[end].problem);
      if (json != before) {
        const double each = find_op(plan[end].problem.op)->operand_bytes(plan[end].problem);
        bytes += each * (1 + slots_for(each, device_.cache_bytes(), options_.sampler.cache));
        if (end > first && bytes > options_.memory_bytes) break;
        before = std::move(json);
      }
    }
    return end;
  }

  // The device is broken, by a kernel as a rule: what was found until then is kept. The first cell that was
  // not done with has failed; the others were not tried.
  static void give_up(std::span<CellResult> cells, const Error& error) {
    bool first = true;
    for (CellResult& cell : cells) {
      if (cell.state == CellState::ok ? cell.checked_again : cell.why != kNotReached) continue;
      cell.state = first ? CellState::failed : CellState::skipped;
      cell.why = first ? error.message : "an earlier cell broke the device: " + error.message;
      first = false;
    }
  }

  Result<void> run_group(const std::vector<CellPlan>& plan, std::size_t first, std::size_t end,
                         KernelRun& run) {
    std::vector<Running> running;
    for (std::size_t i = first; i < end && !stopped(); ++i) {
      CellResult& cell = run.cells[i];
      if (plan[i].stand == nullptr) continue;
      progress_(done_, total_, fmt::format("checking {}", benchmark_name(cell)));
      const int id = static_cast<int>(i);
      DSBENCH_TRY(const OpenReport opened, plan[i].stand->open(id, plan[i].kernel, plan[i].problem));
      ++done_;
      cell.state = opened.state;
      cell.why = opened.why;
      cell.check = opened.check;
      cell.work = opened.work;
      cell.routing = opened.routing;
      if (opened.state == CellState::ok) {
        running.push_back({.result = &cell, .stand = plan[i].stand, .id = id, .samples = {}});
      } else if (options_.timing) {
        done_ += options_.repetitions;
      }
    }
    if (options_.timing && !running.empty()) DSBENCH_CHECK(time_group(running));
    for (Running& r : running) {
      progress_(done_, total_, fmt::format("checking again {}", benchmark_name(*r.result)));
      DSBENCH_TRY(const OpenReport closed, r.stand->close(r.id));
      r.result->stats = describe(r.samples);
      if (closed.state != CellState::ok) {
        r.result->state = closed.state;
        r.result->why = closed.why;
        r.result->check = closed.check;
      } else {
        r.result->checked_again = true;
        if (r.result->state == CellState::ok && r.result->stats.throttled()) {
          r.result->state = CellState::throttled;
          r.result->why = fmt::format("{} of {} samples fell to a lowered clock", r.result->stats.dropped,
                                      r.result->stats.dropped + r.result->stats.samples);
        }
      }
    }
    return {};
  }

  Result<void> time_group(std::vector<Running>& running) {
    initialise_google_benchmark();
    benchmark::ClearRegisteredBenchmarks();
    const auto add = [&](const std::string& name, std::function<void(benchmark::State&)> body) {
      benchmark::RegisterBenchmark(name.c_str(), std::move(body))
          ->UseManualTime()
          ->Iterations(1)
          ->Repetitions(options_.repetitions)
          ->Unit(benchmark::kMicrosecond);
    };
    std::optional<Error> broken;
    for (Running& r : running) {
      add(benchmark_name(*r.result), [this, &r, &broken](benchmark::State& state) {
        for (auto _ : state) {
          if (stopped() || broken || r.result->state != CellState::ok) {
            state.SkipWithError(stopped() ? "interrupted" : "the kernel failed");
            return;
          }
          auto taken = r.stand->sample(r.id);
          if (!taken) {
            broken = taken.error();
            state.SkipWithError("the stand failed");
            return;
          }
          if (taken->state != CellState::ok) {
            r.result->state = taken->state;
            r.result->why = taken->why;
            state.SkipWithError(taken->why.c_str());
            return;
          }
          if (taken->samples.empty()) {
            state.SkipWithError("interrupted");
            return;
          }
          const double median = note(r.samples, *r.result, taken->samples);
          state.SetIterationTime(median);
          state.SetLabel(r.result->problem.label);
          // A counter of zero would have a coefficient of variation of 0 ÷ 0, which no JSON reader takes.
          if (median > 0 && r.result->work.flops > 0)
            state.counters["TFLOP/s"] = r.result->work.flops / median / 1e12;
          if (median > 0 && r.result->work.bytes > 0)
            state.counters["GB/s"] = r.result->work.bytes / median / 1e9;
        }
        progress_(++done_, total_, benchmark_name(*r.result));
      });
    }
    DSBENCH_TRY(const Launch control, device_.control());
    add(std::string{kControlName}, [&, this](benchmark::State& state) {
      for (auto _ : state) {
        auto taken = take_samples(device_, control, 1, options_.sampler, clock_, stop_);
        if (!taken || taken->empty()) {
          if (!taken) broken = taken.error();
          state.SkipWithError(taken ? "interrupted" : "the copy failed");
          return;
        }
        state.SetIterationTime(note(control_samples_, control_, *taken));
      }
    });
    benchmark::RunSpecifiedBenchmarks(&reporter_);
    benchmark::ClearRegisteredBenchmarks();
    if (broken) return tl::unexpected(*broken);
    return {};
  }

  // Keeps a repetition; its median.
  static double note(std::vector<Sample>& all, CellResult& result, const std::vector<Sample>& taken) {
    const SampleStats stats = describe(taken);
    all.insert(all.end(), taken.begin(), taken.end());
    if (stats.samples > 0) result.repetitions_s.push_back(stats.median);
    return stats.median;
  }

  void finish_control(CellResult& cell) {
    cell = control_;
    cell.name = kControlName;
    cell.problem.op = "control";
    cell.kernel = {
        .name = "copy", .op = "control", .author = "dsbench", .device = std::string{device_.word()}};
    cell.stats = describe(control_samples_);
    cell.work.bytes = 4.0 * static_cast<double>(device_.cache_bytes());
    cell.check.passed = true;
    if (!cell.timed()) {
      cell.state = CellState::skipped;
      cell.why = "nothing was timed";
    }
  }

  // Somebody who has several kernels for an op, each for some types, has no need to hear which do not do the
  // others'.
  static void drop_needless_refusals(std::vector<CellResult>& cells) {
    const auto is_of = [](const CellResult& a, const CellResult& b) {
      return a.name == b.name && a.kernel.author == b.kernel.author && a.kernel.baseline == b.kernel.baseline;
    };
    const std::vector<CellResult> all = cells;
    std::erase_if(cells, [&](const CellResult& cell) {
      return cell.state == CellState::unsupported && cell.kernel.name != "-" &&
             std::any_of(all.begin(), all.end(), [&](const CellResult& other) {
               return is_of(cell, other) && other.state != CellState::unsupported;
             });
    });
  }

  static void finish(KernelRun& run) {
    drop_needless_refusals(run.cells);
    struct Best {
      double seconds;
      std::string name;
    };
    std::map<std::string, Best> baselines;
    for (CellResult& cell : run.cells) {
      if (cell.work.bytes > 0 || cell.work.flops > 0) cell.roofline = roofline_of(cell.work, run.ceilings);
      if (!cell.kernel.baseline || !cell.timed() || cell.state != CellState::ok) continue;
      const auto [it, first] = baselines.try_emplace(cell.name, Best{cell.seconds(), cell.kernel.name});
      if (!first && cell.seconds() < it->second.seconds) it->second = {cell.seconds(), cell.kernel.name};
    }
    for (CellResult& cell : run.cells) {
      const auto it = baselines.find(cell.name);
      if (it == baselines.end() || cell.kernel.baseline) continue;
      cell.baseline_s = it->second.seconds;
      cell.baseline = it->second.name;
    }
  }

  Device& device_;
  const RunOptions& options_;
  Clock& clock_;
  const std::atomic<bool>& stop_;
  const RunProgress& progress_;
  FileReporter reporter_;
  CellResult control_;
  std::vector<Sample> control_samples_;
  std::int64_t done_ = 0, total_ = 0;
};

}  // namespace

std::vector<CellPlan> plan_cells(const std::vector<Problem>& problems, const std::vector<Stand*>& stands,
                                 std::string_view device) {
  std::vector<CellPlan> plan;
  for (const Problem& problem : problems) {
    const std::size_t before = plan.size();
    for (Stand* stand : stands) {
      for (std::size_t k = 0; k < stand->kernels().size(); ++k) {
        if (stand->kernels()[k].op == problem.op && stand->kernels()[k].device == device)
          plan.push_back({problem, stand, k});
      }
    }
    if (plan.size() == before) plan.push_back({problem, nullptr, 0});
  }
  return plan;
}

Result<RunReport> run_cells(Device& device, const std::vector<CellPlan>& plan, const RunOptions& options,
                            Clock& clock, const std::atomic<bool>& stop, const RunProgress& progress) {
  return Runner{device, options, clock, stop, progress}.run(plan);
}

}  // namespace dsbench::kernelbench
