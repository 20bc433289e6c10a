#pragma once

#include <array>
#include <string_view>

#include "core/result.h"

namespace dsbench::cli {

// Stable for ever, never reused, never a count.
enum ExitCode : int {
  exit_ok = 0,
  exit_internal = 1,
  exit_usage = 2,
  exit_slo_missed = 3,
  exit_regression = 4,
  exit_inconclusive = 5,
  exit_guard = 6,
  exit_invalid = 7,
  exit_unreachable = 8,
  exit_interrupted = 130,
  exit_terminated = 143,
};

struct ExitCodeText {
  ExitCode code;
  std::string_view sentence;
};

inline constexpr std::array<ExitCodeText, 11> exit_code_texts{{
    {exit_ok, "done, and the criteria were met"},
    {exit_internal, "internal error: a bug in dsbench or a refusal of the system it runs on"},
    {exit_usage, "a flag, a profile or a file cannot be accepted, or two results are not comparable"},
    {exit_slo_missed, "a service-level objective was missed: the target is not ready"},
    {exit_regression, "the candidate is worse than the baseline"},
    {exit_inconclusive, "the evidence does not decide"},
    {exit_guard, "a guard stopped the run early"},
    {exit_invalid, "the measurement is invalid: the generator itself was not fit to measure"},
    {exit_unreachable, "the target is unreachable or refused us before measuring"},
    {exit_interrupted, "interrupted (Ctrl-C); partial results are whole"},
    {exit_terminated, "terminated; partial results are whole"},
}};

[[nodiscard]] constexpr ExitCode exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
    case ErrorKind::memory:
      return exit_usage;
    case ErrorKind::unreachable:
      return exit_unreachable;
    case ErrorKind::interrupted:
      return exit_interrupted;
    case ErrorKind::io:
    case ErrorKind::internal:
      break;
  }
  return exit_internal;
}

}  // namespace dsbench::cli
