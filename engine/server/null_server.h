#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/units.h"

// A server that does nothing as fast as it can: what a generator reaches against it is the generator's own
// ceiling. One thread, plain epoll, answers made beforehand.
//
//   any request that asks for no stream   200 bytes of JSON, a chat completion of one token
//   "stream":true in the body             as many events as the body's max_tokens (absent: 16), each in a
//   packet any path below /sse/N/M               N events, M to a packet, sent as fast as the client takes
//   them any path below /sse/N/M/INTERVAL      the same, one packet every INTERVAL ("10ms"); late it may be,
//   early never a path that ends in /models           the list of one model, "null"
//
// The events are OpenAI's chat chunks, and text completions where the path ends in /completions without chat.
// The head goes with the first packet and usage, finish_reason and [DONE] with the last.
namespace dsbench::engine::server {

struct NullServerConfig {
  std::string host = "127.0.0.1";  // an IPv4 address of this machine
  std::uint16_t port = 0;          // 0: the kernel chooses
  std::optional<int> core;         // absent: any
  // How long it looks for work before it sleeps, for a core of its own: a client's send then never pays for
  // waking it, as none does to a server on another machine.
  Nanos spin{0};
};

class NullServer {
 public:
  // Errors: usage for an address or port that cannot be listened on.
  [[nodiscard]] static Result<std::unique_ptr<NullServer>> start(const NullServerConfig& config);
  ~NullServer();
  NullServer(const NullServer&) = delete;
  NullServer& operator=(const NullServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // "http://127.0.0.1:8000".
  [[nodiscard]] std::string url() const;
  // Processor time of its thread: a ceiling measured while this is near the wall time is the server's.
  [[nodiscard]] Nanos cpu_time() const;

 private:
  struct Impl;
  explicit NullServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// What a request asks for, from its target and body. Pure; public for its test.
struct NullAnswer {
  enum class Kind : std::uint8_t { json, models, stream, no_such_shape };
  Kind kind = Kind::json;
  bool chat = true;
  std::int64_t events = 0;
  std::int64_t per_packet = 1;
  Nanos interval{0};
};
[[nodiscard]] NullAnswer choose_null_answer(std::string_view target, std::string_view body);

}  // namespace dsbench::engine::server
