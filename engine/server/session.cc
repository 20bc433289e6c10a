#include "engine/server/session.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <exception>
#include <utility>

#include "core/text.h"
#include "engine/server/rendering.h"
#include "engine/server/routes.h"

namespace dsbench::engine::server {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kReadAhead = 64u << 10;  // of a client that sends while it is being answered
constexpr Nanos kLinger = std::chrono::seconds{2};

std::string_view method_word(http::verb verb) {
  switch (verb) {
    case http::verb::get:
      return "GET";
    case http::verb::post:
      return "POST";
    case http::verb::head:
      return "HEAD";
    case http::verb::put:
      return "PUT";
    case http::verb::delete_:
      return "DELETE";
    case http::verb::options:
      return "OPTIONS";
    case http::verb::patch:
      return "PATCH";
    default:
      return "other";  // a client's invention must not become a metric label
  }
}

ApiKind api_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::completions:
      return ApiKind::completion;
    case Endpoint::messages:
      return ApiKind::messages;
    case Endpoint::responses:
      return ApiKind::responses;
    default:
      return ApiKind::chat;
  }
}

// As each API's ids begin.
std::string_view id_prefix(ApiKind kind) {
  switch (kind) {
    case ApiKind::completion:
      return "cmpl-";
    case ApiKind::messages:
      return "msg_";
    case ApiKind::responses:
      return "resp_";
    case ApiKind::chat:
      break;
  }
  return "chatcmpl-";
}

ApiError no_such_path(std::string_view target) {
  return {.status = 404,
          .message = fmt::format("there is nothing at '{}'; this server has {}", target.substr(0, 100),
                                 known_paths()),
          .code = "not_found"};
}

ApiError wrong_method(const Route& route, std::string_view method) {
  return {.status = 405,
          .message = fmt::format("{} takes {}; found {}", route.handler, route.method, method),
          .code = "method_not_allowed"};
}

// Events must not reach a Reply that has left its coroutine's frame, whatever way it left.
class Attachment {
 public:
  Attachment(std::shared_ptr<TokenStream> stream, Reply& reply) : stream_{std::move(stream)} {
    stream_->attach(&reply);
  }
  ~Attachment() { stream_->detach(); }
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

 private:
  std::shared_ptr<TokenStream> stream_;
};

}  // namespace

Session::Session(Socket socket, ServerState& state)
    : state_{state}, socket_{std::move(socket)}, wakeup_{socket_.get_executor()} {}

void Session::start(Socket socket, ServerState& state) {
  auto session = std::make_shared<Session>(std::move(socket), state);
  state.sessions.insert(session.get());
  const auto executor = session->socket_.get_executor();
  Session& s = *session;
  // An exception here can only be memory that ran out: that connection ends, the others go on.
  asio::co_spawn(executor, s.run(), [session = std::move(session)](const std::exception_ptr&) {
    session->kill();
    ServerState& shared = session->state_;
    shared.sessions.erase(session.get());
    shared.session_closed();
  });
}

Task<void> Session::run() {
  while (!killed_ && co_await read_request()) {
    const bool keep = co_await respond();
    parser_.reset();
    if (!keep) break;
  }
  if (unread_input_ && !killed_) co_await linger();
}

Task<bool> Session::read_request() {
  framing_ = HttpFraming{.http11 = true, .keep_alive = false};
  handler_ = "none";
  method_ = "other";
  api_ = ApiKind::chat;
  timed_out_ = false;
  if (buffer_.size() == 0) {
    if (state_.draining) co_return false;
    enter(Phase::idle, first_request_ ? state_.config.header_timeout : state_.config.idle_timeout);
    auto [error, n] = co_await socket_.async_read_some(buffer_.prepare(4096), as_values);
    if (error) co_return false;
    buffer_.commit(n);
  }
  first_request_ = false;

  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(state_.config.max_header_bytes));
  parser_->body_limit(state_.config.max_body_bytes);
  enter(Phase::reading, state_.config.header_timeout);
  {
    auto [error, n] = co_await http::async_read_header(socket_, buffer_, *parser_, as_values);
    if (error) co_return co_await refuse_unreadable(error);
  }
  if (boost::beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
    out_ = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!co_await write_out()) co_return false;
  }
  enter(Phase::reading, state_.config.body_timeout);
  {
    auto [error, n] = co_await http::async_read(socket_, buffer_, *parser_, as_values);
    if (error) co_return co_await refuse_unreadable(error);
  }
  const auto& message = parser_->get();
  framing_ = {.http11 = message.version() >= 11, .keep_alive = message.keep_alive()};
  method_ = method_word(message.method());
  co_return true;
}

// Answers what can be answered; the connection ends either way.
Task<bool> Session::refuse_unreadable(error_code error) {
  unread_input_ = true;
  ApiError refusal;
  if (timed_out_) {
    refusal.status = 408;
    refusal.message = parser_->is_header_done()
                          ? fmt::format("the request's body did not arrive whole within {}",
                                        format_duration(state_.config.body_timeout))
                          : fmt::format("the request's header did not arrive whole within {}",
                                        format_duration(state_.config.header_timeout));
  } else if (error == http::error::body_limit) {
    refusal.status = 413;
    refusal.message =
        fmt::format("the request's body is larger than {}, the most that this server accepts",
                    format_bytes(Bytes{static_cast<std::int64_t>(state_.config.max_body_bytes)}));
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    refusal.status = 431;
    refusal.message =
        fmt::format("the request's header is larger than {}, the most that this server accepts",
                    format_bytes(Bytes{static_cast<std::int64_t>(state_.config.max_header_bytes)}));
  } else if (error == http::error::end_of_stream || error == http::error::partial_message ||
             error.category() != http::make_error_code(http::error::end_of_stream).category()) {
    unread_input_ = false;
    co_return false;  // the client has left
  } else {
    refusal.message = fmt::format("the request is not valid HTTP/1.1: {}", error.message());
  }
  co_await refuse(refusal);
  co_return false;
}

Task<bool> Session::respond() {
  const auto& message = parser_->get();
  const std::string_view target{message.target().data(), message.target().size()};
  const Route route = find_route(target);
  handler_ = route.handler;
  api_ = api_of(route.endpoint);
  if (route.endpoint == Endpoint::none) {
    const ApiError refusal = no_such_path(target);
    co_return co_await refuse(refusal);
  }
  if (method_ != route.method) {
    const ApiError refusal = wrong_method(route, method_);
    const std::string allow = fmt::format("Allow: {}\r\n", route.method);
    co_return co_await refuse(refusal, allow);
  }
  std::string body;
  switch (route.endpoint) {
    case Endpoint::chat_completions:
    case Endpoint::completions:
    case Endpoint::messages:
    case Endpoint::responses:
      co_return co_await generate(api_);
    case Endpoint::health:
      co_return co_await send(state_.draining ? 503 : 200, "", "");
    case Endpoint::metrics:
      body = state_.metrics.render(state_.engine.stats(), static_cast<std::int64_t>(state_.sessions.size()));
      co_return co_await send(200, "text/plain; version=0.0.4; charset=utf-8", body);
    case Endpoint::models:
      body = render_models(state_.model, state_.created);
      break;
    case Endpoint::model:
      if (route.argument != state_.model.name) {
        const ApiError refusal = unknown_model(route.argument, state_.model);
        co_return co_await refuse(refusal);
      }
      body = render_model(state_.model, state_.created);
      break;
    case Endpoint::tokenize: {
      const auto tokens = parse_tokenize(message.body(), state_.model);
      if (!tokens) co_return co_await refuse(tokens.error());
      body = render_tokenized(*tokens, state_.model);
      break;
    }
    case Endpoint::none:
      break;
  }
  co_return co_await send(200, "application/json", body);
}

Task<bool> Session::generate(ApiKind kind) {
  auto request = parse_generate(kind, parser_->get().body(), state_.model);
  if (!request) co_return co_await refuse(request.error());
  parser_.reset();  // the body may be megabytes and the answer minutes away

  auto stream = std::make_shared<TokenStream>(state_.bridge);
  const Nanos submitted_at = state_.clock.now();
  const Submitted submitted = state_.engine.submit(std::move(request->generate), stream);
  if (submitted.status != SubmitStatus::accepted) {
    const ApiError refusal = submit_error(submitted, kind);
    co_return co_await refuse(refusal);
  }
  state_.engine_changed();

  framing_.keep_alive = framing_.keep_alive && !state_.draining;
  // Events can only reach the reply after this coroutine has yielded, so none is missed before it is
  // attached.
  const std::unique_ptr<Reply> owned = make_reply(*request, submitted, submitted_at);
  Reply& reply = *owned;
  bool good = false;
  {
    const Attachment attachment{std::move(stream), reply};
    watch_peer();
    good = co_await pump(reply);
  }
  if (!reply.ended_by_engine()) {
    state_.engine.cancel(submitted.id);
    state_.engine_changed();
  }
  if (const auto status = reply.status()) state_.metrics.responded(handler_, method_, *status);
  co_await stop_watching();
  co_return good && !peer_gone_ && reply.keep_alive();
}

std::unique_ptr<Reply> Session::make_reply(const ApiRequest& request, const Submitted& submitted, Nanos at) {
  Reply::Setup setup;
  setup.identity.kind = request.kind;
  setup.identity.id = fmt::format("{}{:x}-{}", id_prefix(request.kind), state_.created, submitted.id);
  setup.identity.created = wall_clock_now() / std::chrono::seconds{1};
  setup.identity.model = state_.model.name;
  setup.identity.include_usage = request.include_usage;
  setup.identity.prompt_tokens = request.prompt_tokens;
  if (state_.model.text != nullptr) setup.identity.writer = std::make_shared<TokenWriter>(state_.model.text);
  setup.stream = request.stream;
  setup.framing = framing_;
  setup.date = date();
  setup.submitted = at;
  auto reply = std::make_unique<Reply>(std::move(setup), state_.metrics);
  reply->on_change([this, changed = reply.get()] { reply_changed(*changed); });
  reply->on_flush([this, changed = reply.get()] { flush(*changed); });
  return reply;
}

void Session::abort_reply(Reply& reply) {
  Finish aborted;
  aborted.reason = FinishReason::aborted;
  reply.fail(finish_error(aborted));
}

// Called in the middle of the bridge's drain(): the sending waits for flush(), when all that has come is in
// the reply.
void Session::reply_changed(const Reply& reply) {
  if (phase_ == Phase::writing && reply.buffered() > state_.config.max_buffered_bytes && !killed_) {
    state_.metrics.slow_reader_dropped();
    kill();
  }
}

// Straight into the socket, where it has room, while the coroutine sleeps on: waking it and Asio's write
// would cost as much again as the kernel's send. What does not fit, an error and the end are the coroutine's.
void Session::flush(Reply& reply) {
  if (phase_ != Phase::generating || !out_.empty() || aborting_ || peer_gone_ || killed_) {
    wakeup_.notify();
    return;
  }
  reply.take(out_);
  const ssize_t sent = ::send(socket_.native_handle(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent > 0) out_.erase(0, static_cast<std::size_t>(sent));
  if (!out_.empty() || reply.done()) wakeup_.notify();
}

// Sends what the reply has, as it comes, until its end. False when the client is not there to take it.
Task<bool> Session::pump(Reply& reply) {
  bool good = true;
  enter(Phase::generating);
  while (good && !(reply.done() && out_.empty())) {
    if (reply.ready() || !out_.empty()) {
      reply.take(out_);
      good = co_await write_out();
      enter(Phase::generating);
    } else {
      co_await wakeup_.wait();
    }
    good = good && !peer_gone_ && !killed_;
    if (good && aborting_) abort_reply(reply);
  }
  co_return good;
}

Task<bool> Session::send(int status, std::string_view content_type, std::string_view body,
                         std::string_view extra) {
  framing_.keep_alive = framing_.keep_alive && !state_.draining;
  out_ = response_head(status, content_type, body.size(), framing_, date(), extra);
  out_ += body;
  state_.metrics.responded(handler_, method_, status);
  const bool written = co_await write_out();
  co_return written&& framing_.keep_alive;
}

Task<bool> Session::refuse(const ApiError& error, std::string_view extra) {
  const std::string body = render_error(api_, error);
  std::string lines{extra};
  if (error.retry_after) {
    const auto seconds = (error.retry_after->count() + 999'999'999) / 1'000'000'000;
    lines += fmt::format("Retry-After: {}\r\n", seconds);
  }
  co_return co_await send(http_status(api_, error), "application/json", body, lines);
}

Task<bool> Session::write_out() {
  enter(Phase::writing, state_.config.write_timeout);
  auto [error, n] = co_await asio::async_write(socket_, asio::buffer(out_), as_values);
  out_.clear();
  co_return !error && !killed_;
}

// We have answered without having read everything. Closing now would make the kernel send a reset, which can
// overtake the answer: say that we are done, then read until the client has left too, for a while.
Task<void> Session::linger() {
  enter(Phase::lingering, kLinger);
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  std::array<char, 4096> scrap;
  bool open = true;
  while (open) {
    auto [error, n] = co_await socket_.async_read_some(asio::buffer(scrap), as_values);
    open = !error;
  }
}

// Reads ahead into buffer_, where the next request would stand; what matters is the end of the stream.
void Session::watch_peer() {
  watching_ = true;
  peer_gone_ = false;
  socket_.async_read_some(
      buffer_.prepare(4096),
      asio::bind_cancellation_slot(
          watch_stop_.slot(), [self = shared_from_this()](error_code error, std::size_t n) {
            self->watching_ = false;
            if (error) {
              if (error != asio::error::operation_aborted) self->peer_gone_ = true;
            } else {
              self->buffer_.commit(n);
              if (self->buffer_.size() > kReadAhead) {
                self->peer_gone_ = true;  // or as good as: it is not a client of ours
              } else if (self->phase_ != Phase::idle) {
                self->watch_peer();
              }
            }
            self->wakeup_.notify();
          }));
}

Task<void> Session::stop_watching() {
  enter(Phase::idle);  // a read that has completed already starts no other
  watch_stop_.emit(asio::cancellation_type::terminal);
  while (watching_) co_await wakeup_.wait();
}

void Session::sweep(Nanos now) {
  if (now < deadline_) return;
  if (phase_ == Phase::reading) {
    timed_out_ = true;
    error_code ignored;
    socket_.cancel(ignored);
  } else {
    kill();
  }
}

void Session::begin_drain() {
  if (phase_ == Phase::idle) kill();
}

void Session::abort() {
  aborting_ = true;
  if (phase_ == Phase::generating || phase_ == Phase::writing) {
    wakeup_.notify();
  } else {
    kill();
  }
}

void Session::kill() {
  killed_ = true;
  error_code ignored;
  socket_.close(ignored);
  wakeup_.notify();
}

void Session::enter(Phase phase, Nanos limit) {
  phase_ = phase;
  deadline_ = state_.clock.now() + limit;
}

void Session::enter(Phase phase) {
  phase_ = phase;
  deadline_ = Nanos::max();
}

std::string Session::date() const {
  return http_date(wall_clock_now());
}

}  // namespace dsbench::engine::server
