#include "results/run_summary.h"

namespace dsbench::results {

namespace {

template <class Enum, std::size_t n>
std::string_view word_of(const std::array<std::string_view, n>& words, Enum value) {
  return words[static_cast<std::size_t>(value)];
}

}  // namespace

std::string_view to_word(StageKind kind) {
  static constexpr std::array<std::string_view, 7> words{"warm_up", "probe",    "step", "hold",
                                                         "descent", "recovery", "load"};
  return word_of(words, kind);
}

std::string_view to_word(StepVerdict verdict) {
  static constexpr std::array<std::string_view, 3> words{"good", "bad", "unclear"};
  return word_of(words, verdict);
}

std::string_view to_word(CollapseVerdict verdict) {
  static constexpr std::array<std::string_view, 4> words{"collapsed", "none", "undecided", "not_tested"};
  return word_of(words, verdict);
}

std::string_view to_word(RecoveryVerdict verdict) {
  static constexpr std::array<std::string_view, 4> words{"recovered", "metastable", "undecided",
                                                         "not_tested"};
  return word_of(words, verdict);
}

std::string_view to_word(Verdict verdict) {
  static constexpr std::array<std::string_view, 5> words{"READY", "NOT READY", "INCONCLUSIVE", "INVALID",
                                                         "MEASURED"};
  return word_of(words, verdict);
}

}  // namespace dsbench::results
