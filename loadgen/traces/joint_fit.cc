#include "loadgen/traces/joint_fit.h"

#include <algorithm>
#include <cmath>

#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {
namespace {

// A stretch [begin, end) of the pairs, sorted by prompt, and where it is least uniform.
struct Stretch {
  std::size_t begin = 0, end = 0;
  double error = 0;
  std::size_t split = 0;
};

Stretch measure(const std::vector<LengthPair>& pairs, std::size_t begin, std::size_t end,
                double total_tokens) {
  Stretch s{begin, end, 0, begin};
  const double low = pairs[begin].prompt, high = pairs[end - 1].prompt;
  if (high <= low) return s;
  const auto n = static_cast<double>(end - begin);
  double most = 0, tokens = 0;
  for (std::size_t i = begin; i < end;) {
    std::size_t k = i;
    for (; k < end && pairs[k].prompt == pairs[i].prompt; ++k) tokens += pairs[k].prompt;
    // Just before and just after this value; a split lies between two values.
    const double before = (pairs[i].prompt - low) / (high - low + 1),
                 after = (pairs[i].prompt + 1 - low) / (high - low + 1);
    const double off_before = std::abs(static_cast<double>(i - begin) / n - before);
    const double off_after = std::abs(static_cast<double>(k - begin) / n - after);
    if (i > begin && off_before > most) most = off_before, s.split = i;
    if (k < end && off_after > most) most = off_after, s.split = k;
    i = k;
  }
  const double share = n / static_cast<double>(pairs.size());
  s.error = std::max(most * share, std::abs(tokens - n * (low + high) / 2) / total_tokens);
  return s;
}

}  // namespace

std::vector<LengthBin> fit_joint(std::vector<LengthPair> pairs, std::size_t most_bins) {
  constexpr double tolerance = 0.003;
  // The outputs of a few requests have no quantiles.
  constexpr std::size_t least_pairs = 20;
  most_bins = std::clamp<std::size_t>(pairs.size() / least_pairs, 1, most_bins);
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const LengthPair& a, const LengthPair& b) { return a.prompt < b.prompt; });
  double total = 0;
  for (const LengthPair& pair : pairs) total += pair.prompt;
  std::vector<Stretch> stretches{measure(pairs, 0, pairs.size(), total)};
  while (stretches.size() < most_bins) {
    const auto worst = std::max_element(stretches.begin(), stretches.end(),
                                        [](const Stretch& a, const Stretch& b) { return a.error < b.error; });
    if (worst->error < tolerance || worst->split == worst->begin) break;
    const Stretch whole = *worst;
    *worst = measure(pairs, whole.begin, whole.split, total);
    stretches.push_back(measure(pairs, whole.split, whole.end, total));
  }
  std::sort(stretches.begin(), stretches.end(),
            [](const Stretch& a, const Stretch& b) { return a.begin < b.begin; });
  std::vector<LengthBin> joint;
  std::vector<double> outputs;
  for (const Stretch& s : stretches) {
    LengthBin bin;
    bin.prompt_from = pairs[s.begin].prompt;
    bin.prompt_to = pairs[s.end - 1].prompt;
    bin.weight = static_cast<double>(s.end - s.begin);
    outputs.clear();
    double sum = 0, prompts = 0;
    for (std::size_t i = s.begin; i < s.end; ++i) {
      outputs.push_back(pairs[i].output);
      sum += pairs[i].output;
      prompts += pairs[i].prompt;
    }
    // A uniform stretch with the bin's mean: the emptier end gives way.
    const auto twice = static_cast<std::int32_t>(std::llround(2 * prompts / bin.weight));
    bin.prompt_to = std::clamp(twice - bin.prompt_from, bin.prompt_from, bin.prompt_to);
    bin.prompt_from = std::clamp(twice - bin.prompt_to, bin.prompt_from, bin.prompt_to);
    std::sort(outputs.begin(), outputs.end());
    const std::size_t n = outputs.size() >= 400   ? 24
                          : outputs.size() >= 100 ? 16
                          : outputs.size() >= 40  ? 10
                                                  : 5;
    double others = 0;
    for (std::size_t q = 0; q <= n; ++q) {
      bin.output_quantiles.push_back(
          std::round(quantile_of(outputs, static_cast<double>(q) / static_cast<double>(n))));
      if (q < n) others += bin.output_quantiles.back() * (q == 0 ? 0.5 : 1.0);
    }
    const double last = 2 * (static_cast<double>(n) * sum / static_cast<double>(outputs.size()) - others);
    bin.output_quantiles.back() =
        std::clamp(std::round(last), bin.output_quantiles[n - 1], bin.output_quantiles.back());
    joint.push_back(std::move(bin));
  }
  return joint;
}

}  // namespace dsbench::loadgen
