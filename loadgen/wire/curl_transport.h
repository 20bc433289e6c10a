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
#include "loadgen/target.h"
#include "loadgen/wire/poller.h"
#include "loadgen/wire/wire_config.h"

namespace dsbench::loadgen {

// Attempts on the wire, for one thread: libcurl's multi interface driven by one Poller. HTTP/1.1, one stream
// a connection, straight to the target (no proxy), names resolved once.
//
// The stamps, all by one clock:
//   sent        on a connection that is open: just before the request is written (libcurl's pre-request hook;
//   the write follows
//               within microseconds). On a new one: just before connect(). Connecting is thereby the target's
//               time, not ours: a full backlog or a distant TLS handshake shows in the service latency, never
//               as our send lag. An attempt for which we had no descriptor or port was never sent.
//   first_byte, tokens, done   when epoll said that the bytes were there (the turn's `now`), before any of
//   them is parsed.
//
// libcurl sends a request again on a fresh connection, without a word, when a reused one dies before the
// first byte. That would be an attempt that nobody counts: we refuse it, and the attempt fails as
// send_failed.
//
// After an attempt has ended by its content (done, an error frame) its response is read to its end in the
// background, at most for a second, so that the connection can be used again. A cancelled attempt's
// connection is closed at once: the server sees that the client has gone.
class CurlTransport {
 public:
  struct Counts {
    std::uint64_t connections_opened = 0;
    std::int64_t connections_open = 0;  // established or on the way
    std::int64_t connections_peak = 0;  // since take_peak()
    std::uint64_t comments = 0;         // keep-alive comments of ended streams
  };

  // `epoch` on the clock is time zero of the stamps. The poller must outlive the transport, and nothing else
  // may use its owner numbers from 1 on. Errors: usage (a base URL or a CA file that cannot be), unreachable
  // (the name does not resolve).
  [[nodiscard]] static Result<std::unique_ptr<CurlTransport>> make(const WireConfig& config,
                                                                   const ClientPolicy& policy,
                                                                   const Clock& clock, Nanos epoch,
                                                                   Poller& poller);
  ~CurlTransport();
  CurlTransport(const CurlTransport&) = delete;
  CurlTransport& operator=(const CurlTransport&) = delete;

  // Sends at once where a connection is open, else begins to connect. Appends what has happened.
  void start(const Attempt& attempt, std::vector<TargetEvent>& events);
  // Closes the connection of an attempt in flight; no further event of it follows. An unknown attempt is
  // ignored.
  void cancel(std::uint64_t request, std::uint32_t attempt);

  // When handle() wants to be called even if nothing is ready; since the epoch.
  [[nodiscard]] std::optional<Nanos> next_timer() const;
  // Carries on what is ready and what is due, as of `now`. Appends what happened; the stamps never go back.
  void handle(std::span<const Poller::Ready> ready, Nanos now, std::vector<TargetEvent>& events);

  // Attempts started and neither ended nor cancelled.
  [[nodiscard]] std::size_t in_flight() const;
  [[nodiscard]] const Counts& counts() const;
  void take_peak();

 private:
  struct Impl;
  explicit CurlTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsbench::loadgen
