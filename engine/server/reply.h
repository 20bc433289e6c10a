#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/server/http_head.h"
#include "engine/server/metrics.h"
#include "engine/server/patience.h"
#include "engine/server/rendering.h"
#include "engine/server/stream_renderer.h"
#include "engine/server/token_bridge.h"

namespace dsbench::engine::server {

// One generation's way from engine events to the bytes of an HTTP response. Knows no socket.
//
// The head of a response is decided late: a stream's 200 goes out with its first token, a whole answer's when
// it has ended, or earlier where the manners say so. Until then a refusal, a queue timeout or a failure is
// still an HTTP status; after it, an error event that ends the stream without [DONE], or, where the manners
// have one, the finish_reason of an interrupted generation.
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
  // The request is with the engine: the moment for a head that goes out early. Before this, a client that
  // waits hears nothing.
  void begin();
  // Looks at the clock: keep-alives and cut-offs of the manners.
  void on_time(Nanos now);
  // Sends the head of a 200 now, if none has been sent.
  void send_head();
  // The next four end the reply from our side; no-ops when it has ended.
  void fail(const ApiError& error);
  // The server ends it for a reason that `finish` holds; its counts are filled in.
  void interrupt(Finish finish);
  // The connection closes after what there is, which may be nothing.
  void drop();
  // The body ends in good order, but too early: a stream without finish_reason and [DONE], a whole answer in
  // the middle of its JSON.
  void truncate();
  // A packet full of comments or blank lines.
  void flood();

  // Bytes are waiting to be sent.
  [[nodiscard]] bool ready() const { return !head_.empty() || !body_.empty() || (ended_ && !tail_taken_); }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool is_stream() const { return sse_ != nullptr; }
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
  void close(const Finish& finish);
  void cut_off();
  [[nodiscard]] const Manners& manners() const { return *setup_.identity.manners; }
  [[nodiscard]] bool can_interrupt() const;

  Setup setup_;
  ServerMetrics& metrics_;
  std::function<void()> changed_ = [] {};
  std::function<void()> flush_ = [] {};
  std::unique_ptr<StreamRenderer> sse_;  // of a stream
  std::string head_;
  std::string body_;  // of a stream: events not taken yet; of a whole answer: its JSON, when it has ended
  AnswerText text_;   // of a whole answer: the tokens' text so far
  Patience patience_;
  std::int32_t output_tokens_ = 0;
  bool begun_ = false;
  bool opened_ = false;   // a stream's first event is out
  bool chunked_ = false;  // the head has promised chunks
  bool dropped_ = false;
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
