#include "results/verdicts/overall_verdict.h"

#include <fmt/format.h>

#include <cstddef>

namespace dsbench::results {
namespace {

// "safe load ≥ 120/s: found 80/s; collapse: found collapsed".
std::string list(std::span<const Criterion> criteria, StepVerdict verdict) {
  std::string text;
  for (const auto& c : criteria) {
    if (c.verdict != verdict) continue;
    if (!text.empty()) text += "; ";
    text += c.measured.empty() ? c.name : fmt::format("{}: found {}", c.name, c.measured);
  }
  return text;
}

std::size_t count(std::span<const Criterion> criteria, StepVerdict verdict) {
  std::size_t n = 0;
  for (const auto& c : criteria) n += c.verdict == verdict ? 1 : 0;
  return n;
}

}  // namespace

OverallJudgement judge_run(Validity validity, std::span<const std::string> invalid_causes,
                           std::span<const Criterion> criteria) {
  if (validity == Validity::invalid) {
    std::string causes;
    for (const auto& cause : invalid_causes) {
      if (!causes.empty()) causes += "; ";
      causes += cause;
    }
    return {Verdict::invalid,
            fmt::format("The generator was not fit to measure, so nothing is said of the service: {}.",
                        causes.empty() ? "the cause is not known" : causes)};
  }
  if (criteria.empty()) return {Verdict::measured, "Measured; no criteria were given to judge it by."};
  if (validity == Validity::unknown) {
    const std::size_t n = count(criteria, StepVerdict::bad);
    return {Verdict::inconclusive,
            n == 0 ? fmt::format("Nobody knows whether the generator was fit to measure, so none of the {} "
                                 "criteria is called met.",
                                 criteria.size())
                   : fmt::format("{} of {} criteria would be missed, if the generator was fit to measure, "
                                 "which nobody knows: {}.",
                                 n, criteria.size(), list(criteria, StepVerdict::bad))};
  }
  if (const std::size_t n = count(criteria, StepVerdict::bad); n > 0) {
    return {Verdict::not_ready, fmt::format("{} of {} criteria {} missed: {}.", n, criteria.size(),
                                            n == 1 ? "is" : "are", list(criteria, StepVerdict::bad))};
  }
  if (const std::size_t n = count(criteria, StepVerdict::unclear); n > 0) {
    return {Verdict::inconclusive, fmt::format("{} of {} criteria could not be decided: {}.", n,
                                               criteria.size(), list(criteria, StepVerdict::unclear))};
  }
  return {Verdict::ready, criteria.size() == 1
                              ? fmt::format("The criterion is met: {}.", list(criteria, StepVerdict::good))
                              : fmt::format("All {} criteria are met.", criteria.size())};
}

}  // namespace dsbench::results
