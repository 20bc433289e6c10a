#include "cli/gate.h"

#include <fmt/format.h>

#include <memory>

#include "cli/gate_assess.h"
#include "cli/gate_history.h"
#include "cli/gate_options.h"
#include "cli/gate_run.h"
#include "cli/gate_selftest.h"
#include "cli/refuse.h"

namespace dsbench::cli {
namespace {

namespace gate = results::gate;

struct CheckOptions {
  std::vector<std::string> baseline, candidate;
  GateFlags flags;
};

Result<std::vector<gate::Evidence>> read_all(const std::vector<std::string>& paths) {
  std::vector<gate::Evidence> runs;
  for (const std::string& path : paths) {
    DSBENCH_TRY(gate::Evidence run, gate::read_evidence(path));
    runs.push_back(std::move(run));
  }
  return runs;
}

Result<int> check(const CheckOptions& o) {
  DSBENCH_TRY(const auto baseline, read_all(o.baseline));
  DSBENCH_TRY(const auto candidate, read_all(o.candidate));
  DSBENCH_TRY(const gate::Outcome outcome, assess(baseline, candidate, o.flags, o.flags.alpha));
  return publish(outcome, o.flags);
}

void add_check(CLI::App& verb, std::function<int()>& chosen) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* sub = verb.add_subcommand("check", "judge runs that are on disk already");
  sub->footer(
      "Examples:\n"
      "  dsbench gate check --baseline old/run-* --candidate new/run-*\n"
      "  dsbench gate check --baseline a1.json a2.json … --candidate b1.json b2.json …   kernels, one file a "
      "process\n"
      "The runs should have been interleaved: `dsbench gate run` does that. docs/gate.md");
  CheckOptions& o = *options;
  sub->add_option("--baseline", o.baseline, "run directories, or JSON files of Google Benchmark's form")
      ->required()
      ->type_name("RUN...");
  sub->add_option("--candidate", o.candidate, "the same, of what is to be judged")
      ->required()
      ->type_name("RUN...");
  add_judge_flags(*sub, o.flags);
  add_output_flags(*sub, o.flags);
  sub->callback([options, &chosen] {
    chosen = [options] {
      const auto code = check(*options);
      return code ? *code : refuse("gate check", code.error());
    };
  });
}

}  // namespace

void add_gate(CLI::App& app, std::function<int()>& chosen) {
  CLI::App* verb = app.add_subcommand("gate", "is the candidate slower than the baseline?");
  verb->require_subcommand(1);
  verb->footer(
      "Examples:\n"
      "  dsbench gate selftest --target sim:laptop --load \"--traffic 'hold(4/s,5m)'\"\n"
      "  dsbench gate run --base 'load --target http://a:8000' --cand 'load --target http://b:8000' --runs "
      "10\n"
      "  dsbench gate run --base-server 'vllm serve M' --cand-server './new serve M' --target "
      "http://127.0.0.1:8000\n"
      "  dsbench gate check --baseline old/run-* --candidate new/run-*\n"
      "  dsbench gate history add --file history.jsonl new/run-*\n"
      "How it judges, and what that was measured to be worth: docs/gate.md");
  add_gate_run(*verb, chosen);
  add_check(*verb, chosen);
  add_gate_selftest(*verb, chosen);
  add_gate_history(*verb, chosen);
}

}  // namespace dsbench::cli
