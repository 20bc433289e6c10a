#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dsbench::loadgen {

// A quantity of the source and of a synthetic trace drawn from the fitted profiles.
struct FitLine {
  enum class Verdict : std::uint8_t { good, fair, poor, not_judged };
  std::string what;
  std::string unit;                      // "", "%", "tokens", …
  std::optional<double> source, fitted;  // a distance between the two has no source
  Verdict verdict = Verdict::not_judged;
  std::string good_when;  // "within 10 %": what the word means
  double off = 0;         // how far they are apart, in what is good: 1 is just so
  bool of_hits = false;   // of a prefix cache
};
[[nodiscard]] std::string_view to_word(FitLine::Verdict verdict);

}  // namespace dsbench::loadgen
