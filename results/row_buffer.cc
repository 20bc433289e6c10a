#include "results/row_buffer.h"

#include "results/gap_codec.h"

namespace dsbench::results {
namespace {

AttemptRow to_row(const AttemptRecord& r) {
  return {r.request,
          r.attempt,
          r.stage,
          r.worker,
          r.turn,
          r.tenant,
          r.provider,
          r.due,
          r.sent,
          r.first_byte,
          r.first_token,
          r.last_token,
          r.done,
          r.prompt_tokens,
          r.output_tokens,
          r.output_tokens_asked,
          r.http_status,
          r.cached_prompt_tokens,
          r.reasoning_tokens,
          r.dns_time,
          r.connect_time,
          r.tls_time,
          r.read_lag,
          r.prompt_tokens_asked,
          r.images,
          r.image_bytes,
          r.token_source,
          r.prompt_token_source,
          r.reason};
}

}  // namespace

void RowBuffer::add(const AttemptRecord& record) {
  Attempt attempt{to_row(record), gaps.size(), 0};
  append_gaps(gaps, record.gaps);
  attempt.gaps_size = gaps.size() - attempt.gaps_at;
  attempts.push_back(attempt);
}

}  // namespace dsbench::results
