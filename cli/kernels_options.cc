#include "cli/kernels_options.h"

#include <fmt/format.h>

#include "cli/flags.h"
#include "core/text.h"

namespace dsbench::cli {

using kernelbench::Backend;
using kernelbench::Suite;

Backend KernelsOptions::backend() const {
  return device == "cuda" ? Backend::cuda : Backend::cpu;
}

Suite KernelsOptions::chosen_suite() const {
  if (quick) return Suite::quick;
  if (full) return Suite::full;
  for (const Suite s : {Suite::quick, Suite::correctness, Suite::corner, Suite::full}) {
    if (kernelbench::to_word(s) == suite) return s;
  }
  return Suite::standard;
}

bool KernelsOptions::timing() const {
  if (check_only) return false;
  if (!cases.empty()) return true;
  const Suite s = chosen_suite();
  return s != Suite::correctness && s != Suite::corner;
}

kernelbench::StandOptions KernelsOptions::stand() const {
  kernelbench::StandOptions o;
  o.sampler.cache = l2 == "rotate" ? kernelbench::CacheState::rotate : kernelbench::CacheState::flush;
  o.sampler.mode = mode == "graph" ? kernelbench::Mode::graph : kernelbench::Mode::single;
  o.sampler.budget = quick ? std::min(time, Nanos{20'000'000}) : time;
  o.sampler.warm_up = quick ? Nanos{50'000'000} : 5 * time;
  o.check_flops = check_gflop * 1e9;
  return o;
}

kernelbench::CompareOptions KernelsOptions::comparison() const {
  kernelbench::CompareOptions o;
  o.margin = margin_percent / 100;
  o.control_limit = control_limit_percent / 100;
  o.allowed = allow_mismatch;
  return o;
}

std::vector<std::string> KernelsOptions::worker_flags() const {
  std::vector<std::string> flags{"--device",      device,
                                 "--time",        print_duration(time),
                                 "--l2",          l2,
                                 "--mode",        mode,
                                 "--threads",     std::to_string(threads),
                                 "--check-gflop", fmt::format("{}", check_gflop)};
  if (quick) flags.emplace_back("--quick");
  return flags;
}

Result<void> KernelsOptions::validate() const {
  if (quick && full) return fail(ErrorKind::usage, "--quick and --full exclude each other; give one");
  if (!compare.empty() && compare.size() != 2)
    return fail(ErrorKind::usage, "--compare takes two result files, a baseline and a candidate; {} given",
                compare.size());
  if (!compare.empty() && !baseline.empty())
    return fail(
        ErrorKind::usage,
        "--compare compares two files; with --baseline the candidate is the run itself: give one of them");
  if (gate && baseline.empty() && compare.empty() && min_roofline.empty())
    return fail(ErrorKind::usage,
                "--gate needs something to hold the run against: --baseline FILE, --min-roofline FILE or "
                "--compare BASE CAND");
  if (strict && baseline.empty() && compare.empty())
    return fail(ErrorKind::usage,
                "--strict is about cells without a baseline; give --baseline FILE or --compare BASE CAND");
  if (mode == "graph" && l2 == "flush" && device == "cuda")
    return fail(
        ErrorKind::usage,
        "--mode graph cannot flush the cache between the launches of a graph; give --l2 rotate with it");
  return {};
}

void add_kernels_flags(CLI::App& verb, KernelsOptions& o) {
  verb.add_option("--device", o.device, "where the kernels run")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  verb.add_option("--suite", o.suite, "which list of cases; correctness and corner are checked and not timed")
      ->check(CLI::IsMember({"quick", "correctness", "corner", "standard", "full"}))
      ->capture_default_str();
  verb.add_flag("--quick", o.quick, "the quick suite, with short repetitions: seconds");
  verb.add_flag("--full", o.full, "the full suite: the whole ladder of sizes");
  verb.add_option("--cases", o.cases, "a file of cases in place of a suite (schema dsbench.kernel-cases/1)")
      ->type_name("FILE")
      ->default_str("none");
  verb.add_option("--filter", o.filter,
                  "only cases whose name matches; * stands for anything, several are alternatives")
      ->type_name("PATTERN")
      ->default_str("all");
  verb.add_option("--kernel", o.kernel, "only kernels whose name matches, likewise")
      ->type_name("PATTERN")
      ->default_str("all");
  verb.add_option("--skip", o.skip, "leave out kernels of cases: CASE/KERNEL as a whole, with * for anything")
      ->type_name("PATTERN")
      ->default_str("none");
  verb.add_flag("--list", o.list, "print ops, kernels and the cases that would be run; run nothing");

  verb.add_option("--plugin", o.plugins,
                  "a shared library with kernels of yours (docs/kernels.md), measured in a process of its "
                  "own; repeatable")
      ->type_name("LIB")
      ->default_str("none");
  add_duration(verb, "--plugin-timeout", o.plugin_timeout,
               "how long a plug-in may take for one check or one repetition");

  add_count(verb, "--repetitions", o.repetitions, 1, 1000,
            "of every cell, in random order with those of the others");
  add_duration(verb, "--time", o.time, "of samples in one repetition");
  verb.add_option("--l2", o.l2,
                  "before each sample: flush the last-level cache, or rotate buffers without a pause")
      ->check(CLI::IsMember({"flush", "rotate"}))
      ->capture_default_str();
  verb.add_option("--mode", o.mode, "one launch a sample, or 20 in a CUDA graph (on the CPU: back to back)")
      ->check(CLI::IsMember({"single", "graph"}))
      ->capture_default_str();
  verb.add_option("--threads", o.threads, "on the CPU; 0: one for each core")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  verb.add_option("--memory", o.memory_gb, "GB of operands that are open at once")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_option("--check-gflop", o.check_gflop,
                  "what one check against float64 may cost before it samples rows")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_flag("--check-only", o.check_only, "check, do not time");

  verb.add_option("--baseline", o.baseline, "a result file to compare this run with")
      ->type_name("FILE")
      ->default_str("none");
  verb.add_option("--compare", o.compare, "compare two result files and run nothing: baseline, candidate")
      ->type_name("FILE")
      ->expected(2);
  verb.add_flag("--gate", o.gate,
                "exit 4 when a cell is slower, 5 when one is ambiguous, 7 when the machine was not the same");
  verb.add_flag("--strict", o.strict, "with a baseline: a cell that it does not have is a failure (exit 3)");
  verb.add_option("--margin", o.margin_percent, "percent by which a median must differ to be another")
      ->check(CLI::Range(0.1, 100.0))
      ->capture_default_str();
  verb.add_option("--control-limit", o.control_limit_percent,
                  "percent by which control/copy may differ before a comparison is invalid")
      ->check(CLI::Range(0.1, 100.0))
      ->capture_default_str();
  verb.add_option("--allow-mismatch", o.allow_mismatch,
                  "facts that may differ between baseline and candidate (driver, compiler, …)")
      ->type_name("KEY")
      ->delimiter(',')
      ->default_str("none");
  verb.add_option("--min-roofline", o.min_roofline,
                  "a file of least percentages of roofline (schema dsbench.min-roofline/1); below: exit 3")
      ->type_name("FILE")
      ->default_str("none");

  verb.add_option("--out", o.out, "write the result here as JSON (Google Benchmark's, with ours inside)")
      ->type_name("FILE")
      ->default_str("nowhere");
  verb.add_flag("--json", o.json, "the result as JSON on stdout in place of the table");
  verb.add_flag("--quiet", o.quiet, "no progress on stderr");
  verb.add_option("--plugin-worker", o.worker, "")->group("");
}

}  // namespace dsbench::cli
