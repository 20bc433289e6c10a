#include "results/record_channel.h"

#include <algorithm>

#include "results/offered_log.h"

namespace dsbench::results {
namespace {

// Rows at which the writer is woken before its tick.
constexpr std::size_t worth_a_batch = 16'384;

}  // namespace

void WriterSignal::hurry() {
  const std::lock_guard lock{mutex_};
  hurry_ = true;
  wake_.notify_one();
}

bool WriterSignal::wait(Nanos tick) {
  std::unique_lock lock{mutex_};
  wake_.wait_for(lock, tick, [this] { return hurry_ || stop_; });
  hurry_ = false;
  return !stop_;
}

void WriterSignal::stop() {
  const std::lock_guard lock{mutex_};
  stop_ = true;
  wake_.notify_one();
}

bool WriterSignal::stopped() {
  const std::lock_guard lock{mutex_};
  return stop_;
}

RecordChannel::RecordChannel(const Slo& slo, std::vector<Slo> slos, std::size_t most_buffered,
                             std::vector<MeasuredWindow> windows, WriterSignal& writer, OfferedLog& offered)
    : slo_{slo},
      slos_{std::move(slos)},
      most_buffered_{std::max<std::size_t>(most_buffered, 1)},
      writer_{writer},
      offered_{offered},
      windows_{std::move(windows)},
      counts_(windows_.size()) {}

bool RecordChannel::measures(std::uint32_t stage, Nanos due) const {
  return stage < windows_.size() && windows_[stage].contains(due);
}

MetricSet& RecordChannel::interval(std::uint32_t stage, Nanos done) {
  return intervals_[{second_of(done), stage}];
}

void RecordChannel::wait_for_room(std::unique_lock<std::mutex>& lock) {
  // After close() nobody makes room any more; what still comes is only counted.
  if (rows_.rows() < most_buffered_ || writer_.stopped()) return;
  writer_.hurry();
  room_.wait(lock, [this] { return rows_.rows() < most_buffered_; });
}

void RecordChannel::offered(std::uint32_t stage, std::uint64_t /*request*/, Nanos due) {
  offered_.offer(stage, due);
}

std::uint32_t RecordChannel::stage_at(Nanos due, std::uint32_t before) {
  const std::lock_guard lock{mutex_};
  std::uint32_t found = before;
  for (std::size_t s = std::size_t{before} + 1; s < windows_.size() && windows_[s].begin <= due; ++s)
    found = static_cast<std::uint32_t>(s);
  return found;
}

void RecordChannel::decided(const ProviderDecision& decision) {
  std::unique_lock lock{mutex_};
  wait_for_room(lock);
  rows_.decisions.push_back(decision);
}

void RecordChannel::settle_early(std::uint64_t request, bool measured, Nanos now) {
  if (early_.empty()) return;
  const auto found = early_.find(request);
  if (found == early_.end()) return;
  if (measured) {
    for (const AttemptRecord& hedge : found->second) {
      counts_[hedge.stage].add(hedge);
      interval(hedge.stage, now).add(hedge);
    }
  }
  early_.erase(found);
}

void RecordChannel::attempt(const AttemptRecord& record) {
  std::unique_lock lock{mutex_};
  wait_for_room(lock);
  const Nanos done = std::max(record.done, record.due);
  const auto known = record.attempt > 0 ? retrying_.find(record.request) : retrying_.end();
  if (record.attempt > 0 && known == retrying_.end()) {
    early_[record.request].push_back(record);
  } else {
    const bool measured = record.attempt > 0 ? known->second : measures(record.stage, record.due);
    if (record.attempt == 0) {
      if (record.reason != Reason::ok) retrying_[record.request] = measured;
      settle_early(record.request, measured, done);
    }
    if (measured) {
      counts_[record.stage].add(record);
      interval(record.stage, done).add(record);
    }
  }
  seconds_.add(record);
  latest_second_ = std::max(latest_second_, second_of(done));
  latest_ = std::max(latest_, done);
  ++attempts_;

  rows_.add(record);
  if (rows_.rows() == worth_a_batch) writer_.hurry();
}

void RecordChannel::request(const RequestRecord& record) {
  const bool good = is_good(record, record.tenant < slos_.size() ? slos_[record.tenant] : slo_);
  std::unique_lock lock{mutex_};
  wait_for_room(lock);
  retrying_.erase(record.request);
  const Nanos done = std::max(record.done, record.due);
  settle_early(record.request, measures(record.stage, record.due), done);
  if (measures(record.stage, record.due)) {
    counts_[record.stage].add(record, good);
    interval(record.stage, done).add(record);
  }
  seconds_.add(record, good);
  latest_second_ = std::max(latest_second_, second_of(done));
  latest_ = std::max(latest_, done);
  ++requests_;
  rows_.requests.push_back({record, good});
  if (rows_.rows() == worth_a_batch) writer_.hurry();
}

void RecordChannel::set_window(std::uint32_t stage, MeasuredWindow window) {
  const std::lock_guard lock{mutex_};
  if (stage >= windows_.size()) {
    windows_.resize(stage + 1);
    counts_.resize(stage + 1);
  }
  windows_[stage] = window;
}

void RecordChannel::take_rows(RowBuffer& rows) {
  {
    const std::lock_guard lock{mutex_};
    std::swap(rows, rows_);
  }
  room_.notify_all();
}

std::int64_t RecordChannel::latest_second() {
  const std::lock_guard lock{mutex_};
  return latest_second_;
}

Nanos RecordChannel::latest() {
  const std::lock_guard lock{mutex_};
  return latest_;
}

Intervals RecordChannel::take_intervals(std::int64_t second) {
  Intervals taken;
  const std::lock_guard lock{mutex_};
  while (!intervals_.empty() && intervals_.begin()->first.first < second) {
    taken.insert(intervals_.extract(intervals_.begin()));
  }
  return taken;
}

void RecordChannel::add_stage(std::uint32_t stage, StageCounts& counts, MetricSet& metrics) {
  const std::lock_guard lock{mutex_};
  if (stage < counts_.size()) counts.add(counts_[stage]);
  for (const auto& [key, set] : intervals_) {
    if (key.second == stage) metrics.add(set);
  }
}

void RecordChannel::add_seconds(SecondCells& cells) {
  const std::lock_guard lock{mutex_};
  cells.add(seconds_);
}

std::int64_t RecordChannel::attempts() {
  const std::lock_guard lock{mutex_};
  return attempts_;
}

std::int64_t RecordChannel::requests() {
  const std::lock_guard lock{mutex_};
  return requests_;
}

}  // namespace dsbench::results
