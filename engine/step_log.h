#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::engine {

// One step of the engine, as `calibrate` needs it to fit the step-time law.
struct StepRecord {
  std::int64_t step = 0;  // from 1
  Nanos start{0};         // of the engine's clock
  Nanos duration{0};      // as the executor says
  std::int64_t prefill_tokens = 0;
  std::int64_t decode_tokens = 0;
  std::int64_t kv_tokens = 0;
  std::int64_t sequences = 0;    // in the step
  std::int64_t waiting = 0;      // after scheduling it
  std::int64_t blocks_used = 0;  // during it
  std::int64_t preemptions = 0;  // made to schedule it
  // The ledger of this step.
  std::int64_t recomputed_tokens = 0;  // computed again after a preemption
  std::int64_t cached_tokens = 0;      // found in the prefix cache by who was admitted to it
  std::int64_t expired_tokens = 0;     // computed when the answer was of no use any more
  std::int64_t draft_tokens = 0;
  std::int64_t accepted_drafts = 0;
  std::int64_t tried_drafts = 0;                        // that stood behind right ones only
  std::optional<double> acceptance_set = std::nullopt;  // an empty field where nobody set it
  double expert_imbalance = 0;                          // busiest expert ÷ mean; 0: not known
  // Since the step before it.
  std::int64_t abandoned_tokens = 0;  // computed for requests that were then cancelled
  std::int64_t attempts = 0;          // that came, refused ones included
  std::int64_t retries = 0;           // of these, those that said they were not the first
};

// A CSV file with a header line and one line a step.
class StepLog {
 public:
  [[nodiscard]] static Result<StepLog> open(const std::string& path);
  // Lines are buffered. After a failed write (a full disk) nothing more is written, so that the file ends
  // with a whole line of what it has; the engine goes on.
  void write(const StepRecord& record);

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
  };
  explicit StepLog(std::FILE* file) : file_{file} {}
  std::unique_ptr<std::FILE, Close> file_;
  bool failed_ = false;
};

}  // namespace dsbench::engine
