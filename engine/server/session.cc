#include "engine/server/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <exception>
#include <utility>

#include "core/text.h"
#include "engine/server/admin.h"
#include "engine/server/local_peer.h"
#include "engine/server/rendering.h"
#include "engine/server/routes.h"

namespace dsbench::engine::server {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

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
  if (parser_->get().method() == http::verb::post) number_ = state_.requests++;
  enter(Phase::reading, state_.config.body_timeout);
  if (const error_code error = co_await read_body()) co_return co_await refuse_unreadable(error);
  const auto& message = parser_->get();
  framing_ = {.http11 = message.version() >= 11, .keep_alive = message.keep_alive()};
  method_ = method_word(message.method());
  co_return true;
}

Task<error_code> Session::read_body() {
  if (parser_->get().method() == http::verb::post) {
    FaultBoard& board = state_.faults.board();
    if (const auto rate = board.read_rate(number_, state_.clock.now())) {
      board.count(FaultKind::slow_reader);
      co_return co_await read_body_slowly(*rate);
    }
  }
  auto [error, n] = co_await http::async_read(socket_, buffer_, *parser_, as_values);
  co_return error;
}

// A fault: a small window, and a pause after every piece.
Task<error_code> Session::read_body_slowly(std::int64_t bytes_per_second) {
  error_code error;
  socket_.set_option(asio::socket_base::receive_buffer_size{4096}, error);
  const std::size_t most = buffer_.max_size();
  const auto piece = static_cast<std::size_t>(std::clamp<std::int64_t>(bytes_per_second / 10, 64, 65536));
  Timer timer{socket_.get_executor()};
  error = {};
  while (!error && !parser_->is_done()) {
    buffer_.max_size(std::max(buffer_.size(), piece));
    auto [failed, n] = co_await http::async_read_some(socket_, buffer_, *parser_, as_values);
    error = failed;
    timer.expires_after(Nanos{static_cast<std::int64_t>(n) * 1'000'000'000 / bytes_per_second});
    co_await timer.async_wait(as_values);
  }
  buffer_.max_size(most);
  co_return error;
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
  if (route.endpoint == Endpoint::none || (route.endpoint == Endpoint::faults && !state_.config.admin)) {
    const ApiError refusal = no_such_path(target);
    co_return co_await refuse(refusal);
  }
  if (route.method.find(method_) == std::string_view::npos) {
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
    case Endpoint::faults:
      co_return co_await serve_faults(target);
    case Endpoint::metrics:
      state_.metrics.show_faults(state_.faults.board(), state_.clock.now());
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

Task<bool> Session::serve_faults(std::string_view target) {
  error_code error;
  const auto peer = socket_.remote_endpoint(error).address();
  if (error || !is_local_peer(peer)) {
    const ApiError refusal{.status = 403,
                           .message = "faults are made from the server's own machine only",
                           .code = "not_from_here"};
    co_return co_await refuse(refusal);
  }
  const auto body = admin_faults(method_, target, parser_->get().body(), state_.faults, state_.clock.now());
  if (!body) co_return co_await refuse(body.error());
  co_return co_await send(200, "application/json", *body);
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
  const Manners& manners = state_.config.manners;
  const std::string body = render_error(api_, error, manners);
  std::string lines{extra};
  if (error.retry_after && manners.sends_retry_after) {
    const auto seconds = (error.retry_after->count() + 999'999'999) / 1'000'000'000;
    lines += fmt::format("Retry-After: {}\r\n", seconds);
  }
  co_return co_await send(http_status(api_, error, manners), "application/json", body, lines);
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

void Session::sweep(Nanos now) {
  if (reply_ != nullptr) {
    reply_->on_time(now);
    if (reply_->ready()) flush(*reply_);
  }
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
