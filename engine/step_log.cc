#include "engine/step_log.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace dsbench::engine {

Result<StepLog> StepLog::open(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) {
    return fail(ErrorKind::io, "cannot write the step log '{}': {}", path, std::strerror(errno));
  }
  StepLog log{file};
  (void)std::fputs(
      "step,start_ns,duration_ns,prefill_tokens,decode_tokens,kv_tokens,sequences,waiting,blocks_used,"
      "preemptions,recomputed_tokens,cached_tokens,expired_tokens,draft_tokens,accepted_drafts,"
      "expert_imbalance,tried_drafts,acceptance_set,abandoned_tokens,attempts,retries\n",
      file);
  return log;
}

void StepLog::write(const StepRecord& r) {
  if (failed_) return;
  const std::string line =
      fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.4g},{},{},{},{},{}\n", r.step,
                  r.start.count(), r.duration.count(), r.prefill_tokens, r.decode_tokens, r.kv_tokens,
                  r.sequences, r.waiting, r.blocks_used, r.preemptions, r.recomputed_tokens, r.cached_tokens,
                  r.expired_tokens, r.draft_tokens, r.accepted_drafts, r.expert_imbalance, r.tried_drafts,
                  r.acceptance_set ? fmt::format("{:.4g}", *r.acceptance_set) : std::string{},
                  r.abandoned_tokens, r.attempts, r.retries);
  failed_ = std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size();
}

}  // namespace dsbench::engine
