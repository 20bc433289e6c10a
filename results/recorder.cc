#include "results/recorder.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "results/hdr_log.h"
#include "results/latency_summary.h"
#include "results/offered_log.h"
#include "results/record_channel.h"
#include "results/record_database.h"
#include "results/statistics.h"
#include "results/verdicts/step_verdict.h"

namespace dsbench::results {
namespace {

// A stage of which only the beginning is known measures to the end of time.
MeasuredWindow window_of(const StageInfo& stage) {
  return {stage.measure_from, stage.end > stage.start ? stage.end : Nanos::max(), stage.start};
}

// Intervals younger than this many seconds stay in their channels: another thread may still add to them. What
// comes later yet gets a second line of the same second, which a reader adds up.
constexpr std::int64_t interval_patience = 2;

// What went wrong with the disk: the first error, and what was lost to it and to those after.
class Losses {
 public:
  void rows(const Error& error, std::int64_t attempts, std::int64_t requests) {
    const std::lock_guard lock{mutex_};
    if (!first_) first_ = error;
    attempts_ += attempts;
    requests_ += requests;
  }
  void lines(const Error& error, std::int64_t lines) {
    const std::lock_guard lock{mutex_};
    if (!first_) first_ = error;
    lines_ += lines;
  }
  [[nodiscard]] std::optional<Error> report() {
    const std::lock_guard lock{mutex_};
    if (!first_) return std::nullopt;
    return Error{
        first_->kind,
        fmt::format("{}; lost: {} attempts and {} requests of records.sqlite, {} lines of latency.hlog",
                    first_->message, attempts_, requests_, lines_)};
  }

 private:
  std::mutex mutex_;
  std::optional<Error> first_;
  std::int64_t attempts_ = 0, requests_ = 0, lines_ = 0;
};

class FileRecorder final : public Recorder {
 public:
  // Without a database and a log, rows are forgotten once they are counted.
  FileRecorder(const Slo& slo, const RecorderOptions& options, std::optional<RecordDatabase> database,
               std::optional<HdrLogWriter> log)
      : slo_{slo}, options_{options}, database_{std::move(database)}, log_{std::move(log)} {
    writer_ = std::thread{[this] {
      while (signal_.wait(options_.flush_every)) flush(false);
    }};
  }
  ~FileRecorder() override { (void)close(); }

  std::uint32_t begin_stage(const StageInfo& stage) override {
    const std::lock_guard lock{stages_mutex_};
    const auto index = static_cast<std::uint32_t>(stages_.size());
    stages_.push_back(stage);
    totals_.emplace_back();
    changed_stages_.push_back(index);
    offered_.begin_stage(index, window_of(stage));
    for (const auto& channel : channels_) channel->set_window(index, window_of(stage));
    return index;
  }

  void end_stage(std::uint32_t stage, Nanos end) override {
    const std::lock_guard lock{stages_mutex_};
    StageInfo& info = stages_.at(stage);
    info.end = end;
    info.measure_from = std::min(info.measure_from, end);
    changed_stages_.push_back(stage);
    const MeasuredWindow window{info.measure_from, end, info.start};
    offered_.end_stage(stage, window);
    for (const auto& channel : channels_) channel->set_window(stage, window);
  }

  RecordSink& channel(std::uint32_t worker) override {
    const std::lock_guard lock{stages_mutex_};
    while (channels_.size() <= worker) {
      std::vector<Slo> slos;
      for (const Tenant& t : options_.tenants) slos.push_back(t.slo);
      std::vector<MeasuredWindow> windows;
      for (const auto& stage : stages_) windows.push_back(window_of(stage));
      channels_.push_back(std::make_unique<RecordChannel>(slo_, std::move(slos), options_.most_buffered,
                                                          std::move(windows), signal_, offered_));
    }
    return *channels_[worker];
  }

  void offered(std::uint32_t stage, std::uint64_t /*request*/, Nanos due) override {
    offered_.offer(stage, due);
  }

  StageSummary summarize(std::uint32_t index) override {
    StageSummary s;
    StageCounts counts;
    MetricSet metrics;
    Nanos latest = offered_.latest();
    {
      const std::lock_guard lock{stages_mutex_};
      const StageInfo& info = stages_.at(index);
      s.name = info.name;
      s.kind = info.kind;
      s.planned = info.planned;
      s.start = info.start;
      s.measure_from = info.measure_from;
      s.end = info.end;
      metrics = totals_[index];
      for (const auto& channel : channels_) {
        channel->add_stage(index, counts, metrics);
        latest = std::max(latest, channel->latest());
      }
    }
    s.index = index;
    if (s.end <= s.start) s.end = std::max(latest, s.measure_from);
    s.requests = std::max(offered_.measured(index), counts.ended);
    s.delivered = counts.delivered;
    s.completed = counts.completed;
    s.good = counts.good;
    s.attempts = counts.attempts;
    s.attempts_by_reason = counts.attempts_by_reason;
    s.requests_by_reason = counts.requests_by_reason;
    s.output_tokens = counts.output_tokens;
    const double seconds = to_seconds(s.end - s.measure_from);
    const auto rate = [seconds](std::int64_t n) {
      return Rate::per_second(seconds > 0 ? static_cast<double>(n) / seconds : 0);
    };
    s.offered = rate(s.requests);
    s.delivered_rate = rate(s.delivered);
    s.completed_rate = rate(s.completed);
    s.good_rate = rate(s.good);
    const ShareJudgement share = judge_step(s.good, s.requests);
    s.good_share = share.share;
    s.good_share_lower = share.lower;
    s.good_share_upper = share.upper;
    s.verdict = share.verdict;
    s.ttft = summarize_latency(metrics[Metric::ttft]);
    s.ttft_service = summarize_latency(metrics[Metric::ttft_service]);
    s.tpot = summarize_latency(metrics[Metric::tpot]);
    s.itl = summarize_latency(metrics[Metric::itl]);
    s.e2e = summarize_latency(metrics[Metric::e2e]);
    s.e2e_service = summarize_latency(metrics[Metric::e2e_service]);
    s.ntpot = summarize_latency(metrics[Metric::ntpot]);
    s.send_lag = summarize_latency(metrics[Metric::send_lag]);
    s.read_lag = summarize_latency(metrics[Metric::read_lag]);
    return s;
  }

  std::vector<SecondCounts> seconds(Nanos from, Nanos to) override {
    const std::vector<std::int64_t> due = offered_.per_second();
    const SecondCells cells = all_seconds();
    constexpr Nanos one{1'000'000'000};
    std::vector<SecondCounts> counts;
    for (std::int64_t s = second_of(from + one - Nanos{1}); one * (s + 1) <= to; ++s) {
      const auto i = static_cast<std::size_t>(s);
      SecondCounts c{s, i < due.size() ? due[i] : 0, 0, 0};
      if (i < cells.cells().size()) {
        c.good = cells.cells()[i].good_of_due;
        c.ended = cells.cells()[i].ended_of_due;
      }
      c.due = std::max(c.due, c.ended);
      counts.push_back(c);
    }
    return counts;
  }

  std::vector<TimelinePoint> timeline() override {
    const std::vector<std::int64_t> due = offered_.per_second();
    const SecondCells all = all_seconds();
    const auto& cells = all.cells();
    std::vector<StageInfo> stages;
    {
      const std::lock_guard lock{stages_mutex_};
      stages = stages_;
    }
    const std::int64_t needed = samples_needed(0.5);
    std::vector<TimelinePoint> points(std::max(due.size(), cells.size()));
    std::int64_t in_flight = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      TimelinePoint& p = points[i];
      p.second = static_cast<std::int64_t>(i);
      p.offered = i < due.size() ? due[i] : 0;
      if (i < cells.size()) {
        const SecondCell& cell = cells[i];
        // A session's later turn may be due when no stage runs, which offers nothing.
        p.offered = std::max(p.offered, cell.ended_of_due);
        p.sent = cell.sent;
        p.completed = cell.completed;
        p.good = cell.good;
        p.failed = cell.failed;
        p.good_of_due = cell.good_of_due;
        p.send_lag_max = cell.send_lag_max;
        if (cell.ttft.count() > 0) p.ttft_max = cell.ttft.max();
        if (cell.ttft.count() >= needed) p.ttft_p50 = cell.ttft.quantile(0.5);
      }
      in_flight += p.offered - p.completed - p.failed;
      p.in_flight = std::max<std::int64_t>(0, in_flight);
      const Nanos middle{static_cast<std::int64_t>(i) * 1'000'000'000 + 500'000'000};
      for (std::size_t s = 0; s < stages.size(); ++s) {
        const bool open = stages[s].end <= stages[s].start;
        if (middle >= stages[s].start && (open || middle < stages[s].end))
          p.stage = static_cast<std::int32_t>(s);
      }
    }
    return points;
  }

  std::int64_t attempts() override {
    const std::lock_guard lock{stages_mutex_};
    std::int64_t n = 0;
    for (const auto& channel : channels_) n += channel->attempts();
    return n;
  }
  std::int64_t requests() override {
    const std::lock_guard lock{stages_mutex_};
    std::int64_t n = 0;
    for (const auto& channel : channels_) n += channel->requests();
    return n;
  }

  Result<void> close() override {
    if (writer_.joinable()) {
      signal_.stop();
      writer_.join();
      flush(true);
      if (auto closed = database_ ? database_->close() : Result<void>{}; !closed)
        losses_.rows(closed.error(), 0, 0);
      if (auto closed = log_ ? log_->close() : Result<void>{}; !closed) losses_.lines(closed.error(), 0);
    }
    if (auto error = losses_.report()) return tl::unexpected(std::move(*error));
    return {};
  }
  std::optional<Error> failed() override { return losses_.report(); }

 private:
  SecondCells all_seconds() {
    SecondCells all;
    const std::lock_guard lock{stages_mutex_};
    for (const auto& channel : channels_) channel->add_seconds(all);
    return all;
  }

  // On the writer thread, and once more on the closing one.
  void flush(bool everything) {
    std::vector<RecordChannel*> channels;
    std::vector<std::pair<std::uint32_t, StageInfo>> changed;
    std::vector<StageInfo> stages;
    Intervals intervals;
    {
      const std::lock_guard lock{stages_mutex_};
      for (const auto& channel : channels_) channels.push_back(channel.get());
      for (const std::uint32_t i : changed_stages_) changed.emplace_back(i, stages_[i]);
      changed_stages_.clear();
      stages = stages_;
      // Under the lock, because a summary must find each interval either in its channel or in the totals.
      std::int64_t latest = -1;
      for (RecordChannel* channel : channels) latest = std::max(latest, channel->latest_second());
      const std::int64_t until = everything ? latest + 1 : latest - interval_patience;
      for (RecordChannel* channel : channels) {
        for (auto& [key, set] : channel->take_intervals(until)) {
          totals_[key.second].add(set);
          const auto [place, fresh] = intervals.try_emplace(key);
          if (fresh)
            place->second = std::move(set);
          else
            place->second.add(set);
        }
      }
    }
    write_rows(channels, changed);
    write_intervals(intervals, stages);
  }

  void write_rows(const std::vector<RecordChannel*>& channels,
                  const std::vector<std::pair<std::uint32_t, StageInfo>>& changed) {
    batches_.resize(std::max(batches_.size(), channels.size()));
    std::int64_t attempts = 0, requests = 0;
    bool decided = false;
    for (std::size_t i = 0; i < channels.size(); ++i) {
      batches_[i].clear();
      channels[i]->take_rows(batches_[i]);
      attempts += static_cast<std::int64_t>(batches_[i].attempts.size());
      requests += static_cast<std::int64_t>(batches_[i].requests.size());
      decided = decided || !batches_[i].decisions.empty();
    }
    if (!database_ || (attempts + requests == 0 && !decided && changed.empty())) return;
    const auto write_all = [&]() -> Result<void> {
      DSBENCH_CHECK(database_->begin());
      for (const auto& [index, stage] : changed) DSBENCH_CHECK(database_->write_stage(index, stage));
      for (const RowBuffer& rows : batches_) DSBENCH_CHECK(database_->write(rows));
      return database_->commit();
    };
    if (auto written = write_all(); !written) {
      losses_.rows(written.error(), attempts, requests);
      database_->roll_back();
    }
  }

  void write_intervals(const Intervals& intervals, const std::vector<StageInfo>& stages) {
    if (!log_) return;
    std::string lines;
    std::int64_t count = 0;
    for (const auto& [key, set] : intervals) {
      for (std::size_t m = 0; m < metric_count; ++m) {
        const Histogram& histogram = set[static_cast<Metric>(m)];
        if (histogram.count() == 0) continue;
        lines += hdr_log_line({hdr_tag(to_word(static_cast<Metric>(m)), key.second, stages[key.second].name),
                               std::chrono::seconds{key.first}, std::chrono::seconds{1}, histogram});
        ++count;
      }
    }
    if (lines.empty()) return;
    if (auto written = log_->write(lines); !written) losses_.lines(written.error(), count);
  }

  const Slo slo_;
  const RecorderOptions options_;
  std::optional<RecordDatabase> database_;
  std::optional<HdrLogWriter> log_;
  Losses losses_;
  WriterSignal signal_;
  OfferedLog offered_;

  std::mutex stages_mutex_;  // the four below; taken before a channel's own
  std::vector<StageInfo> stages_;
  std::vector<MetricSet> totals_;  // of the intervals that have left their channels, by stage
  std::vector<std::unique_ptr<RecordChannel>> channels_;
  std::vector<std::uint32_t> changed_stages_;

  std::vector<RowBuffer> batches_;  // the writer's side of the channels' buffers
  std::thread writer_;
};

}  // namespace

Result<std::unique_ptr<Recorder>> open_recorder(const std::filesystem::path& run_directory, const Slo& slo,
                                                const RecorderOptions& options) {
  DSBENCH_TRY(auto database,
              RecordDatabase::create(run_directory / "records.sqlite", slo, options.most_database_pages));
  DSBENCH_CHECK(database.write_tenants(options.tenants));
  if (!options.begun_json.empty()) DSBENCH_CHECK(database.write_meta("run", options.begun_json));
  DSBENCH_TRY(auto log, HdrLogWriter::open(run_directory / "latency.hlog"));
  return std::make_unique<FileRecorder>(slo, options, std::move(database), std::move(log));
}

std::unique_ptr<Recorder> open_unwritten_recorder(const Slo& slo, const RecorderOptions& options) {
  return std::make_unique<FileRecorder>(slo, options, std::nullopt, std::nullopt);
}

}  // namespace dsbench::results
