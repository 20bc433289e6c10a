#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/units.h"
#include "loadgen/traces/trace.h"

// What describes traffic and what compares it. Pure functions of numbers.
namespace dsbench::loadgen {

// The greatest distance between the two empirical distribution functions, 0 to 1; neither may be empty. Sorts
// them, or takes them sorted.
[[nodiscard]] double ks_distance(std::vector<double> a, std::vector<double> b);
[[nodiscard]] double ks_distance_sorted(std::span<const double> a, std::span<const double> b);

// The correlation of ranks, ties given their mean rank; 0 when one side does not vary.
[[nodiscard]] double spearman(std::span<const double> x, std::span<const double> y);

struct Moments {
  double mean = 0, cv = 0;  // standard deviation ÷ mean
};
[[nodiscard]] Moments moments(std::span<const double> values);

// The value below which a share q lies, of sorted values.
[[nodiscard]] double quantile_of(std::span<const double> sorted, double q);

// How many fall into each window of this width; the last window may be shorter and is then left out.
[[nodiscard]] std::vector<double> counts_in_windows(std::span<const Nanos> due, Nanos width, Nanos length);

// The index of dispersion of counts: their variance ÷ mean; 1 for Poisson at a steady rate. 0 when there are
// fewer than two windows.
[[nodiscard]] double dispersion(std::span<const Nanos> due, Nanos width, Nanos length);

// A request's prompt as pieces that are found again: a piece's identity includes all before it.
struct PromptPiece {
  std::uint64_t chain = 0;
  std::int32_t tokens = 0;
};

// What an endless prefix cache would have found. Fed request by request, in order of time.
class PrefixMeter {
 public:
  // Returns the tokens found: those of the leading pieces that came before, as far as they fill blocks of
  // `block_tokens`: a cache finds no part of one.
  std::int64_t add(std::span<const PromptPiece> prompt, Nanos at, std::int32_t block_tokens = 1);

  [[nodiscard]] double hit_share() const {
    return tokens_ > 0 ? static_cast<double>(hit_) / static_cast<double>(tokens_) : 0;
  }
  // The same counted in pieces: what reports of block caches usually give.
  [[nodiscard]] double piece_hit_share() const {
    return pieces_ > 0 ? static_cast<double>(pieces_hit_) / static_cast<double>(pieces_) : 0;
  }
  // Of the hit tokens, the share whose last use was within 1 min, 5 min, 15 min, 60 min, longer ago.
  static constexpr double ages_s[] = {60, 300, 900, 3600};
  [[nodiscard]] std::vector<double> share_by_age() const;
  // The hit share of pieces at position 0, 1, 2–3, 4–7, 8–15, … of their prompts.
  [[nodiscard]] std::vector<double> share_by_position() const;

 private:
  struct Use {
    std::uint64_t chain;
    Nanos last;
  };
  [[nodiscard]] std::size_t slot(std::uint64_t chain) const;
  void grow();
  std::vector<Use> uses_;  // open addressing; chain 0 is empty
  std::size_t used_ = 0;
  std::int64_t tokens_ = 0, hit_ = 0, pieces_ = 0, pieces_hit_ = 0;
  std::vector<std::int64_t> by_age_ = std::vector<std::int64_t>(5);
  std::vector<std::int64_t> position_hits_, position_all_;
};

// The pieces of a trace's request, or of a request as it would be sent.
void prompt_pieces(const Trace& trace, std::size_t row, std::vector<PromptPiece>& pieces);
void prompt_pieces(const Attempt& attempt, std::vector<PromptPiece>& pieces);

// How unequal the tenants are.
struct ClientSkew {
  std::size_t clients = 0;
  double largest = 0, top5 = 0, top10 = 0;  // shares of the requests
  double zipf = 0;  // the slope of log count over log rank, among the clients that make 99 % of the requests
  std::vector<std::uint32_t> by_size;  // indices of tenants, the largest first
  std::vector<std::size_t> counts;     // of tenants, by index
};
[[nodiscard]] ClientSkew client_skew(const Trace& trace);

}  // namespace dsbench::loadgen
