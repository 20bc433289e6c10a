#include "loadgen/codec/sse_reader.h"

namespace dsbench::loadgen {

using results::Reason;

void SseReader::begin(std::int32_t /*status*/) {
  parser_.reset();
  ended_ = content_ = false;
  ending_.reset();
  usage_ = {};
  pings_ = 0;
  restart();
}

ReplyReader::Step SseReader::end(const Verdict& verdict) {
  ended_ = true;
  Reason why = verdict.failure;
  if (why == Reason::ok && !content_) why = Reason::empty;
  if (why == Reason::ok) return {.kind = Step::Kind::done};
  return {.kind = Step::Kind::failed, .reason = why};
}

std::optional<ReplyReader::Step> SseReader::next() {
  if (ended_) return std::nullopt;
  if (ending_) return end(*ending_);
  while (const auto event = parser_.next()) {
    const Verdict verdict = judge(*event);
    const bool over = verdict.done || verdict.failure != Reason::ok;
    if (verdict.content) {
      content_ = true;
      if (over) ending_ = verdict;
      return Step{.tokens = verdict.tokens, .reasoning = verdict.reasoning};
    }
    if (over) return end(verdict);
  }
  if (parser_.overflowed()) return end(Verdict::of_failure(Reason::malformed));
  return std::nullopt;
}

ReplyReader::Step SseReader::end_of_body() {
  const Reason why = broken_off();
  if (may_end() && parser_.between_events() && why == Reason::closed_early) return end(Verdict::of_end());
  return end(Verdict::of_failure(why));
}

Reason SseReader::broken_off() const {
  // A body without one event but with lines that no event stream has: not the protocol (JSON, HTML).
  if (parser_.events() == 0 && (parser_.unknown_lines() > 0 || parser_.partial_is_foreign()))
    return Reason::malformed;
  return Reason::closed_early;
}

}  // namespace dsbench::loadgen
