#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "loadgen/target.h"
#include "results/failover_summary.h"

namespace dsbench::loadgen {

// "kill 0 at 20s heal 40s", "stall 1 at 5s" (for good): what is to be done to a provider, by its place among
// the targets, from 0, and when, since the start of the run.
[[nodiscard]] Result<results::Fault> parse_fault(std::string_view text, std::size_t providers);
// Sorted by time; refuses two faults of one provider that overlap.
[[nodiscard]] Result<std::vector<results::Fault>> parse_faults(const std::vector<std::string>& texts,
                                                               std::size_t providers);
[[nodiscard]] std::string print_fault(const results::Fault& fault);

// A target in virtual time that fails on schedule. Killed, it loses what it was doing (an attempt that had a
// byte of its answer is closed_early, another send_failed) and refuses what comes (connect_failed) until it
// is healed. Stalled, its time stands still: nothing is refused, nothing comes, and afterwards all goes on.
class FaultyTarget final : public VirtualTarget {
 public:
  // The inner target must outlive this one. The faults are sorted and do not overlap.
  FaultyTarget(VirtualTarget& inner, std::vector<results::Fault> faults);

  void submit(const Attempt& attempt, Nanos now) override;
  void cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) override;
  [[nodiscard]] std::optional<Nanos> next_event() const override;
  void advance(Nanos now, std::vector<TargetEvent>& events) override;

 private:
  using Key = std::pair<std::uint64_t, std::uint32_t>;
  struct Edge {
    Nanos at{0};
    bool begins = false;
    results::FaultKind kind = results::FaultKind::kill;
  };
  void pass_edges(Nanos now);
  void pass(const Edge& edge);
  void fail_at(const Key& key, Nanos at, results::Reason reason);

  VirtualTarget& inner_;
  std::vector<Edge> edges_;
  std::size_t next_edge_ = 0;
  bool killed_ = false, stalled_ = false;
  Nanos stalled_at_{0};
  Nanos lag_{0};                   // how far the inner target's time is behind
  std::map<Key, bool> live_;       // whether the answer has begun
  std::vector<Attempt> waiting_;   // submitted while its time stood still
  std::vector<Key> left_;          // cancelled meanwhile
  std::vector<TargetEvent> told_;  // of our own making, not yet fetched
  std::vector<TargetEvent> inner_told_;
};

}  // namespace dsbench::loadgen
