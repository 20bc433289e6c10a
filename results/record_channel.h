#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "results/metrics.h"
#include "results/record.h"
#include "results/row_buffer.h"
#include "results/second_cells.h"
#include "results/stage_counts.h"

namespace dsbench::results {

class OfferedLog;

// Due times that a stage measures, [from, to), and where it begins.
struct MeasuredWindow {
  Nanos from{0}, to{0};
  Nanos begin{0};
  [[nodiscard]] bool contains(Nanos due) const { return due >= from && due < to; }
};

// Histograms of (second in which the records ended, stage).
using IntervalKey = std::pair<std::int64_t, std::uint32_t>;
using Intervals = std::map<IntervalKey, MetricSet>;

// What a channel tells the writer thread.
class WriterSignal {
 public:
  // There is much to write: do not wait for the next tick.
  void hurry();
  // Sleeps until hurry(), stop() or the tick; false once stopped.
  bool wait(Nanos tick);
  void stop();
  [[nodiscard]] bool stopped();

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool hurry_ = false, stop_ = false;
};

// The sink of one issuer thread: counts, histograms and rows of its own behind a mutex of its own, which only
// the writer thread and a summary ever contend for.
class RecordChannel final : public RecordSink {
 public:
  // `slos` by tenant; a tenant beyond them has `slo`. `offered` is shared with the other channels.
  RecordChannel(const Slo& slo, std::vector<Slo> slos, std::size_t most_buffered,
                std::vector<MeasuredWindow> windows, WriterSignal& writer, OfferedLog& offered);

  void offered(std::uint32_t stage, std::uint64_t request, Nanos due) override;
  std::uint32_t stage_at(Nanos due, std::uint32_t before) override;

  void decided(const ProviderDecision& decision) override;
  void attempt(const AttemptRecord& record) override;
  void request(const RequestRecord& record) override;

  void set_window(std::uint32_t stage, MeasuredWindow window);

  // Hands over all rows; `rows` gives its memory in exchange and must be empty.
  void take_rows(RowBuffer& rows);
  // The latest second in which a record ended; −1 before the first.
  [[nodiscard]] std::int64_t latest_second();
  // The latest stamp of any record.
  [[nodiscard]] Nanos latest();
  // Hands over the intervals of seconds before `second`.
  [[nodiscard]] Intervals take_intervals(std::int64_t second);
  // Adds what this channel knows of a stage: its counts, and the intervals that were not handed over.
  void add_stage(std::uint32_t stage, StageCounts& counts, MetricSet& metrics);
  void add_seconds(SecondCells& cells);
  [[nodiscard]] std::int64_t attempts();
  [[nodiscard]] std::int64_t requests();

 private:
  [[nodiscard]] bool measures(std::uint32_t stage, Nanos due) const;
  MetricSet& interval(std::uint32_t stage, Nanos done);
  void wait_for_room(std::unique_lock<std::mutex>& lock);
  void settle_early(std::uint64_t request, bool measured, Nanos now);

  const Slo slo_;
  const std::vector<Slo> slos_;
  const std::size_t most_buffered_;
  WriterSignal& writer_;
  OfferedLog& offered_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::vector<MeasuredWindow> windows_;  // by stage
  std::vector<StageCounts> counts_;      // by stage
  // Requests that may be tried again: whether the request is measured, which a retry's own due does not tell.
  std::unordered_map<std::uint64_t, bool> retrying_;
  // Hedges that ended before the first attempt did, which will tell the same of them.
  std::unordered_map<std::uint64_t, std::vector<AttemptRecord>> early_;
  Intervals intervals_;
  SecondCells seconds_;
  RowBuffer rows_;
  std::int64_t attempts_ = 0, requests_ = 0, latest_second_ = -1;
  Nanos latest_{0};
};

}  // namespace dsbench::results
