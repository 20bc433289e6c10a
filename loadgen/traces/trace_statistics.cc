#include "loadgen/traces/trace_statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/rng.h"

namespace dsbench::loadgen {
namespace {

std::vector<double> ranks(std::span<const double> values) {
  struct Value {
    double value;
    std::uint32_t at;
  };
  std::vector<Value> order(values.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = {values[i], i};
  std::sort(order.begin(), order.end(), [](const Value& a, const Value& b) { return a.value < b.value; });
  std::vector<double> rank(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i + 1;
    while (end < order.size() && order[end].value == order[i].value) ++end;
    for (std::size_t k = i; k < end; ++k) rank[order[k].at] = static_cast<double>(i + end - 1) / 2;
    i = end;
  }
  return rank;
}

// Positions 0, 1, 2–3, 4–7, …
std::size_t position_class(std::size_t position) {
  std::size_t cls = 0;
  for (; position > 0; position >>= 1) ++cls;
  return cls;
}

std::uint64_t chained(std::uint64_t chain, std::uint64_t piece) {
  std::uint64_t z = chain * 0x9E3779B97F4A7C15ULL + piece + 0x632BE59BD9B4E019ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  z ^= z >> 31;
  return z == 0 ? 1 : z;
}

}  // namespace

double ks_distance(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return ks_distance_sorted(a, b);
}

double ks_distance_sorted(std::span<const double> a, std::span<const double> b) {
  double most = 0;
  std::size_t i = 0, k = 0;
  while (i < a.size() && k < b.size()) {
    const double value = std::min(a[i], b[k]);
    while (i < a.size() && a[i] == value) ++i;
    while (k < b.size() && b[k] == value) ++k;
    most = std::max(most, std::abs(static_cast<double>(i) / static_cast<double>(a.size()) -
                                   static_cast<double>(k) / static_cast<double>(b.size())));
  }
  return most;
}

double spearman(std::span<const double> x, std::span<const double> y) {
  const std::vector<double> a = ranks(x), b = ranks(y);
  const double mean = static_cast<double>(a.size() - 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean) * (b[i] - mean);
    aa += (a[i] - mean) * (a[i] - mean);
    bb += (b[i] - mean) * (b[i] - mean);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

Moments moments(std::span<const double> values) {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, mean != 0 ? std::sqrt(squares / n) / mean : 0};
}

double quantile_of(std::span<const double> sorted, double q) {
  if (sorted.empty()) return 0;
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - static_cast<double>(low));
}

std::vector<double> counts_in_windows(std::span<const Nanos> due, Nanos width, Nanos length) {
  std::vector<double> counts(static_cast<std::size_t>(std::max<std::int64_t>(length / width, 0)));
  for (const Nanos t : due) {
    const auto window = static_cast<std::size_t>(t / width);
    if (window < counts.size()) counts[window] += 1;
  }
  return counts;
}

double dispersion(std::span<const Nanos> due, Nanos width, Nanos length) {
  const std::vector<double> counts = counts_in_windows(due, width, length);
  if (counts.size() < 2) return 0;
  const Moments m = moments(counts);
  return m.cv * m.cv * m.mean * static_cast<double>(counts.size()) / static_cast<double>(counts.size() - 1);
}

std::size_t PrefixMeter::slot(std::uint64_t chain) const {
  const std::size_t mask = uses_.size() - 1;
  std::size_t at = chain & mask;
  while (uses_[at].chain != 0 && uses_[at].chain != chain) at = (at + 1) & mask;
  return at;
}

void PrefixMeter::grow() {
  std::vector<Use> old = std::move(uses_);
  uses_.assign(std::max<std::size_t>(old.size() * 2, 1024), Use{0, Nanos{0}});
  for (const Use& use : old) {
    if (use.chain != 0) uses_[slot(use.chain)] = use;
  }
}

std::int64_t PrefixMeter::add(std::span<const PromptPiece> prompt, Nanos at, std::int32_t block_tokens) {
  std::int64_t found = 0;
  std::size_t last_age = 0;
  bool leading = true;
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    const PromptPiece& piece = prompt[i];
    if ((used_ + 1) * 2 > uses_.size()) grow();
    Use& use = uses_[slot(piece.chain)];
    const std::size_t cls = position_class(i);
    if (position_all_.size() <= cls) {
      position_all_.resize(cls + 1);
      position_hits_.resize(cls + 1);
    }
    ++position_all_[cls];
    tokens_ += piece.tokens;
    ++pieces_;
    if (use.chain == 0) {
      leading = false;
      ++used_;
      use.chain = piece.chain;
    } else if (leading) {
      ++position_hits_[cls];
      found += piece.tokens;
      ++pieces_hit_;
      const double age = to_seconds(at - use.last);
      std::size_t a = 0;
      while (a < 4 && age > ages_s[a]) ++a;
      by_age_[a] += piece.tokens;
      last_age = a;
    }
    use.last = at;
  }
  const std::int64_t part = found % block_tokens;
  found -= part;
  by_age_[last_age] -= part;
  hit_ += found;
  return found;
}

std::vector<double> PrefixMeter::share_by_age() const {
  std::vector<double> shares;
  for (const std::int64_t n : by_age_)
    shares.push_back(hit_ > 0 ? static_cast<double>(n) / static_cast<double>(hit_) : 0);
  return shares;
}

std::vector<double> PrefixMeter::share_by_position() const {
  std::vector<double> shares;
  for (std::size_t i = 0; i < position_all_.size(); ++i)
    shares.push_back(static_cast<double>(position_hits_[i]) /
                     static_cast<double>(std::max<std::int64_t>(position_all_[i], 1)));
  return shares;
}

void prompt_pieces(const Trace& trace, std::size_t row, std::vector<PromptPiece>& pieces) {
  pieces.clear();
  std::int32_t left = trace.rows[row].input_tokens;
  // The copies of a superposition share nothing with one another.
  std::uint64_t chain = trace.rows[row].copy;
  for (const std::uint64_t hash : trace.hashes_of(row)) {
    if (left <= 0) return;
    const std::int32_t tokens = std::min(left, trace.block_tokens);
    pieces.push_back({chain = chained(chain, hash), tokens});
    left -= tokens;
  }
  if (left > 0) pieces.push_back({chained(chain, derive_seed(1, "own", row)), left});
}

void prompt_pieces(const Attempt& attempt, std::vector<PromptPiece>& pieces) {
  pieces.clear();
  std::uint64_t chain = 0;
  if (!attempt.parts) {
    pieces.push_back({chained(chain, attempt.prompt_seed), attempt.prompt_tokens});
    return;
  }
  for (const PromptPart& part : *attempt.parts) {
    chain = chained(chain, part.seed + static_cast<std::uint64_t>(part.tokens));
    pieces.push_back({chain, part.tokens});
  }
}

ClientSkew client_skew(const Trace& trace) {
  ClientSkew skew;
  skew.counts.assign(trace.tenants.size(), 0);
  for (const TraceRow& row : trace.rows) ++skew.counts[row.tenant];
  for (std::uint32_t i = 0; i < skew.counts.size(); ++i) {
    if (skew.counts[i] > 0) skew.by_size.push_back(i);
  }
  std::stable_sort(skew.by_size.begin(), skew.by_size.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return skew.counts[a] > skew.counts[b]; });
  skew.clients = skew.by_size.size();
  const auto n = static_cast<double>(std::max<std::size_t>(trace.size(), 1));
  double sum = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, points = 0;
  for (std::size_t i = 0; i < skew.by_size.size(); ++i) {
    const auto count = static_cast<double>(skew.counts[skew.by_size[i]]);
    if (sum < 0.99 * n) {
      const double x = std::log(static_cast<double>(i + 1)), y = std::log(count);
      sx += x, sy += y, sxx += x * x, sxy += x * y, points += 1;
    }
    sum += count;
    if (i == 0) skew.largest = sum / n;
    if (i < 5) skew.top5 = sum / n;
    if (i < 10) skew.top10 = sum / n;
  }
  const double spread = points * sxx - sx * sx;
  skew.zipf = spread > 0 ? std::max(0.0, -(points * sxy - sx * sy) / spread) : 0;
  return skew;
}

}  // namespace dsbench::loadgen
