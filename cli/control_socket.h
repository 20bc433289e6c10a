#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"

namespace dsbench::cli {

// Somebody at a Unix socket who may ask about a run and change it while it goes on. One line is one command,
// one line is its answer; several may be connected. Only the user who started the run may connect (mode
// 0600).
//
//   printf 'scale 1.5\n' | nc -UN /tmp/run.sock
class ControlSocket {
 public:
  // `answer` is called on the socket's own thread with a line, and returns the answer without its end of
  // line. A path that exists is refused, unless it is a socket that nobody listens on any more.
  [[nodiscard]] static Result<std::unique_ptr<ControlSocket>> open(
      const std::string& path, std::function<std::string(std::string_view)> answer);
  // Ends the thread and removes the path.
  virtual ~ControlSocket() = default;
};

}  // namespace dsbench::cli
