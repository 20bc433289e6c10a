#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "loadgen/wire/transport.h"

namespace dsbench::loadgen {

// The general wire: libcurl's multi interface. HTTP/1.1 with one stream a connection, or HTTP/2 with
// many; TLS, proxies, compression, unix sockets. Names of targets are resolved once.
//
// On a connection that is open `sent` is taken in libcurl's pre-request hook; the write follows within
// microseconds. libcurl sends a request again on a fresh connection, without a word, when a reused one dies
// before the first byte. That would be an attempt that nobody counts: we refuse it.
class CurlTransport final : public Transport {
 public:
  [[nodiscard]] static Result<std::unique_ptr<CurlTransport>> make(const WireConfig& config,
                                                                   const ClientPolicy& policy,
                                                                   const Clock& clock, Nanos epoch,
                                                                   Poller& poller,
                                                                   AnswerSink* answers = nullptr);
  ~CurlTransport() override;
  CurlTransport(const CurlTransport&) = delete;
  CurlTransport& operator=(const CurlTransport&) = delete;

  void start_all(std::span<const Attempt> attempts, std::vector<TargetEvent>& events) override;
  void cancel(std::uint64_t request, std::uint32_t attempt) override;
  [[nodiscard]] std::optional<Nanos> next_timer() const override;
  void handle(std::span<const Poller::Ready> ready, Nanos now, std::vector<TargetEvent>& events) override;
  [[nodiscard]] std::size_t in_flight() const override;
  [[nodiscard]] const Counts& counts() const override;
  void take_peak() override;

 private:
  struct Impl;
  explicit CurlTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsbench::loadgen
