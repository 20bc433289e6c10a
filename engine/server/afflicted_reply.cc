#include "engine/server/afflicted_reply.h"

#include <utility>

namespace dsbench::engine::server {

AfflictedReply::AfflictedReply(Reply& reply, const RequestFaults& faults, IoExecutor executor,
                               FaultBoard& board)
    : reply_{&reply}, faults_{faults}, board_{board}, timer_{executor} {}

void AfflictedReply::begin() {
  if (faults_.delay > Nanos{0}) {
    board_.count(FaultKind::latency);
    return hold(faults_.delay);
  }
  release();
}

void AfflictedReply::detach() {
  reply_ = nullptr;
  timer_.cancel();
}

void AfflictedReply::on_started(Nanos at) {
  take({.kind = Kind::started, .at = at});
}

void AfflictedReply::on_token(TokenId token, Nanos at) {
  take({.kind = Kind::token, .token = token, .at = at});
}

void AfflictedReply::on_finished(const Finish& finish, Nanos at) {
  finish_ = finish;
  take({.kind = Kind::finished, .at = at});
}

void AfflictedReply::on_drained() {
  if (reply_ != nullptr) reply_->on_drained();
}

void AfflictedReply::take(const Event& event) {
  if (reply_ == nullptr) return;
  if (held_ || !pass(event)) waiting_.push_back(event);
}

bool AfflictedReply::pass(const Event& event) {
  const bool ends = event.kind == Kind::finished;
  if (event.kind == Kind::started) {
    reply_->on_started(event.at);
    return true;
  }
  if (faults_.stall_after && (ends || tokens_ >= *faults_.stall_after)) {
    faults_.stall_after.reset();
    board_.count(FaultKind::stall);
    hold(faults_.stall);
    return false;
  }
  if (faults_.breaks && (ends || tokens_ >= faults_.break_after)) break_off();
  if (ends) {
    reply_->on_finished(finish_, event.at);
  } else {
    ++tokens_;
    reply_->on_token(event.token, event.at);
  }
  return true;
}

// Without a time until the client leaves.
void AfflictedReply::hold(std::optional<Nanos> time) {
  held_ = true;
  if (!time) return;
  timer_.expires_after(*time);
  timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (!error && self->reply_ != nullptr) self->release();
  });
}

void AfflictedReply::release() {
  held_ = false;
  if (tokens_ == 0) reply_->begin();
  if (faults_.breaks && faults_.break_after == 0) break_off();
  std::size_t next = 0;
  while (next < waiting_.size() && !held_ && pass(waiting_[next])) ++next;
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(next));
  reply_->on_drained();
}

void AfflictedReply::break_off() {
  const FaultKind kind = *std::exchange(faults_.breaks, std::nullopt);
  board_.count(kind);
  switch (kind) {
    case FaultKind::close:
      reply_->send_head();
      return reply_->drop();
    case FaultKind::truncate:
      return reply_->truncate();
    default:
      if (reply_->is_stream()) reply_->send_head();
      return reply_->fail({.status = 500,
                           .message = "the engine failed: a fault was asked for",
                           .type = "server_error",
                           .code = "engine_failed"});
  }
}

}  // namespace dsbench::engine::server
