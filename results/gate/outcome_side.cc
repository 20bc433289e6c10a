// What the runs of one side of a gate looked like together, from their files.
#include <algorithm>
#include <cmath>
#include <map>
#include <system_error>

#include "core/files.h"
#include "results/gate/outcome_page.h"
#include "results/gate/outputs.h"
#include "results/metrics.h"
#include "results/report/latency_picture.h"
#include "results/run_directory.h"
#include "results/run_file.h"
#include "results/statistics.h"

namespace dsbench::results::gate {
namespace {

namespace fs = std::filesystem;

fs::path place_of(const std::string& source, const fs::path& folder) {
  std::error_code ec;
  const fs::path given{source};
  if (fs::exists(given, ec)) return given;
  return folder / given.filename();
}

}  // namespace

SideView view_side(const Outcome& o, bool candidate, const fs::path& folder) {
  SideView view;
  view.name = candidate ? "candidate" : "baseline";
  if (o.kind == "kernels") return view;
  const auto& sources = candidate ? o.candidate : o.baseline;
  Histogram all;
  std::map<std::int64_t, Histogram> seconds;
  const std::string tag = std::string{to_word(results::Metric::ttft)} + ";";
  for (const std::string& source : sources) {
    const auto found = find_run_directory(place_of(source, folder));
    if (!found) continue;
    const auto text = read_file(found->latency_log());
    const auto intervals = text ? parse_hdr_log(*text) : Result<std::vector<HdrInterval>>{};
    if (!intervals) continue;
    for (const HdrInterval& i : *intervals) {
      if (!i.tag.starts_with(tag)) continue;
      all.add(i.histogram);
      seconds[i.start.count() / 1'000'000'000].add(i.histogram);
    }
  }
  view.spectrum = report::spectrum_of(all, view.name).points;
  // Sixty points at most, each of as many samples as a median needs.
  const std::int64_t last = seconds.empty() ? 0 : seconds.rbegin()->first + 1;
  const std::int64_t bin = std::max<std::int64_t>(1, (last + 59) / 60);
  std::map<std::int64_t, Histogram> bins;
  for (const auto& [second, histogram] : seconds) bins[second / bin].add(histogram);
  for (const auto& [index, histogram] : bins) {
    if (histogram.count() + histogram.infinite() < samples_needed(0.5)) continue;
    if (const auto median = histogram.quantile(0.5))
      view.over_time.emplace_back(static_cast<double>(index * bin), to_seconds(*median));
  }
  // The typical run: that whose value of the worst metric is nearest to the median.
  std::size_t typical = 0;
  for (const MetricJudgement* m : worst_first(o.judgement)) {
    const auto& values = candidate ? m->candidate_values : m->baseline_values;
    if (values.size() != sources.size() || values.empty()) continue;
    const double median = candidate ? m->candidate : m->baseline;
    const auto nearest = std::min_element(values.begin(), values.end(), [&](double x, double y) {
      return std::abs(x - median) < std::abs(y - median);
    });
    typical = static_cast<std::size_t>(nearest - values.begin());
    break;
  }
  if (typical < sources.size()) {
    if (const auto found = find_run_directory(place_of(sources[typical], folder))) {
      if (auto run = read_run(found->run_json()))
        view.typical = std::make_shared<const RunSummary>(std::move(*run));
    }
  }
  return view;
}

}  // namespace dsbench::results::gate
