#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "engine/server/api_request.h"
#include "engine/server/fault_director.h"
#include "engine/server/http_head.h"
#include "engine/server/metrics.h"
#include "engine/server/net.h"
#include "engine/server/reply.h"
#include "engine/server/server.h"
#include "engine/server/token_bridge.h"

namespace dsbench::engine::server {

class Session;

// What the sessions share. I/O thread only, but for the bridge.
struct ServerState {
  Engine& engine;
  Clock& clock;
  const ServerConfig& config;
  ApiModel model;
  ServerMetrics& metrics;
  FaultDirector& faults;
  std::shared_ptr<TokenBridge> bridge;
  std::int64_t created = 0;    // seconds since the Unix epoch: of the model, and part of every answer's id
  std::uint64_t requests = 0;  // POSTs so far: what faults draw by
  bool draining = false;
  std::unordered_set<Session*> sessions;
  std::function<void()> session_closed;  // after a session has left `sessions`
  std::function<void()> engine_changed;  // after a submit() or a cancel()
};

// One connection: reads requests one after another and answers them. At every point there is either a
// coroutine that waits for its socket, or one that waits for its engine request with a read pending beside
// it, which notices a client that leaves.
class Session final : public std::enable_shared_from_this<Session> {
 public:
  // Runs until the connection closes; registers itself in `state` meanwhile.
  static void start(Socket socket, ServerState& state);
  Session(Socket socket, ServerState& state);

  // Acts on a deadline that has passed. Called for all sessions by one timer: a deadline then costs a
  // comparison, where a timer of its own would cost a heap operation for every read and write.
  void sweep(Nanos now);
  // The server is stopping: an idle connection closes, the others do after their response.
  void begin_drain();
  // Its time is over: a generation is cancelled and its client told so; anything else closes.
  void abort();
  // Closes the socket under whatever is going on.
  void kill();

 private:
  enum class Phase : std::uint8_t { idle, reading, generating, writing, lingering };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // Coroutines. None may be an endless loop with co_return inside: GCC 12 then puts the promise at another
  // offset of the frame than the one it resumes with, and the program crashes. Loop on a condition and
  // co_return after it.
  Task<void> run();
  Task<bool> read_request();
  Task<boost::system::error_code> read_body();
  Task<boost::system::error_code> read_body_slowly(std::int64_t bytes_per_second);
  Task<bool> refuse_unreadable(boost::system::error_code error);
  Task<bool> respond();
  Task<bool> generate(ApiKind kind);
  Task<bool> serve_faults(std::string_view target);
  Task<bool> pump(Reply& reply, bool flood);
  Task<bool> send(int status, std::string_view content_type, std::string_view body,
                  std::string_view extra = "");
  Task<bool> refuse(const ApiError& error, std::string_view extra = "");
  Task<bool> write_out();
  Task<void> linger();

  [[nodiscard]] std::unique_ptr<Reply> make_reply(const ApiRequest& request, std::int32_t reasoning_tokens,
                                                  const Submitted& submitted, Nanos at);
  static void abort_reply(Reply& reply);
  void reply_changed(const Reply& reply);
  void flush(Reply& reply);
  void watch_peer();
  Task<void> stop_watching();
  void enter(Phase phase, Nanos limit);
  void enter(Phase phase);
  [[nodiscard]] std::string date() const;

  ServerState& state_;
  Socket socket_;
  boost::beast::flat_buffer buffer_;  // what has been read and not parsed
  std::optional<Parser> parser_;
  Wakeup wakeup_;
  std::string out_;

  // Of the request at hand.
  HttpFraming framing_;
  std::string_view handler_ = "none";
  std::string_view method_ = "other";
  ApiKind api_ = ApiKind::chat;  // whose shape refusals have
  std::uint64_t number_ = 0;     // of a POST
  Reply* reply_ = nullptr;       // while generating

  Phase phase_ = Phase::idle;
  Nanos deadline_ = Nanos::max();
  bool first_request_ = true;
  bool timed_out_ = false;     // while reading
  bool unread_input_ = false;  // closing now would reset the connection before the client has read our answer
  bool killed_ = false;
  bool aborting_ = false;
  bool peer_gone_ = false;
  bool watching_ = false;
  asio::cancellation_signal watch_stop_;
};

}  // namespace dsbench::engine::server
