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
  // `admin`: it takes faults (dsbench serve --admin).
  [[nodiscard]] static Result<std::unique_ptr<EmbeddedEngine>> start(const EngineOptions& options,
                                                                     const std::string& log_path,
                                                                     bool admin = false);

  EmbeddedEngine(const EmbeddedEngine&) = delete;
  EmbeddedEngine& operator=(const EmbeddedEngine&) = delete;
  ~EmbeddedEngine();

  [[nodiscard]] std::string url() const;
  // False when the child has died.
  [[nodiscard]] bool alive();

  // For rehearsals of failure; one thread may call these while the engine is under load.
  void kill();                           // the process is gone, with everything it was doing
  [[nodiscard]] Result<void> restart();  // a new process on the same port, ready when this returns
  [[nodiscard]] Result<void> stall();    // its threads stand still; its port still takes connections
  [[nodiscard]] Result<void> resume();

 private:
  struct Child {
    pid_t pid = -1;
    std::uint16_t port = 0;
  };
  static Result<Child> spawn(const EngineOptions& options, const std::string& log_path, bool admin,
                             std::uint16_t port);

  EmbeddedEngine(const EngineOptions& options, std::string log_path, bool admin, Child child)
      : options_{options},
        log_path_{std::move(log_path)},
        admin_{admin},
        child_{child.pid},
        port_{child.port} {}
  EngineOptions options_;
  std::string log_path_;
  bool admin_;
  pid_t child_;
  std::uint16_t port_;
};

}  // namespace dsbench::cli
