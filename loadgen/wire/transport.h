#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/units.h"
#include "loadgen/client_policy.h"
#include "loadgen/codec/answer_text.h"
#include "loadgen/target.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/wire_config.h"

namespace dsbench::loadgen {

// Attempts on the wire, for one thread, driven by one Poller. Two implementations give the same records on
// the same bytes: curl_transport.h (TLS, HTTP/2, proxies) and the lean one.
//
// The stamps, all by one clock:
//   sent        on a connection that is open: just before the request is written. On a new one: just before
//               connect(). Connecting is thereby the target's time, not ours: a full backlog or a distant TLS
//               handshake shows in the service latency, never as our send lag. An attempt for which we had no
//               descriptor or port was never sent.
//   first_byte, tokens, done   when the kernel received the bytes, on the lean wire over TCP; else when epoll
//               said that they were there (the turn's `now`), before any of them is parsed.
//
// The stamps of one attempt never go back; between attempts they may, by as much as we read one of them late.
//
// An attempt is written once. When a reused connection dies before the first byte of the answer, the attempt
// fails as send_failed and is not sent again behind anybody's back.
//
// After an attempt has ended by its content (done, an error frame) its response is read to its end in the
// background, at most for a second, so that the connection can be used again. A cancelled attempt's
// connection is closed at once: the server sees that the client has gone.
class Transport {
 public:
  struct Counts {
    std::uint64_t connections_opened = 0;
    std::int64_t connections_open = 0;  // established or on the way
    std::int64_t connections_peak = 0;  // since take_peak()
    std::uint64_t comments = 0;         // keep-alive comments of ended streams
  };

  virtual ~Transport() = default;

  // In order: sends at once where a connection is open, else begins to connect. Appends what has happened.
  // Some requests are written before the first is sent, because caches like that; `sent` is each one's own.
  virtual void start_all(std::span<const Attempt> attempts, std::vector<TargetEvent>& events) = 0;
  void start(const Attempt& attempt, std::vector<TargetEvent>& events) { start_all({&attempt, 1}, events); }
  // Closes the connection of an attempt in flight; no further event of it follows. An unknown attempt is
  // ignored.
  virtual void cancel(std::uint64_t request, std::uint32_t attempt) = 0;

  // When handle() wants to be called even if nothing is ready; since the epoch.
  [[nodiscard]] virtual std::optional<Nanos> next_timer() const = 0;
  // Carries on what is ready and what is due, as of `now`. Appends what happened.
  virtual void handle(std::span<const Poller::Ready> ready, Nanos now, std::vector<TargetEvent>& events) = 0;

  // Attempts started and neither ended nor cancelled.
  [[nodiscard]] virtual std::size_t in_flight() const = 0;
  [[nodiscard]] virtual const Counts& counts() const = 0;
  virtual void take_peak() = 0;
};

// Takes the text of whole answers whose server did not say how many tokens they are.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  // Before the attempt's `done` is told.
  virtual void answered(std::uint64_t request, std::uint32_t attempt, AnswerText&& text) = 0;
};

// The one that `config` asks for. `epoch` on the clock is time zero of the stamps. The poller must outlive
// the transport, and nothing else may use its owner numbers from 1 on; so must `answers`, without which no
// text is kept. Errors: usage (a base URL, an API or a
// CA file that cannot be), unreachable (a name does not resolve).
[[nodiscard]] Result<std::unique_ptr<Transport>> make_transport(const WireConfig& config,
                                                                const ClientPolicy& policy,
                                                                const Clock& clock, Nanos epoch,
                                                                Poller& poller,
                                                                AnswerSink* answers = nullptr);

}  // namespace dsbench::loadgen
