#include "engine/server/reply.h"

#include <utility>

namespace dsbench::engine::server {

Reply::Reply(Setup setup, ServerMetrics& metrics)
    : setup_{std::move(setup)}, metrics_{metrics}, patience_{*setup_.identity.manners, setup_.submitted} {
  if (setup_.stream) {
    sse_ = make_stream_renderer(setup_.identity);
    if (!setup_.framing.http11) setup_.framing.keep_alive = false;  // only the connection's end can end it
  }
}

void Reply::begin() {
  begun_ = true;
  if (ended_ || !sse_ || !manners().early_head) return;
  send_head();
  changed_();
}

void Reply::on_started(Nanos at) {
  metrics_.queued_for(at - setup_.submitted);
  patience_.started();
}

void Reply::on_token(TokenId token, Nanos at) {
  if (ended_) return;
  if (last_token_) {
    metrics_.token_gap(at - *last_token_);
  } else {
    metrics_.first_token_after(at - setup_.submitted);
  }
  last_token_ = at;
  ++output_tokens_;
  if (!sse_) {
    append_plain_token(output_tokens_ <= setup_.identity.reasoning_tokens ? text_.reasoning : text_.answer,
                       token, setup_.identity.writer.get());
    return;
  }
  open_stream();
  sse_->token(body_, token);
  patience_.said(at);
  changed_();
}

void Reply::on_finished(const Finish& finish, Nanos at) {
  ended_by_engine_ = true;
  if (ended_) return;
  if (finish.reason != FinishReason::stop && finish.reason != FinishReason::length) {
    interrupt(finish);
    return;
  }
  metrics_.request_done(at - setup_.submitted, finish);
  close(finish);
}

void Reply::on_time(Nanos now) {
  if (ended_) return;
  switch (patience_.due(now)) {
    case Patience::Due::nothing:
      return;
    case Patience::Due::cut_off:
      metrics_.cut_off();
      return cut_off();
    case Patience::Due::keep_alive:
      if (!begun_) return;
      break;
  }
  send_head();
  body_ += sse_ ? ": keep-alive\n\n" : "\n";
  patience_.said(now);
  metrics_.keep_alive_sent();
  changed_();
}

void Reply::send_head() {
  if (status_) return;
  status_ = 200;
  chunked_ = setup_.framing.http11;
  if (!chunked_) setup_.framing.keep_alive = false;
  head_ = sse_ ? stream_head(setup_.framing, setup_.date)
               : stream_head(setup_.framing, setup_.date, "application/json");
}

void Reply::open_stream() {
  if (std::exchange(opened_, true)) return;
  send_head();
  sse_->open(body_);
}

// An answer, as far as it has come.
void Reply::close(const Finish& finish) {
  write_held();
  ended_ = true;
  if (sse_) {
    open_stream();
    sse_->close(body_, finish);
  } else {
    const std::string answer = render_answer(setup_.identity, text_, finish);
    if (!status_) {
      status_ = 200;
      head_ = response_head(200, "application/json", answer.size(), setup_.framing, setup_.date);
    }
    body_ += answer;
  }
  changed_();
}

// Half of a character that the last token has left.
void Reply::write_held() {
  TokenWriter* writer = setup_.identity.writer.get();
  if (writer == nullptr || !writer->holds()) return;
  if (sse_) {
    open_stream();
    sse_->token(body_, kNoToken);
  } else {
    writer->end(text_.answer);
  }
}

bool Reply::can_interrupt() const {
  const ApiKind kind = setup_.identity.kind;
  return !manners().interrupted.empty() && output_tokens_ > 0 &&
         (kind == ApiKind::chat || kind == ApiKind::completion);
}

void Reply::interrupt(Finish finish) {
  if (ended_) return;
  if (!can_interrupt()) return fail(finish_error(finish));
  finish.prompt_tokens = setup_.identity.prompt_tokens;
  finish.output_tokens = output_tokens_;
  close(finish);
}

// A generation that has begun is interrupted; what still waits sees its connection close.
void Reply::cut_off() {
  if (!can_interrupt()) return drop();
  Finish finish;
  finish.reason = FinishReason::aborted;
  interrupt(std::move(finish));
}

void Reply::fail(const ApiError& error) {
  if (ended_) return;
  ended_ = true;
  const ApiKind kind = setup_.identity.kind;
  if (!status_) {
    status_ = http_status(kind, error, manners());
    body_ = render_error(kind, error, manners());
    head_ = response_head(*status_, "application/json", body_.size(), setup_.framing, setup_.date);
  } else if (sse_) {  // a stream that has begun
    sse_->fail(body_, error);
    setup_.framing.keep_alive = false;
  } else {  // a whole answer, of which blank lines have gone out
    body_ += render_error(kind, error, manners());
    setup_.framing.keep_alive = false;
  }
  changed_();
}

void Reply::drop() {
  if (ended_) return;
  ended_ = true;
  dropped_ = true;
  setup_.framing.keep_alive = false;
  changed_();
}

void Reply::truncate() {
  if (ended_) return;
  if (sse_) {
    open_stream();
  } else {
    send_head();
    const std::string answer = render_answer(setup_.identity, text_, Finish{});
    body_ += answer.substr(0, answer.size() / 2);
  }
  ended_ = true;
  changed_();
}

void Reply::flood() {
  if (ended_) return;
  constexpr std::size_t packet = 4096;
  const std::string_view line = sse_ ? ": keep-alive\n\n" : "\n";
  send_head();
  while (body_.size() < packet) body_ += line;
}

void Reply::take(std::string& out) {
  out += head_;
  head_.clear();
  if (chunked_) {
    append_chunk(out, body_);
    if (ended_ && !tail_taken_ && !dropped_) out += last_chunk;
  } else {
    out += body_;
  }
  body_.clear();
  tail_taken_ = ended_;
}

ApiError finish_error(const Finish& finish) {
  switch (finish.reason) {
    case FinishReason::queue_timeout:
      return {.status = 503,
              .message = finish.message.empty()
                             ? "the request waited in the queue for longer than the server allows"
                             : finish.message,
              .type = "server_error",
              .code = "queue_timeout"};
    case FinishReason::expired:
      return {.status = 504,
              .message = finish.message.empty() ? "the request's time was over before its answer was whole"
                                                : finish.message,
              .type = "server_error",
              .code = "expired"};
    case FinishReason::aborted:
      return {.status = 503,
              .message = finish.message.empty() ? "the server is shutting down" : finish.message,
              .type = "server_error",
              .code = "shutting_down"};
    default:
      return {
          .status = 500,
          .message = finish.message.empty() ? "the engine failed" : "the engine failed: " + finish.message,
          .type = "server_error",
          .code = "engine_failed"};
  }
}

ApiError submit_error(const Submitted& submitted, ApiKind kind) {
  const auto said = [&](const char* otherwise) {
    return submitted.message.empty() ? otherwise : submitted.message;
  };
  switch (submitted.status) {
    case SubmitStatus::too_long:
      return {.status = 400,
              .message = said("the prompt is longer than the model's context"),
              .param = prompt_field(kind),
              .code = "context_length_exceeded"};
    case SubmitStatus::queue_full:
      return {.status = 503,
              .message = said("the queue is full"),
              .type = "server_error",
              .code = "queue_full",
              .retry_after = submitted.retry_after};
    case SubmitStatus::rate_limited:
      return {.status = 429,
              .message = said("the account's limit is reached"),
              .type = "rate_limit_error",
              .code = "rate_limited",
              .retry_after = submitted.retry_after};
    case SubmitStatus::overloaded:
      return {.status = 503,
              .message = said("the server is overloaded"),
              .type = "server_error",
              .code = "overloaded",
              .retry_after = submitted.retry_after};
    case SubmitStatus::shutting_down:
    case SubmitStatus::accepted:
      break;
  }
  return {.status = 503,
          .message = said("the server is shutting down"),
          .type = "server_error",
          .code = "shutting_down"};
}

}  // namespace dsbench::engine::server
