// Simulated gates by the thousand: how often two identical builds are called different, and how often a
// slower one is found. scripts/bench_gate prints what it says; docs/gate.md quotes it.
//   gate_power GATES [--json]
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "core/rng.h"
#include "results/gate/judge.h"
#include "results/gate/rank_test.h"
#include "results/gate/sequence.h"

using namespace dsbench;
using namespace dsbench::results::gate;

namespace {

// load-tools reference §2.3: runs spread by 1.5 %, and a noisy neighbour makes one in ten slower by 15 %.
struct Noise {
  double spread, share, by;
  [[nodiscard]] double draw(Rng& rng, double level) const {
    const double bulk = level * std::exp(spread * rng.normal());
    return rng.uniform() < share ? bulk * (1 + by) : bulk;
  }
};

struct Counts {
  int regressed = 0, improved = 0, same = 0, inconclusive = 0;
  double runs = 0;  // a side, mean
};

void count(Counts& c, MetricVerdict verdict) {
  c.regressed += verdict == MetricVerdict::regressed;
  c.improved += verdict == MetricVerdict::improved;
  c.same += verdict == MetricVerdict::same;
  c.inconclusive += verdict == MetricVerdict::inconclusive;
}

// One look at n runs a side, no confirmation: the rule of the reference's table.
Counts one_look(int gates, std::size_t n, double effect, double margin, const Noise& noise) {
  Counts c;
  for (int g = 0; g < gates; ++g) {
    Rng rng{static_cast<std::uint64_t>(g), "gate-power"};
    std::vector<double> a, b;
    for (std::size_t i = 0; i < n; ++i) {
      a.push_back(noise.draw(rng, 1));
      b.push_back(noise.draw(rng, 1 + effect));
    }
    count(c, judge_values({"x"}, a, b, 0.05, margin).verdict);
  }
  c.runs = static_cast<double>(n);
  return c;
}

// The gate as `gate run` goes through it: looks with alpha split over them, and a confirmation.
Counts whole_gate(int gates, std::size_t runs, std::size_t max_runs, std::size_t confirmation, double effect,
                  double margin, const Noise& noise, std::size_t metrics) {
  const Sequence sequence = *plan_sequence(runs, max_runs, 0.05, Spending::pocock, confirmation);
  Counts c;
  for (int g = 0; g < gates; ++g) {
    Rng rng{static_cast<std::uint64_t>(g), "gate-power-whole"};
    // The first metric has the effect; the others are as before.
    std::vector<std::vector<double>> a(metrics), b(metrics);
    const auto measure_to = [&](std::size_t n) {
      while (a[0].size() < n) {
        for (std::size_t m = 0; m < metrics; ++m) {
          a[m].push_back(noise.draw(rng, 1));
          b[m].push_back(noise.draw(rng, m == 0 ? 1 + effect : 1));
        }
      }
    };
    const auto look = [&](double alpha) {
      Judgement judgement;
      std::vector<double> p;
      for (std::size_t m = 0; m < metrics; ++m) {
        judgement.metrics.push_back(judge_values({fmt::format("m{}", m)}, a[m], b[m], alpha, margin));
        p.push_back(judgement.metrics.back().p);
      }
      const auto adjusted = holm(p);
      for (std::size_t m = 0; m < metrics; ++m) {
        judgement.metrics[m].p_holm = adjusted[m];
        judgement.metrics[m].verdict = verdict_of(judgement.metrics[m]);
      }
      return judgement;
    };
    Judgement judgement;
    for (std::size_t i = 0;; ++i) {
      measure_to(sequence.looks[i].runs);
      judgement = look(sequence.looks[i].alpha);
      const Next next = next_after(judgement, sequence, i);
      if (next == Next::stop) break;
      if (next == Next::measure_more) continue;
      std::vector<std::string> called;
      for (const auto& m : judgement.metrics) {
        if (m.verdict == MetricVerdict::regressed) called.push_back(m.metric.name);
      }
      const bool last = i + 1 >= sequence.looks.size();
      const std::size_t before = a[0].size(),
                        to = last ? before + sequence.confirmation : sequence.looks[i + 1].runs;
      measure_to(to);
      judgement = look(sequence.looks[std::min(i + 1, sequence.looks.size() - 1)].alpha);
      keep_confirmed(judgement, called, to - before);
      if (judgement.any(MetricVerdict::regressed) || i + 2 >= sequence.looks.size() ||
          !judgement.any(MetricVerdict::inconclusive))
        break;
      ++i;
    }
    // Of the gate as a whole: any metric.
    count(c, judgement.any(MetricVerdict::regressed)      ? MetricVerdict::regressed
             : judgement.any(MetricVerdict::inconclusive) ? MetricVerdict::inconclusive
             : judgement.any(MetricVerdict::improved)     ? MetricVerdict::improved
                                                          : MetricVerdict::same);
    c.runs += static_cast<double>(a[0].size()) / gates;
  }
  return c;
}

}  // namespace

int main(int argc, char** argv) {
  const int gates = argc > 1 ? std::atoi(argv[1]) : 4000;
  const bool json = argc > 2 && std::string_view{argv[2]} == "--json";
  if (gates < 1) {
    fmt::print(stderr, "usage: gate_power GATES [--json]\n");
    return 2;
  }
  const Noise contaminated{0.015, 0.1, 0.15};
  const auto percent = [&](int n) { return 100.0 * n / gates; };
  std::string rows;
  const auto row = [&](std::string_view rule, std::size_t n, double effect, const Counts& c) {
    if (json) {
      rows += fmt::format(
          "{}{{\"rule\":\"{}\",\"runs\":{},\"effect\":{},\"regressed\":{:.3f},\"improved\":{:.3f},\"same\":{:"
          ".3f},"
          "\"inconclusive\":{:.3f},\"mean_runs\":{:.2f}}}",
          rows.empty() ? "" : ",\n ", rule, n, effect, percent(c.regressed), percent(c.improved),
          percent(c.same), percent(c.inconclusive), c.runs);
    } else {
      fmt::print("{:<46} {:>4}  {:>+5.0f} %  {:>8.2f} %  {:>8.2f} %  {:>6.1f} %  {:>6.1f} %  {:>6.1f}\n",
                 rule, n, 100 * effect, percent(c.regressed), percent(c.improved), percent(c.same),
                 percent(c.inconclusive), c.runs);
    }
  };
  if (!json) {
    fmt::print("{} gates each; noise 1.5 %, one run in ten +15 %; margin 3 %, alpha 0.05\n", gates);
    fmt::print("{:<46} {:>4}  {:>7}  {:>10}  {:>10}  {:>8}  {:>8}  {:>6}\n", "rule", "runs", "true",
               "REGRESSED", "IMPROVED", "SAME", "INCONCL.", "runs");
  }
  for (const std::size_t n : {5, 8, 10}) {
    for (const double effect : {0.0, 0.05, 0.08, 0.12})
      row("one look", n, effect, one_look(gates, n, effect, 0.03, contaminated));
  }
  for (const double effect : {0.0, 0.05, 0.08, 0.12})
    row("one look, 5 more to confirm", 10, effect,
        whole_gate(gates, 10, 10, 5, effect, 0.03, contaminated, 1));
  for (const double effect : {0.0, 0.05, 0.08, 0.12})
    row("3 looks to 20 (Pocock), 5 to confirm", 10, effect,
        whole_gate(gates, 10, 20, 5, effect, 0.03, contaminated, 1));
  for (const double effect : {0.0, 0.05, 0.08, 0.12})
    row("5 metrics, 3 looks to 20, 5 to confirm", 10, effect,
        whole_gate(gates, 10, 20, 5, effect, 0.03, contaminated, 5));
  if (json) fmt::print("[{}]\n", rows);
  return 0;
}
