#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/engine_options.h"
#include "core/result.h"

namespace dsbench::cli {

// The reference engine in a process of its own, so that the generator's CPU time is the generator's alone and
// a Ctrl-C at the terminal stops the load first. The child dies with its parent. It listens on a port of the
// kernel's choosing on 127.0.0.1.
class EmbeddedEngine {
 public:
  // Starts `dsbench serve` from this same binary and waits until it is ready (at most 60 s). The child's
  // messages go to `log_path`. Errors: what the child said on stderr.
  [[nodiscard]] static Result<std::unique_ptr<EmbeddedEngine>> start(const EngineOptions& options,
                                                                     const std::string& log_path);

  EmbeddedEngine(const EmbeddedEngine&) = delete;
  EmbeddedEngine& operator=(const EmbeddedEngine&) = delete;
  ~EmbeddedEngine();

  [[nodiscard]] std::string url() const;
  // False when the child has died.
  [[nodiscard]] bool alive();

 private:
  EmbeddedEngine(pid_t child, std::uint16_t port) : child_{child}, port_{port} {}
  pid_t child_;
  std::uint16_t port_;
};

}  // namespace dsbench::cli
