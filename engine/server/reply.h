#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/server/http_head.h"
#include "engine/server/metrics.h"
#include "engine/server/rendering.h"
#include "engine/server/stream_renderer.h"
#include "engine/server/token_bridge.h"

namespace dsbench::engine::server {

// One generation's way from engine events to the bytes of an HTTP response. Knows no socket.
//
// The head of a response is decided late: a stream's 200 goes out with its first token, a whole answer's when
// it has ended. Until then a refusal, a queue timeout or a failure is still an HTTP status; after it, an
// error event that ends the stream without [DONE].
class Reply final : public StreamConsumer {
 public:
  struct Setup {
    AnswerIdentity identity;
    bool stream = false;
    HttpFraming framing;
    std::string date;    // for the head
    Nanos submitted{0};  // when the engine got the request
  };
  Reply(Setup setup, ServerMetrics& metrics);
  // `changed` is called after every event that leaves something to take().
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }
  // `flush` is called when a batch of events is over and has left something to take().
  void on_flush(std::function<void()> flush) { flush_ = std::move(flush); }

  void on_started(Nanos at) override;
  void on_token(TokenId token, Nanos at) override;
  void on_finished(const Finish& finish, Nanos at) override;
  void on_drained() override {
    if (ready()) flush_();
  }
  // Ends the reply from our side; a no-op when it has ended.
  void fail(const ApiError& error);

  // Bytes are waiting to be sent.
  [[nodiscard]] bool ready() const { return !head_.empty() || !body_.empty() || (ended_ && !tail_taken_); }
  // How many.
  [[nodiscard]] std::size_t buffered() const { return head_.size() + body_.size(); }
  // Appends them to `out`.
  void take(std::string& out);
  // Nothing will follow what was taken.
  [[nodiscard]] bool done() const { return ended_ && tail_taken_; }
  // There is nothing left to cancel.
  [[nodiscard]] bool ended_by_engine() const { return ended_by_engine_; }
  // Of the response; nothing before it is decided.
  [[nodiscard]] std::optional<int> status() const { return status_; }
  // Whether the connection can serve another request after this one.
  [[nodiscard]] bool keep_alive() const { return setup_.framing.keep_alive; }

 private:
  void open_stream();
  void write_held();
  [[nodiscard]] bool chunked() const { return setup_.stream && status_ == 200 && setup_.framing.http11; }

  Setup setup_;
  ServerMetrics& metrics_;
  std::function<void()> changed_ = [] {};
  std::function<void()> flush_ = [] {};
  std::unique_ptr<StreamRenderer> sse_;  // of a stream
  std::string head_;
  std::string body_;  // of a stream: events not taken yet; of a whole answer: its JSON, when it has ended
  std::string text_;  // of a whole answer: the tokens' text so far
  std::optional<Nanos> last_token_;
  std::optional<int> status_;
  bool ended_ = false;
  bool ended_by_engine_ = false;
  bool tail_taken_ = false;
};

// A finish that is no answer, as the client is told: 503 for a queue timeout and a shutdown, 500 for a
// failure.
[[nodiscard]] ApiError finish_error(const Finish& finish);
// A submission that was not accepted: 503, or 400 for a prompt that is too long.
[[nodiscard]] ApiError submit_error(const Submitted& submitted, ApiKind kind);

}  // namespace dsbench::engine::server
