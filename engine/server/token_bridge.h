#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/clock.h"
#include "engine/engine.h"

// From the engine's thread to the I/O thread. The engine's side takes a lock, appends and leaves; the first
// event after a drain() wakes the I/O thread and the others ride along, so that a step of a thousand
// sequences costs about one wake-up instead of a thousand.
namespace dsbench::engine::server {

// What hears of a stream's events, on the I/O thread, in order. `at` was stamped on the engine's thread.
class StreamConsumer {
 public:
  virtual ~StreamConsumer() = default;
  virtual void on_started(Nanos at) = 0;
  virtual void on_token(TokenId token, Nanos at) = 0;
  virtual void on_finished(const Finish& finish, Nanos at) = 0;
  // After the last of the events that came together: the moment to send what they left.
  virtual void on_drained() {}
};

class TokenBridge;

// One request's listener. The engine may hold it longer than the server lives.
class TokenStream final : public RequestListener, public std::enable_shared_from_this<TokenStream> {
 public:
  explicit TokenStream(std::shared_ptr<TokenBridge> bridge) : bridge_{std::move(bridge)} {}

  // Engine's thread.
  void started() override;
  void generated(std::span<const TokenId> tokens) override;
  void finished(const Finish& finish) override;

  // I/O thread. Without a consumer events are dropped.
  void attach(StreamConsumer* consumer) { consumer_ = consumer; }
  void detach() { consumer_ = nullptr; }

 private:
  friend class TokenBridge;
  std::shared_ptr<TokenBridge> bridge_;
  StreamConsumer* consumer_ = nullptr;  // touched by the I/O thread only
  bool touched_ = false;                // heard of something in the drain() at hand; I/O thread only
  Finish finish_;                       // written before its event is pushed, read after it is drained
};

class TokenBridge {
 public:
  // `wake` is called under the bridge's lock, on the engine's thread: it must only schedule a call of
  // drain().
  TokenBridge(Clock& clock, std::function<void()> wake) : clock_{clock}, wake_{std::move(wake)} {}

  // I/O thread: hands everything that has come to its consumers.
  void drain();
  // I/O thread: a drain() is going to be called, so that nobody need wake it for what comes until then.
  void hold();
  // No wake-up after this; what comes is dropped.
  void close();

 private:
  friend class TokenStream;
  enum class Kind : std::uint8_t { started, token, finished };
  // The engine holds its listener until it has told it that it is finished, so the last event of a stream,
  // which owns it, keeps it for those before: no count is touched for a token.
  struct Event {
    TokenStream* stream = nullptr;
    Nanos at{0};
    TokenId token = 0;
    Kind kind = Kind::token;
  };
  void push(TokenStream& stream, Kind kind, std::span<const TokenId> tokens,
            std::shared_ptr<TokenStream> owner = nullptr);

  Clock& clock_;
  std::mutex mutex_;
  std::function<void()> wake_;  // empty once closed
  bool woken_ = false;          // a drain() is on its way
  std::vector<Event> events_;
  std::vector<std::shared_ptr<TokenStream>> owners_;  // of streams whose finish is among the events
  // I/O thread only; swapped with the two above so that all keep their memory.
  std::vector<Event> draining_;
  std::vector<std::shared_ptr<TokenStream>> drained_owners_;
  std::vector<TokenStream*> touched_;
};

}  // namespace dsbench::engine::server
