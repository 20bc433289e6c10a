#pragma once

#include <cstddef>
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

// A class of the workload.
struct Tenant {
  std::string name;
  Slo slo;                     // what its requests must meet to be good
  double reasoning_share = 0;  // of its output tokens, as the workload says
};

// Keeps what happens: every attempt to records.sqlite (WAL, written by a thread of its own as it happens),
// histograms per stage and metric, one-second intervals to latency.hlog. Memory does not grow with the number
// of attempts, except for the per-second counts.
class Recorder {
 public:
  virtual ~Recorder() = default;

  // Must be called before a record of the stage arrives; returns its index, from 0.
  virtual std::uint32_t begin_stage(const StageInfo& stage) = 0;
  // For a stage whose end was not known when it began (info.end ≤ info.start), or that ended early: what was
  // offered for later than `end` is forgotten, because it was never due.
  virtual void end_stage(std::uint32_t stage, Nanos end) = 0;

  // The sink of one issuer thread. Lives as long as the recorder.
  virtual RecordSink& channel(std::uint32_t worker) = 0;

  // The arrivals that a stage was offered: so that requests which never ended are not forgotten.
  virtual void offered(std::uint32_t stage, std::uint64_t request, Nanos due) = 0;

  // Everything known of a stage so far. Safe while records arrive.
  [[nodiscard]] virtual StageSummary summarize(std::uint32_t stage) = 0;
  // Per second of due time, all stages: the whole seconds inside [from, to), so that none is half of another
  // stage's.
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

struct RecorderOptions {
  Nanos flush_every{200'000'000};  // wall-clock time between batches to disk
  std::size_t most_buffered =
      1 << 17;  // rows of one channel; beyond it the issuer waits for the disk, in both worlds
  std::int64_t most_database_pages = 0;  // 0: no limit. A small disk for tests
  // What the run is, as run.json says it before anything has happened: kept in the database's meta ("run"),
  // for the run that is cut off before it can write its run.json. Empty: nothing is kept.
  std::string begun_json = {};
  // By AttemptRecord::tenant; a tenant beyond them is judged by the run's SLO. Empty: so are all.
  std::vector<Tenant> tenants = {};
};

// `run_directory` must exist and be empty of a former run: records.sqlite and latency.hlog are created in it.
[[nodiscard]] Result<std::unique_ptr<Recorder>> open_recorder(const std::filesystem::path& run_directory,
                                                              const Slo& slo,
                                                              const RecorderOptions& options = {});

// One that keeps nothing on disk: of records that are there already.
[[nodiscard]] std::unique_ptr<Recorder> open_unwritten_recorder(const Slo& slo,
                                                                const RecorderOptions& options = {});

}  // namespace dsbench::results
