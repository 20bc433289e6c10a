#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/units.h"
#include "loadgen/codec/answer_text.h"
#include "loadgen/codec/codec.h"
#include "loadgen/wire/http_response_parser.h"
#include "loadgen/wire/lean_provider.h"
#include "loadgen/wire/outgoing_request.h"
#include "loadgen/wire/retry_advice.h"

namespace dsbench::loadgen {

struct LeanPool;

// One connection of the lean transport and the attempt on it. Used again for other connections to the same
// provider; never moved.
struct LeanConnection {
  enum class State : std::uint8_t { closed, connecting, busy, idle };

  LeanConnection(LeanPool& p, std::uint32_t n) : pool{p}, number{n} {}
  LeanConnection(const LeanConnection&) = delete;
  LeanConnection& operator=(const LeanConnection&) = delete;

  LeanPool& pool;
  std::uint32_t number;     // among all of the transport
  std::uint32_t owner = 0;  // of its descriptor at the poller
  int fd = -1;
  State state = State::closed;
  bool ended = false;  // done or failed was told; the rest is read in silence
  bool got_byte = false;
  bool lingers = false;
  bool stamped = false;  // the kernel says when it received what is read
  std::int32_t status = 0;
  std::uint32_t attempt = 0;
  std::uint64_t request = 0;
  std::uint64_t use = 0;  // counts attempts and closings, so that a timer knows its own
  std::size_t tried = 0;  // addresses
  Nanos told{0};          // stamp of the attempt's last event
  Nanos opened{0};
  std::optional<Nanos> connect_time;  // to be told
  Nanos idle_since{0};
  std::uint64_t idle_turn = 0;
  LeanConnection* newer = nullptr;  // among the idle
  LeanConnection* older = nullptr;
  std::unique_ptr<ReplyReader> reader;
  AnswerText text;                            // where texts of answers are wanted
  std::unique_ptr<OutgoingRequest> outgoing;  // what the socket has not taken yet
  HttpResponseParser parser;
  RetryHeaders retry;
};

// A provider and those of its connections that can be used: idle ones, which are open, and closed ones.
struct LeanPool : LeanProvider {
  explicit LeanPool(LeanProvider p) : LeanProvider{std::move(p)} {}

  LeanConnection* newest = nullptr;  // idle, most recently used first
  LeanConnection* oldest = nullptr;
  std::vector<LeanConnection*> closed;

  void add_idle(LeanConnection& c);
  void remove_idle(LeanConnection& c);
};

// Times at which connections are looked at, each the same while after it was set: they come in order.
class LeanTimers {
 public:
  void set(LeanConnection& c, Nanos until) { timers_.push_back({until, &c, c.use}); }
  // The next one, which may have been overtaken by its connection's end.
  [[nodiscard]] std::optional<Nanos> next() const {
    return timers_.empty() ? std::nullopt : std::optional{timers_.front().until};
  }
  // `fire(connection)` for those that are due, and still on the attempt for which they were set.
  template <class Fire>
  void fire_due(Nanos now, Fire&& fire) {
    while (!timers_.empty()) {
      const Timer first = timers_.front();
      if (!first.is_over() && first.until > now) return;
      timers_.pop_front();
      if (!first.is_over()) fire(*first.connection);
    }
  }

 private:
  struct Timer {
    Nanos until;
    LeanConnection* connection;
    std::uint64_t use;
    [[nodiscard]] bool is_over() const { return connection->use != use; }
  };
  std::deque<Timer> timers_;
};

}  // namespace dsbench::loadgen
