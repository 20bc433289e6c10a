#include "results/interop/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

#include "core/files.h"
#include "core/text.h"
#include "results/hdr_log.h"
#include "results/hdr_union.h"
#include "results/interop/stage_data.h"
#include "results/record_reader.h"

namespace dsbench::results {
namespace {

std::string stage_list(const RunSummary& run) {
  std::string text;
  for (const StageSummary& s : run.stages)
    text += fmt::format("{}{} '{}'", text.empty() ? "" : ", ", s.index, s.name);
  return text;
}

Result<const StageData*> stage_of(const RunSummary& run, const std::vector<StageData>& stages,
                                  std::string_view format, const std::string& wanted) {
  if (wanted.empty()) {
    if (stages.size() == 1) return &stages.front();
    return fail(ErrorKind::usage, "{} has room for one stage, and the run has {}; say which by --stage: {}",
                format, stages.size(), stage_list(run));
  }
  std::uint32_t index = 0;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), index);
  const bool number = error == std::errc{} && end == wanted.data() + wanted.size();
  for (const StageData& s : stages) {
    if (number ? s.summary->index == index : s.summary->name == wanted) return &s;
  }
  return fail(ErrorKind::usage, "no stage '{}'; the run has: {}", wanted, stage_list(run));
}

}  // namespace

const LatencySummary& summary_of(const StageSummary& stage, Metric metric) {
  const std::array<const LatencySummary*, metric_count> all{
      &stage.ttft,        &stage.ttft_service, &stage.tpot,     &stage.itl,     &stage.e2e,
      &stage.e2e_service, &stage.ntpot,        &stage.send_lag, &stage.read_lag};
  return *all[static_cast<std::size_t>(metric)];
}

Result<std::vector<StageData>> read_stage_data(const RunSummary& run, const RunDirectory& directory) {
  std::error_code ec;
  for (const auto& file : {directory.latency_log(), directory.records()}) {
    if (std::filesystem::exists(file, ec)) continue;
    return fail(ErrorKind::usage, "'{}' is not there; what is exported comes from it", file.string());
  }
  DSBENCH_TRY(const auto sums, sum_hdr_log(directory.latency_log()));
  std::vector<StageData> stages(run.stages.size());
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const StageSummary& s = run.stages[i];
    stages[i].summary = &s;
    for (std::size_t m = 0; m < metric_count; ++m) {
      const auto found = sums.find(hdr_tag(to_word(static_cast<Metric>(m)), s.index, s.name));
      if (found != sums.end()) stages[i].histograms[m] = found->second;
    }
  }
  DSBENCH_CHECK(read_request_rows(directory.records(), [&](const RequestRecord& r, bool) {
    if (r.stage >= stages.size() || !ended_well(r.reason)) return;
    StageData& stage = stages[r.stage];
    if (r.due < stage.summary->measure_from || r.due >= stage.summary->end) return;
    stage.prompt.add(r.prompt_tokens);
    stage.output.add(r.output_tokens);
  }));
  for (const TimelinePoint& p : run.timeline) {
    if (p.stage < 0 || static_cast<std::size_t>(p.stage) >= stages.size()) continue;
    auto& most = stages[static_cast<std::size_t>(p.stage)].most_in_flight;
    most = std::max(most, p.in_flight);
  }
  return stages;
}

double standard_deviation(const Histogram& h) {
  if (h.count() < 2) return 0;
  double mean = 0, squares = 0, seen = 0;  // Welford's, by counters
  for (int i = h.next_index(0); i >= 0; i = h.next_index(i + 1)) {
    const double x = to_seconds(Histogram::lowest_at(i) + Histogram::highest_at(i)) / 2;
    const auto n = static_cast<double>(h.counter(i));
    seen += n;
    const double from = x - mean;
    mean += from * n / seen;
    squares += n * from * (x - mean);
  }
  return std::sqrt(squares / seen);
}

Result<std::string> export_run(const RunSummary& run, const RunDirectory& directory, std::string_view format,
                               const std::string& stage) {
  if (std::find(export_formats.begin(), export_formats.end(), format) == export_formats.end())
    return fail(ErrorKind::usage, "no format '{}' to export; accepted: {}", format, join(export_formats));
  if (format == "hlog") {
    DSBENCH_TRY(auto log, read_file(directory.latency_log()));
    return log;
  }
  DSBENCH_TRY(const auto stages, read_stage_data(run, directory));
  if (format == "prometheus") return export_prometheus(run, stages);
  if (format == "otel") return export_otel(run, stages);
  if (format == "mlflow") return export_mlflow(run, stages);
  DSBENCH_TRY(const StageData* one, stage_of(run, stages, format, stage));
  return format == "vllm" ? export_vllm(run, *one) : export_llmd(run, *one);
}

}  // namespace dsbench::results
