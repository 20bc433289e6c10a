#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "engine/engine.h"
#include "engine/faults/fault.h"
#include "engine/server/manners.h"

namespace dsbench::engine {
struct EngineFaults;
}

namespace dsbench::engine::server {

class ModelText;

struct ServerConfig {
  std::string host = "127.0.0.1";  // an address of this machine, or "localhost"
  std::uint16_t port = 0;          // 0: the kernel chooses; see Server::port()
  std::string model_name = "tiny";
  std::int32_t vocabulary = 256;                    // token ids that a client gives as a prompt must be below
  std::shared_ptr<const ModelText> text = nullptr;  // the model's tokenizer; null: a byte is a token

  std::size_t max_body_bytes = 8u << 20;     // larger: 413
  std::size_t max_header_bytes = 16u << 10;  // larger: 431
  std::size_t max_buffered_bytes =
      256u << 10;  // of a stream whose client does not read; more: the stream is dropped
  std::optional<std::size_t>
      max_connections;  // absent: the hard RLIMIT_NOFILE (the soft one is raised to it) less 64; at the limit we stop accepting
  Nanos header_timeout =
      std::chrono::seconds{10};  // for a request's header, and for a new connection's first byte
  Nanos body_timeout = std::chrono::seconds{30};   // from the end of the header to the end of the body
  Nanos idle_timeout = std::chrono::seconds{75};   // of a connection between two requests
  Nanos write_timeout = std::chrono::seconds{30};  // for a client to take what one write holds
  Nanos drain = std::chrono::seconds{5};           // how long stop() lets requests finish
  Manners manners = openai_manners();
  std::vector<Fault> faults = {};  // from the server's start
  bool admin = false;              // /admin/faults is there
  std::shared_ptr<EngineFaults> executor_faults =
      nullptr;  // what the engine's executor looks at, if it has one
};

// The OpenAI-compatible HTTP server in front of one engine, on one I/O thread of its own.
//
//   POST /v1/chat/completions, /v1/completions   whole or as server-sent events; fields in api_request.h
//   POST /v1/messages                            Anthropic's Messages, whole or streamed; any x-api-key
//   POST /v1/responses                           OpenAI's Responses, whole or streamed; stateless
//   GET  /v1/models, /v1/models/{model}          the one that is served
//   POST /tokenize                               {"count","max_model_len","tokens"}
//   GET  /health                                 200; 503 while stopping
//   GET  /metrics                                Prometheus text; names in metrics.h
//   GET, POST, DELETE /admin/faults              with config.admin, from this machine: admin.h
//
// Where the manners do not say otherwise, a stream's 200 goes out with its first token, so that a queue
// timeout or a failure before it is still an HTTP status. Who asks, what for and until when: caller.h. A
// client that goes away, also while it waits for its first byte, has its request cancelled at once. A client
// that closes only its sending half has gone away too.
class Server {
 public:
  // `engine` and `clock` must outlive the server. Errors: usage for an address or port that cannot be
  // listened on, or for a fault that the engine cannot have.
  [[nodiscard]] static Result<std::unique_ptr<Server>> start(Engine& engine, Clock& clock,
                                                             ServerConfig config);

  // Stops at once: stop(Nanos{0}).
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // "http://127.0.0.1:8000".
  [[nodiscard]] std::string url() const;

  // Takes no new connection, lets requests finish for config.drain, tells the rest that the server is
  // shutting down, and returns when all connections are closed. From any thread; a second call with a shorter
  // time shortens the first.
  void stop();
  void stop(Nanos drain);

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsbench::engine::server
