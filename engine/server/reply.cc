#include "engine/server/reply.h"

#include <utility>

namespace dsbench::engine::server {

Reply::Reply(Setup setup, ServerMetrics& metrics) : setup_{std::move(setup)}, metrics_{metrics} {
  if (setup_.stream) {
    sse_ = make_stream_renderer(setup_.identity);
    if (!setup_.framing.http11) setup_.framing.keep_alive = false;  // only the connection's end can end it
  }
}

void Reply::on_started(Nanos at) {
  metrics_.queued_for(at - setup_.submitted);
}

void Reply::on_token(TokenId token, Nanos at) {
  if (ended_) return;
  if (last_token_) {
    metrics_.token_gap(at - *last_token_);
  } else {
    metrics_.first_token_after(at - setup_.submitted);
  }
  last_token_ = at;
  if (!sse_) {
    append_plain_token(text_, token, setup_.identity.writer.get());
    return;
  }
  open_stream();
  sse_->token(body_, token);
  changed_();
}

void Reply::on_finished(const Finish& finish, Nanos at) {
  ended_by_engine_ = true;
  if (ended_) return;
  if (finish.reason != FinishReason::stop && finish.reason != FinishReason::length) {
    fail(finish_error(finish));
    return;
  }
  ended_ = true;
  metrics_.request_done(at - setup_.submitted, finish);
  write_held();
  if (sse_) {
    open_stream();
    sse_->close(body_, finish);
  } else {
    status_ = 200;
    body_ = render_answer(setup_.identity, text_, finish);
    head_ = response_head(200, "application/json", body_.size(), setup_.framing, setup_.date);
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
    writer->end(text_);
  }
}

void Reply::fail(const ApiError& error) {
  if (ended_) return;
  ended_ = true;
  if (status_) {  // a stream that has begun
    sse_->fail(body_, error);
    setup_.framing.keep_alive = false;
  } else {
    status_ = http_status(setup_.identity.kind, error);
    body_ = render_error(setup_.identity.kind, error);
    head_ = response_head(*status_, "application/json", body_.size(), setup_.framing, setup_.date);
  }
  changed_();
}

void Reply::open_stream() {
  if (status_) return;
  status_ = 200;
  head_ = stream_head(setup_.framing, setup_.date);
  sse_->open(body_);
}

void Reply::take(std::string& out) {
  out += head_;
  head_.clear();
  if (chunked()) {
    append_chunk(out, body_);
    if (ended_ && !tail_taken_) out += last_chunk;
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
