#include "cli/kernels.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/kernels_options.h"
#include "cli/progress.h"
#include "cli/refuse.h"
#include "cli/signals.h"
#include "core/clock.h"
#include "core/files.h"
#include "core/text.h"
#include "core/version.h"
#include "kernelbench/kernel_set.h"
#include "kernelbench/plugin/library.h"
#include "kernelbench/plugin/worker.h"
#include "kernelbench/report/results_file.h"
#include "kernelbench/report/table.h"
#include "results/gate/judge.h"

namespace dsbench::cli {
namespace {

namespace kb = kernelbench;

Result<std::unique_ptr<kb::Device>> open_device(const KernelsOptions& o) {
  auto device = o.backend() == kb::Backend::cuda ? kb::open_cuda_device(0) : kb::open_cpu_device(o.threads);
  // Whatever the reason: what was asked for cannot be had here.
  if (!device) return fail(ErrorKind::usage, "{}", device.error().message);
  return device;
}

std::span<const dsb_kernel> own_kernels(const KernelsOptions& o) {
  return o.backend() == kb::Backend::cuda ? kb::cuda_kernels() : kb::cpu_kernels();
}

bool matches_any(const std::vector<std::string>& patterns, std::string_view text) {
  return patterns.empty() || std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) {
           return results::gate::matches(p, text) || results::gate::matches("*" + p + "*", text);
         });
}

Result<std::vector<kb::Problem>> find_problems(const KernelsOptions& o) {
  DSBENCH_TRY(std::vector<kb::Problem> problems, o.cases.empty()
                                                     ? kb::suite_problems(o.chosen_suite(), o.backend())
                                                     : kb::problems_from_file(o.cases));
  const std::size_t all = problems.size();
  std::erase_if(problems, [&](const kb::Problem& p) { return !matches_any(o.filter, kb::name_of(p)); });
  if (problems.empty())
    return fail(ErrorKind::usage,
                "--filter leaves none of the {} cases of {}; dsbench kernels --list shows their names", all,
                o.cases.empty() ? fmt::format("suite {}", kb::to_word(o.chosen_suite())) : o.cases);
  return problems;
}

int list(const KernelsOptions& o) {
  fmt::print("Ops\n");
  for (const kb::Op* op : kb::all_ops()) {
    std::vector<std::string_view> types(op->dtypes().begin(), op->dtypes().end());
    fmt::print("  {:<18} {} ({})\n", op->name(), op->help(), join(types));
  }
  fmt::print("\nKernels on {}\n", o.device);
  const auto kernels = own_kernels(o);
  if (kernels.empty()) fmt::print("  none: this dsbench was built without nvcc\n");
  for (const dsb_kernel& k : kernels) {
    const kb::KernelId id = kb::identify(k);
    fmt::print("  {:<18} {}{}\n", id.op, id.name, id.baseline ? " (baseline)" : "");
  }
  const auto problems = find_problems(o);
  if (!problems) return refuse("kernels", problems.error());
  fmt::print("\nCases of {} ({})\n",
             o.cases.empty() ? fmt::format("suite {}", kb::to_word(o.chosen_suite())) : o.cases,
             problems->size());
  for (const kb::Problem& p : *problems)
    fmt::print("  {}{}{}\n", kb::name_of(p), p.label.empty() ? "" : "   ", p.label);
  return exit_ok;
}

// The hidden side of a plug-in: load it, answer until our parent hangs up.
int be_worker(const KernelsOptions& o) {
  static std::atomic<bool> never{false};
  SteadyClock clock;
  auto library = kb::PluginLibrary::load(o.worker);
  if (!library) {
    kb::refuse_stand(library.error(), kb::kWorkerOut);
    return exit_usage;
  }
  auto device = open_device(o);
  if (!device) {
    kb::refuse_stand(device.error(), kb::kWorkerOut);
    return exit_usage;
  }
  kb::LocalStand stand{**device, library->kernels(), o.stand(), clock, never};
  const auto served = kb::serve_stand(stand, kb::kWorkerIn, kb::kWorkerOut);
  return served ? exit_ok : exit_internal;
}

std::vector<std::pair<std::string, std::string>> run_facts(const KernelsOptions& o,
                                                           const std::vector<std::string>& command) {
  std::string line;
  for (const std::string& word : command) line += (line.empty() ? "" : " ") + word;
  return {{"dsbench_version", std::string{version()}},
          {"dsbench_commit", std::string{commit()}},
          {"compiler", std::string{build()}},
          {"mode", o.mode},
          {"l2", o.l2},
          {"suite", o.cases.empty() ? std::string{kb::to_word(o.chosen_suite())} : o.cases},
          {"repetitions", std::to_string(o.repetitions)},
          {"started_at", format_utc(wall_clock_now())},
          {"command", line}};
}

// What the comparison and the limits say, on stdout or (with --json) stderr; the exit code that follows.
int judge(const KernelsOptions& o, const kb::KernelRun* baseline, const kb::KernelRun& run) {
  int code = exit_ok;
  // 7 > 3 > 4 > 5 > 0: a measurement that is invalid or wrong says nothing of speed.
  const auto worse = [&code](int found) {
    const auto rank = [](int c) {
      return c == exit_invalid        ? 4
             : c == exit_slo_missed   ? 3
             : c == exit_regression   ? 2
             : c == exit_inconclusive ? 1
                                      : 0;
    };
    if (rank(found) > rank(code)) code = found;
  };
  for (const kb::CellResult& cell : run.cells) {
    if (cell.state == kb::CellState::incorrect || cell.state == kb::CellState::failed ||
        cell.state == kb::CellState::misbehaved)
      worse(exit_slo_missed);
  }
  std::FILE* where = o.json ? stderr : stdout;
  if (baseline != nullptr) {
    auto comparison = kb::compare(*baseline, run, o.comparison());
    if (!comparison) return refuse("kernels", comparison.error());
    if (o.json && !o.compare.empty()) {
      fmt::print("{}", kb::print_comparison(*comparison));
    } else {
      fmt::print(where, "\n{}", kb::render_comparison(*comparison));
    }
    if (o.gate && !comparison->valid) worse(exit_invalid);
    for (const kb::ChangeRow& row : comparison->rows) {
      if (o.strict && (row.change == kb::Change::no_baseline || row.change == kb::Change::unsupported))
        worse(exit_slo_missed);
      if (!o.gate) continue;
      if (row.change == kb::Change::slow) worse(exit_regression);
      if (row.change == kb::Change::ambiguous || row.change == kb::Change::throttled)
        worse(exit_inconclusive);
    }
  }
  if (!o.min_roofline.empty()) {
    auto text = read_file(o.min_roofline);
    if (!text) return refuse("kernels", text.error());
    auto limits = kb::parse_min_roofline(*text, o.min_roofline);
    if (!limits) return refuse("kernels", limits.error());
    auto below = kb::check_min_roofline(run, *limits, o.min_roofline);
    if (!below) return refuse("kernels", below.error());
    for (const kb::BelowRoofline& b : *below)
      fmt::print(where, "below its limit: {} · {} reaches {:.1f} % of its roofline, {:.1f} % is the least\n",
                 b.name, b.kernel, b.percent, b.limit);
    if (!below->empty()) worse(exit_slo_missed);
  }
  return code;
}

Result<kb::KernelRun> read_results(const std::string& path) {
  DSBENCH_TRY(const std::string text, read_file(path));
  return kb::parse_results(text, path);
}

int compare_files(const KernelsOptions& o) {
  auto base = read_results(o.compare[0]);
  if (!base) return refuse("kernels", base.error());
  auto cand = read_results(o.compare[1]);
  if (!cand) return refuse("kernels", cand.error());
  return judge(o, &*base, *cand);
}

int kernels(const KernelsOptions& o, const std::vector<std::string>& command) {
  if (!o.worker.empty()) return be_worker(o);
  if (const auto valid = o.validate(); !valid) return refuse("kernels", valid.error());
  if (o.list) return list(o);
  if (!o.compare.empty()) return compare_files(o);

  // A baseline that cannot be read is known before minutes are spent.
  std::optional<kb::KernelRun> baseline;
  if (!o.baseline.empty()) {
    auto read = read_results(o.baseline);
    if (!read) return refuse("kernels", read.error());
    baseline = std::move(*read);
  }
  const auto problems = find_problems(o);
  if (!problems) return refuse("kernels", problems.error());
  auto device = open_device(o);
  if (!device) return refuse("kernels", device.error());

  std::atomic<bool>& stop = handle_signals();
  SteadyClock clock;
  Progress progress{o.quiet};
  std::vector<std::unique_ptr<kb::Stand>> stands;
  stands.push_back(std::make_unique<kb::LocalStand>(**device, own_kernels(o), o.stand(), clock, stop));
  for (const std::string& plugin : o.plugins) {
    std::vector<std::string> worker{"/proc/self/exe", "kernels", "--plugin-worker", plugin};
    for (std::string& flag : o.worker_flags()) worker.push_back(std::move(flag));
    auto stand = kb::PluginStand::start(std::move(worker), o.plugin_timeout, clock);
    if (!stand)
      return refuse("kernels",
                    {ErrorKind::usage, fmt::format("--plugin {}: {}", plugin, stand.error().message)});
    stands.push_back(std::move(*stand));
  }
  std::vector<kb::Stand*> pointers;
  for (const auto& stand : stands) pointers.push_back(stand.get());
  std::vector<kb::CellPlan> plan = kb::plan_cells(*problems, pointers, o.device);
  std::erase_if(plan, [&](const kb::CellPlan& cell) {
    return !o.kernel.empty() &&
           (cell.stand == nullptr || !matches_any(o.kernel, cell.stand->kernels()[cell.kernel].name));
  });
  std::erase_if(plan, [&](const kb::CellPlan& cell) {
    if (cell.stand == nullptr) return false;
    const std::string name =
        fmt::format("{}/{}", kb::name_of(cell.problem), cell.stand->kernels()[cell.kernel].name);
    return std::ranges::any_of(o.skip, [&](const std::string& p) { return results::gate::matches(p, name); });
  });
  if (plan.empty())
    return refuse("kernels",
                  {ErrorKind::usage,
                   fmt::format("no kernel of device {} is left for {} case{}; dsbench kernels --list "
                               "--device {} shows what there is",
                               o.device, problems->size(), problems->size() == 1 ? "" : "s", o.device)});

  kb::RunOptions options;
  options.repetitions = o.repetitions;
  options.timing = o.timing();
  options.sampler = o.stand().sampler;
  options.memory_bytes = o.memory_gb * 1e9;
  options.facts = run_facts(o, command);
  const Nanos start = clock.now();
  const auto show = [&](std::int64_t done, std::int64_t total, std::string_view what) {
    if (total == 0) return progress.status(what);
    std::string left;
    if (done > 3) {
      const double per = to_seconds(clock.now() - start) / static_cast<double>(done);
      left = fmt::format(", about {} left",
                         format_duration(from_seconds(per * static_cast<double>(total - done))));
    }
    progress.status(fmt::format("{}/{}{}: {}", done, total, left, what));
  };
  progress.line(fmt::format(
      "{} cells on {}{}", plan.size(), o.device,
      options.timing ? fmt::format(", {} repetitions each", o.repetitions) : ", checked and not timed"));
  auto report = kb::run_cells(**device, plan, options, clock, stop, show);
  progress.clear();
  if (!report) return refuse("kernels", report.error());

  const std::string json = kb::print_results(report->run, report->google_json);
  if (o.json) {
    fmt::print("{}", json);
  } else {
    fmt::print("{}", kb::render_table(report->run));
  }
  if (!o.out.empty()) {
    if (const auto written = write_file_atomically(o.out, json); !written)
      return refuse("kernels", written.error());
    progress.line(fmt::format("result: {}", o.out));
  }
  if (const int code = signal_exit_code(); code != 0) return code;
  return judge(o, baseline ? &*baseline : nullptr, report->run);
}

}  // namespace

void add_kernels(CLI::App& app, std::function<int()>& chosen, const std::vector<std::string>& command) {
  auto options = std::make_shared<KernelsOptions>();
  CLI::App* verb = app.add_subcommand(
      "kernels", "MoE and MLA kernel microbenchmarks against oracle, baseline and roofline");
  verb->footer(
      "Examples:\n"
      "  dsbench kernels --quick                                    every op on this CPU, in seconds\n"
      "  dsbench kernels --suite correctness                        checked against float64, not timed\n"
      "  dsbench kernels --filter 'mla_decode*' --out today.json    one op, kept\n"
      "  dsbench kernels --baseline yesterday.json --gate           exit 4 when a cell is slower\n"
      "  dsbench kernels --plugin ./libmine.so --filter rmsnorm     your kernel beside ours\n\n"
      "Every cell is checked against float64 before and after it is timed. docs/kernels.md has the operands "
      "of each op.");
  add_kernels_flags(*verb, *options);
  verb->callback(
      [options, &chosen, command] { chosen = [options, command] { return kernels(*options, command); }; });
}

}  // namespace dsbench::cli
