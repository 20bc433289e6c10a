#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "results/record.h"

// Reasons to end a run before its time, so that a rehearsal does not become the outage.
namespace dsbench::loadgen {

// The error budget burns at `factor` times the rate that would just use it up, over both windows: the long
// one says that it matters, the short one that it is still so (Google SRE workbook, "Alerting on SLOs").
struct BurnRule {
  double factor = 14.4;
  Nanos long_window{60'000'000'000}, short_window{5'000'000'000};
};
// The good rate of the last window is below 0.8 × that of the best one before, with 95 % confidence, although
// no less is offered.
struct CollapseRule {
  Nanos window{10'000'000'000};
};
// More than this share of the requests that ended in a window has failed.
struct FailedRule {
  double share = 0.1;
  Nanos window{10'000'000'000};
};
// So many attempts in a row found no connection: the service is probably down. Looked at with every attempt.
struct RefusedRule {
  std::int64_t attempts = 20;
};
struct TokensRule {
  std::int64_t most = 0;  // read and generated, as the records count them
};
struct CostRule {
  double most = 0;  // in the prices' currency
};
// The generator itself is late: more than 1 % of a window's attempts left later than a tenth of the tightest
// SLO bound. What would follow is no measurement.
struct GeneratorRule {
  Nanos window{10'000'000'000};
};
using GuardRule =
    std::variant<BurnRule, CollapseRule, FailedRule, RefusedRule, TokensRule, CostRule, GeneratorRule>;

// "burn(14.4,60s,5s)", "collapse(10s)", "failed(10%,10s)", "refused(20)", "tokens(5000000)", "cost(10)",
// "generator(10s)"; several joined by spaces. Windows are 1 s to 30 min.
[[nodiscard]] Result<std::vector<GuardRule>> parse_guards(std::string_view text);
[[nodiscard]] std::string print_guard(const GuardRule& rule);

// Money for a million tokens.
struct Prices {
  double input = 0, cached_input = 0, output = 0;
};
[[nodiscard]] double cost_of(const Prices& prices, std::int64_t input, std::int64_t cached,
                             std::int64_t output);

struct GuardConfig {
  std::vector<GuardRule> rules;
  std::vector<results::Slo> slos;  // by tenant; the first for those that have none
  double objective = 0.99;  // the share of good requests that is promised; the rest is the error budget
  Prices prices;
};

// Watches a run from its records. Sinks are called by issuer threads, the rest by the controller.
class Guards {
 public:
  // `stop` is raised when a rule trips.
  Guards(GuardConfig config, std::atomic<bool>& stop);
  ~Guards();
  Guards(const Guards&) = delete;
  Guards& operator=(const Guards&) = delete;

  // A sink that tells `sink` everything it is told. Lives as long as the guards.
  [[nodiscard]] results::RecordSink& watch(results::RecordSink& sink);
  // A request of the schedule was handed over.
  void offered(Nanos due);
  // Judges the rules that have windows. Once for every second of the run, in order.
  void on_second(Nanos now);

  struct Trip {
    std::string sentence;
    bool generator = false;  // ours, not the target's: the run is invalid
  };
  [[nodiscard]] std::optional<Trip> tripped() const;

  [[nodiscard]] std::int64_t tokens() const;
  [[nodiscard]] double cost() const;

 private:
  class Sink;
  // Of the requests due in one second and the attempts due in it; and the requests that ended in it, whenever
  // they had been due.
  struct Cell {
    std::atomic<std::int64_t> due{0}, ended{0}, good{0}, sent{0}, late{0}, ends{0}, failures{0};
  };
  struct Sum {
    std::int64_t due = 0, ended = 0, good = 0, sent = 0, late = 0, ends = 0, failures = 0;
    std::int64_t overdue = 0;  // due so long ago that they cannot be good any more, and not ended
  };
  static constexpr std::int64_t seconds_kept = 4096;

  [[nodiscard]] Cell& cell(std::int64_t second) {
    return cells_[static_cast<std::size_t>(second % seconds_kept)];
  }
  [[nodiscard]] Sum sum(Nanos from, Nanos to, Nanos now);
  void trip(std::string sentence, bool generator = false);

  void judge(const BurnRule& rule, Nanos now);
  void judge(const CollapseRule& rule, Nanos now);
  void judge(const FailedRule& rule, Nanos now);
  void judge(const RefusedRule&, Nanos) {}
  void judge(const TokensRule& rule, Nanos now);
  void judge(const CostRule& rule, Nanos now);
  void judge(const GeneratorRule& rule, Nanos now);

  GuardConfig config_;
  std::atomic<bool>& stop_;
  std::int64_t refusals_allowed_ = 0;  // 0: any number
  Nanos deadline_{0};                  // a request that has not ended by then cannot be good
  Nanos late_from_{0};                 // a send lag above it is too late
  std::unique_ptr<std::array<Cell, seconds_kept>> storage_;
  std::array<Cell, seconds_kept>& cells_;
  std::int64_t cleared_ = 0;  // cells up to this second are ready
  std::atomic<std::int64_t> refusals_{0}, input_{0}, cached_{0}, output_{0};
  std::optional<Sum> best_;  // the window of the best good rate so far, for the collapse rule
  mutable std::mutex mutex_;
  std::optional<Trip> trip_;
  std::vector<std::unique_ptr<Sink>> sinks_;
};

}  // namespace dsbench::loadgen
