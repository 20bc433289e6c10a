#include "cli/gate_assess.h"

#include <fmt/format.h>

#include "core/version.h"
#include "results/gate/comparability.h"
#include "results/gate/rank_test.h"
#include "results/gate/sequence.h"

namespace dsbench::cli {
namespace {

namespace gate = results::gate;

void add_invalid(std::vector<std::string>& out, std::span<const gate::Evidence> runs) {
  for (const gate::Evidence& run : runs) {
    if (!run.invalid.empty()) out.push_back(fmt::format("{}: {}", run.source, run.invalid.front()));
  }
}

}  // namespace

Result<std::vector<gate::Mismatch>> check_comparable(std::span<const gate::Evidence> baseline,
                                                     std::span<const gate::Evidence> candidate,
                                                     const GateFlags& flags) {
  DSBENCH_TRY(auto mismatches, gate::compare_keys(baseline, candidate, split_list(flags.allow)));
  const std::string refused = gate::describe_refused(mismatches);
  if (!refused.empty()) {
    std::string keys;
    for (const gate::Mismatch& m : mismatches) {
      if (!m.allowed) keys += (keys.empty() ? "" : ",") + m.key;
    }
    return fail(
        ErrorKind::usage,
        "the runs are not comparable:\n  {}\nIf this is what you mean to compare: --allow-mismatch {}",
        [&] {
          std::string indented;
          for (const char c : refused) indented += c == '\n' ? std::string{"\n  "} : std::string(1, c);
          return indented;
        }(),
        keys);
  }
  return mismatches;
}

Result<gate::Outcome> assess(std::span<const gate::Evidence> baseline,
                             std::span<const gate::Evidence> candidate, const GateFlags& flags,
                             double alpha) {
  gate::Outcome outcome;
  outcome.dsbench_version = version();
  outcome.alpha = flags.alpha;
  outcome.inconclusive_fails = flags.inconclusive == "fail";
  outcome.kind = baseline.front().kind;
  for (const auto& run : baseline) outcome.baseline.push_back(run.source);
  for (const auto& run : candidate) outcome.candidate.push_back(run.source);
  outcome.looks.push_back({std::min(baseline.size(), candidate.size()), alpha});
  add_invalid(outcome.invalid, baseline);
  add_invalid(outcome.invalid, candidate);
  if (!outcome.invalid.empty()) {
    gate::conclude(outcome);
    return outcome;
  }
  DSBENCH_TRY(outcome.mismatches, check_comparable(baseline, candidate, flags));
  DSBENCH_TRY(gate::JudgeSettings settings, settings_of(flags));
  settings.alpha = alpha;
  DSBENCH_TRY(const auto metrics, gate::gated_metrics(baseline, candidate, settings));
  const double smallest = gate::smallest_p(baseline.size(), candidate.size());
  if (smallest * static_cast<double>(metrics.size()) >= alpha) {
    return fail(
        ErrorKind::usage,
        "{} and {} runs cannot call anything: the smallest p of a Mann-Whitney test of so many is {:.2g}, "
        "and "
        "{} metrics at an error level of {:.3g} need less than {:.2g}; accepted: at least {} runs a side, or "
        "fewer --metric",
        baseline.size(), candidate.size(), smallest, metrics.size(), alpha,
        alpha / static_cast<double>(metrics.size()), gate::runs_needed(alpha, metrics.size()));
  }
  if (const std::string path = noise_path(flags); !path.empty()) {
    DSBENCH_TRY(const auto entries, gate::read_noise(path));
    if (const gate::NoiseEntry* noise = gate::find_noise(entries, baseline.front())) {
      DSBENCH_CHECK(gate::check_margins(*noise, metrics, settings, outcome.kind,
                                        std::min(baseline.size(), candidate.size())));
      outcome.notes.push_back(fmt::format("margins are above the noise floor that the self-test of {} found",
                                          noise->measured_at));
    } else {
      outcome.notes.emplace_back(
          "the noise floor of this workload is not known here; `dsbench gate selftest` finds it");
    }
  }
  DSBENCH_TRY(outcome.requirements, gate::judge_requirements(flags.requirements, candidate));
  DSBENCH_TRY(outcome.judgement, gate::judge(baseline, candidate, settings));
  gate::conclude(outcome);
  return outcome;
}

}  // namespace dsbench::cli
