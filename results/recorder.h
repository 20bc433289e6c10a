#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "results/record.h"
#include "results/run_summary.h"
#include "results/second_counts.h"

namespace dsbench::results {

struct StageInfo {
  std::string name;
  StageKind kind = StageKind::load;
  Rate planned;
  Nanos start{0}, measure_from{0}, end{0};  // requests due inside [measure_from, end) are measured
};

// Keeps what happens: every attempt to records.sqlite (WAL, written by a thread of its own as it happens),
// histograms per stage and metric, one-second intervals to latency.hlog. Memory does not grow with the number
// of attempts, except for the per-second counts.
class Recorder {
 public:
  virtual ~Recorder() = default;

  // Must be called before a record of the stage arrives; returns its index, from 0.
  virtual std::uint32_t begin_stage(const StageInfo& stage) = 0;
  // For a stage whose end was not known when it began.
  virtual void end_stage(std::uint32_t stage, Nanos end) = 0;

  // The sink of one issuer thread. Lives as long as the recorder.
  virtual RecordSink& channel(std::uint32_t worker) = 0;

  // The arrivals that a stage was offered: so that requests which never ended are not forgotten.
  virtual void offered(std::uint32_t stage, std::uint64_t request, Nanos due) = 0;

  // Everything known of a stage so far. Safe while records arrive.
  [[nodiscard]] virtual StageSummary summarize(std::uint32_t stage) = 0;
  // Per second of due time, all stages, [from, to).
  [[nodiscard]] virtual std::vector<SecondCounts> seconds(Nanos from, Nanos to) = 0;
  [[nodiscard]] virtual std::vector<TimelinePoint> timeline() = 0;
  [[nodiscard]] virtual std::int64_t attempts() = 0;
  [[nodiscard]] virtual std::int64_t requests() = 0;

  // Writes what is left, checkpoints the database, closes the files. Errors: io (a full disk), with what was
  // lost; a write error during the run is remembered and reported here, and by failed() as soon as it is
  // known.
  virtual Result<void> close() = 0;
  [[nodiscard]] virtual std::optional<Error> failed() = 0;
};

// `run_directory` must exist and be empty of a former run.
[[nodiscard]] Result<std::unique_ptr<Recorder>> open_recorder(const std::filesystem::path& run_directory,
                                                              const Slo& slo);

}  // namespace dsbench::results
