#include "results/verdicts/windowed_threshold.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/text.h"
#include "results/latency_summary.h"
#include "results/metrics.h"
#include "results/record_reader.h"

namespace dsbench::results {
namespace {

// What was due in one step of a stage's windows. Adds exactly.
struct Cell {
  std::int64_t requests = 0, delivered = 0, completed = 0, good = 0;
  Histogram latency;  // of the threshold's metric
  void add(const Cell& other) {
    requests += other.requests;
    delivered += other.delivered;
    completed += other.completed;
    good += other.good;
    latency.add(other.latency);
  }
};

std::optional<Metric> metric_of(std::string_view word) {
  for (std::size_t i = 0; i < metric_count; ++i) {
    if (to_word(static_cast<Metric>(i)) == word) return static_cast<Metric>(i);
  }
  return std::nullopt;
}

// The window as a stage of its own, as far as a threshold looks at it.
StageSummary as_stage(const Cell& cell, const Threshold& t) {
  StageSummary s;
  s.requests = cell.requests;
  s.completed = cell.completed;
  s.good = cell.good;
  const double seconds = to_seconds(t.window);
  const auto rate = [&](std::int64_t n) { return Rate::per_second(static_cast<double>(n) / seconds); };
  s.offered = rate(cell.requests);
  s.delivered_rate = rate(cell.delivered);
  s.completed_rate = rate(cell.completed);
  s.good_rate = rate(cell.good);
  // The same summary under every name: the threshold looks at one.
  s.ttft = summarize_latency(cell.latency);
  s.ttft_service = s.tpot = s.e2e = s.e2e_service = s.ntpot = s.ttft;
  return s;
}

}  // namespace

Result<std::vector<Criterion>> judge_windows(const Threshold& t, const std::filesystem::path& records,
                                             const std::vector<StageSummary>& stages) {
  using Cells = std::vector<Cell>;
  constexpr Nanos second{1'000'000'000};
  // As many steps to a window, a second or more each.
  const auto steps = static_cast<std::size_t>(std::clamp<std::int64_t>(t.window / second, 1, 10));
  const Nanos step = t.window / static_cast<std::int64_t>(steps);
  struct Judged {
    const StageSummary* stage = nullptr;
    Cells cells;  // from the beginning of what it measures; less its rest, which is shorter than a step
    Cell last;    // the window that ends with the stage
  };
  std::map<std::uint32_t, Judged> judged;
  for (const StageSummary& stage : stages) {
    if (!std::string_view{stage.name}.starts_with(t.stage)) continue;
    Judged& j = judged[stage.index];
    j.stage = &stage;
    const Nanos length = stage.end - stage.measure_from;
    if (length < t.window) continue;
    j.cells.resize(static_cast<std::size_t>(length / step));
  }
  if (judged.empty()) return std::vector<Criterion>{{t.text, "no such stage", StepVerdict::bad}};

  const auto metric = metric_of(t.metric);
  DSBENCH_CHECK(read_request_rows(records, [&](const RequestRecord& r, bool good) {
    const auto found = judged.find(r.stage);
    if (found == judged.end() || found->second.cells.empty()) return;
    Judged& j = found->second;
    if (r.due < j.stage->measure_from || r.due >= j.stage->end) return;
    const auto count = [&](Cell& cell) {
      ++cell.requests;
      cell.delivered += r.sent != never ? 1 : 0;
      cell.completed += ended_well(r.reason) ? 1 : 0;
      cell.good += good ? 1 : 0;
      if (!metric) return;
      if (!ended_well(r.reason)) {
        cell.latency.record_infinite();
      } else if (const auto latency = latency_of(r, *metric)) {
        cell.latency.record(*latency);
      }
    };
    const auto place = static_cast<std::size_t>((r.due - j.stage->measure_from) / step);
    if (place < j.cells.size()) count(j.cells[place]);
    if (r.due >= j.stage->end - t.window) count(j.last);
  }));

  std::vector<Criterion> criteria;
  for (const auto& [index, j] : judged) {
    const std::string name =
        t.stage.empty() && judged.size() > 1 ? fmt::format("{}: {}", j.stage->name, t.text) : t.text;
    if (j.cells.empty()) {
      criteria.push_back({name,
                          fmt::format("no data: the stage measures {}, less than a window",
                                      format_duration(j.stage->end - j.stage->measure_from)),
                          StepVerdict::bad});
      continue;
    }
    std::optional<Criterion> worst;
    int windows = 0, missed = 0;
    const auto judge = [&](const Cell& window, Nanos from) {
      ++windows;
      const Finding found = judge_stage(t, as_stage(window, t));
      if (!found.met) ++missed;
      // The first that is missed is the one to look at; while none is, any will do.
      if (worst && (worst->verdict == StepVerdict::bad || found.met)) return;
      worst = Criterion{name,
                        fmt::format("{} in the {} from {:.0f} s of the run on", found.text,
                                    format_duration(t.window), to_seconds(from)),
                        found.met ? StepVerdict::good : StepVerdict::bad};
    };
    for (std::size_t first = 0; first + steps <= j.cells.size(); ++first) {
      Cell window;
      for (std::size_t i = 0; i < steps; ++i) window.add(j.cells[first + i]);
      judge(window, j.stage->measure_from + step * static_cast<std::int64_t>(first));
    }
    judge(j.last, j.stage->end - t.window);
    if (worst->verdict == StepVerdict::bad) {
      worst->measured += fmt::format("; missed in {} of {} windows", missed, windows);
    } else {
      worst->measured = fmt::format("met in all of {} windows", windows);
    }
    criteria.push_back(std::move(*worst));
  }
  return criteria;
}

}  // namespace dsbench::results
