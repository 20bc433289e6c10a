#pragma once

#include <memory>
#include <string>

#include "loadgen/wire/event_dates.h"
#include "loadgen/wire/transport.h"

namespace dsbench::loadgen {

// Plain-text HTTP/1.1 straight over the sockets: what a load generator needs of HTTP and nothing else, for
// targets without TLS, where a core is to carry as much as it can. The kernel's calls are what it costs: one
// sendmsg and one recv for an answer that comes in one piece.
//
// One attempt a connection at a time. Free connections are used again most recently used first, after a look
// whether the server has closed them. All attempts of a thread share one reading buffer and one body; a
// stream keeps only its parsers' states and an unfinished line.
//
// What was read over TCP is dated by the kernel's receive stamp (receive_clock.h), so that a thread of ours
// that comes late makes no answer late. The end of a connection has no stamp, nor has a unix socket: there
// the clock says when we came to read.
//
// Several addresses of a name are tried one after the other, and the one that answered is tried first from
// then on. Where a name has addresses of both families and the first may hang rather than refuse, libcurl,
// which races them, is the better wire.
class LeanTransport final : public Transport {
 public:
  // What of `config` only libcurl can do, as a clause for a sentence ("TLS (https://h:1)"); empty when this
  // transport can do all of it.
  [[nodiscard]] static Result<std::string> beyond(const WireConfig& config);

  // Errors: usage, also for what is beyond it; unreachable.
  [[nodiscard]] static Result<std::unique_ptr<LeanTransport>> make(
      const WireConfig& config, const ClientPolicy& policy, const Clock& clock, Nanos epoch, Poller& poller,
      AnswerSink* answers = nullptr, EventDates::WallClock wall_clock = wall_clock_now);
  ~LeanTransport() override;
  LeanTransport(const LeanTransport&) = delete;
  LeanTransport& operator=(const LeanTransport&) = delete;

  void start_all(std::span<const Attempt> attempts, std::vector<TargetEvent>& events) override;
  void cancel(std::uint64_t request, std::uint32_t attempt) override;
  [[nodiscard]] std::optional<Nanos> next_timer() const override;
  void handle(std::span<const Poller::Ready> ready, Nanos now, std::vector<TargetEvent>& events) override;
  [[nodiscard]] std::size_t in_flight() const override;
  [[nodiscard]] const Counts& counts() const override;
  void take_peak() override;

 private:
  struct Impl;
  explicit LeanTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsbench::loadgen
