#include "results/report/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/text.h"

namespace dsbench::results::report {

std::string count_text(std::int64_t n) {
  std::string digits = std::to_string(n);
  const std::size_t sign = n < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > sign + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string share_text(double share) {
  if (!std::isfinite(share)) return "n/a";
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  if (share < 1 && share > 0.9995) return "> 99.9 %";
  if (share == 0 || share == 1) return fmt::format("{:.0f} %", share * 100);
  return fmt::format("{:.1f} %", share * 100);
}

std::string times_text(double factor) {
  return fmt::format("{:.2f} ×", factor);
}

std::string rate_text(const std::optional<Rate>& rate) {
  return rate ? format_rate(*rate) : "n/a";
}

const LatencySummary::Percentile* find_percentile(const LatencySummary& latency, double q) {
  const auto it = std::find_if(latency.percentiles.begin(), latency.percentiles.end(),
                               [q](const LatencySummary::Percentile& p) { return std::abs(p.q - q) < 1e-9; });
  return it == latency.percentiles.end() ? nullptr : &*it;
}

std::string percentile_text(const LatencySummary& latency, double q) {
  const LatencySummary::Percentile* p = find_percentile(latency, q);
  if (p == nullptr) return "n/a";
  if (p->infinite) return "∞ (failed)";
  if (p->value) return format_duration(*p->value);
  return fmt::format("n/a (needs {})", count_text(p->needs));
}

std::optional<double> percentile_seconds(const LatencySummary& latency, double q) {
  const LatencySummary::Percentile* p = find_percentile(latency, q);
  if (p == nullptr) return std::nullopt;
  if (p->infinite) return std::numeric_limits<double>::infinity();
  if (!p->value) return std::nullopt;
  return to_seconds(*p->value);
}

Mark criterion_mark(StepVerdict verdict) {
  switch (verdict) {
    case StepVerdict::good:
      return {"●", "met", "pass"};
    case StepVerdict::bad:
      return {"✕", "missed", "fail"};
    case StepVerdict::unclear:
      break;
  }
  return {"◇", "unclear", "doubt"};
}

Mark step_mark(const StageSummary& stage) {
  if (stage.kind == StageKind::warm_up) return {"·", "not judged", "plain"};
  switch (stage.verdict) {
    case StepVerdict::good:
      return {"●", "good", "pass"};
    case StepVerdict::bad:
      return {"✕", "bad", "fail"};
    case StepVerdict::unclear:
      break;
  }
  return {"◇", "unclear", "doubt"};
}

Mark verdict_mark(Verdict verdict) {
  switch (verdict) {
    case Verdict::ready:
      return {"●", "READY", "pass"};
    case Verdict::not_ready:
      return {"✕", "NOT READY", "fail"};
    case Verdict::inconclusive:
      return {"◇", "INCONCLUSIVE", "doubt"};
    case Verdict::invalid:
      return {"△", "INVALID", "void"};
    case Verdict::measured:
      break;
  }
  return {"■", "MEASURED", "plain"};
}

Mark collapse_mark(CollapseVerdict verdict) {
  switch (verdict) {
    case CollapseVerdict::collapsed:
      return {"✕", "collapsed", "fail"};
    case CollapseVerdict::none:
      return {"●", "none", "pass"};
    case CollapseVerdict::undecided:
      return {"◇", "undecided", "doubt"};
    case CollapseVerdict::not_tested:
      break;
  }
  return {"○", "not tested", "plain"};
}

Mark recovery_mark(RecoveryVerdict verdict) {
  switch (verdict) {
    case RecoveryVerdict::recovered:
      return {"●", "recovered", "pass"};
    case RecoveryVerdict::metastable:
      return {"✕", "metastable", "fail"};
    case RecoveryVerdict::undecided:
      return {"◇", "undecided", "doubt"};
    case RecoveryVerdict::not_tested:
      break;
  }
  return {"○", "not tested", "plain"};
}

std::string knee_sentence(const RunSummary& run) {
  if (!run.knee.sentence.empty()) return run.knee.sentence;
  if (!run.knee.offered) return "No knee was found.";
  if (run.knee.upper) {
    return fmt::format("The knee is at {} (between {} and {}).", rate_text(run.knee.offered),
                       rate_text(run.knee.lower), rate_text(run.knee.upper));
  }
  return fmt::format("The knee is at or above {}: no higher rate was measured.", rate_text(run.knee.offered));
}

namespace {

// The verdict's word stands beside the sentence already.
std::string without_word(const std::string& sentence, std::string_view word) {
  const std::string prefix = fmt::format("{}: ", word);
  return sentence.starts_with(prefix) ? sentence.substr(prefix.size()) : sentence;
}

}  // namespace

std::string collapse_sentence(const RunSummary& run) {
  const Collapse& c = run.collapse;
  if (!c.sentence.empty()) return without_word(c.sentence, to_word(c.verdict));
  const std::string_view word = collapse_mark(c.verdict).word;
  if (!c.at || !c.ratio) return fmt::format("Collapse: {}.", word);
  return fmt::format("Collapse: {}; at {} offered the good rate was {} of its peak.", word, rate_text(c.at),
                     times_text(*c.ratio));
}

std::string recovery_sentence(const RunSummary& run) {
  const Recovery& r = run.recovery;
  if (!r.sentence.empty()) return without_word(r.sentence, to_word(r.verdict));
  const std::string_view word = recovery_mark(r.verdict).word;
  if (r.time)
    return fmt::format("Recovery: {}, {} after the trigger had gone.", word, format_duration(*r.time));
  return fmt::format("Recovery: {}.", word);
}

std::string slo_text(const Slo& slo) {
  std::string out;
  const auto add = [&](std::string_view name, const std::optional<Nanos>& bound) {
    if (bound) out += fmt::format("{}{} ≤ {}", out.empty() ? "" : ", ", name, format_duration(*bound));
  };
  add("TTFT", slo.ttft);
  add("TPOT", slo.tpot);
  add("E2E", slo.e2e);
  return out.empty() ? "none" : out;
}

double amplification(const StageSummary& stage) {
  if (stage.requests <= 0) return 1;
  return static_cast<double>(stage.attempts) / static_cast<double>(stage.requests);
}

std::string part_text(std::int64_t part, std::int64_t whole) {
  if (whole <= 0) return "n/a";
  return share_text(static_cast<double>(part) / static_cast<double>(whole));
}

std::string shell_line(const std::vector<std::string>& command) {
  static constexpr std::string_view plain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:=,+@%^";
  std::string line;
  for (const std::string& word : command) {
    if (!line.empty()) line.push_back(' ');
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) {
      line += word;
      continue;
    }
    line.push_back('\'');
    for (const char c : word) {
      if (c == '\'') {
        line += "'\\''";
      } else {
        line.push_back(c);
      }
    }
    line.push_back('\'');
  }
  return line;
}

}  // namespace dsbench::results::report
