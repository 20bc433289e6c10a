#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::cli {

// A program in a process group of its own: the terminal's Ctrl-C reaches us, and we stop the group. It dies
// with us, and is killed with its group when this object goes.
class ChildProcess {
 public:
  // What it prints goes to a file, stdout and stderr in the order written. `self`: this same binary, whatever
  // argv[0] says. Errors: usage, for a program that cannot be started.
  [[nodiscard]] static Result<std::unique_ptr<ChildProcess>> start(const std::vector<std::string>& argv,
                                                                   bool self, const std::string& log_path);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  // The exit status once it has ended; 128 + the signal that ended it.
  [[nodiscard]] std::optional<int> ended();
  // Waits for its end. Errors: interrupted, when `stop` is raised (it has been stopped then); usage, after
  // `limit` (0: none), likewise.
  [[nodiscard]] Result<int> wait(const std::atomic<bool>& stop, Nanos limit);
  // SIGTERM to the group, and SIGKILL after `patience`.
  void stop(Nanos patience = Nanos{5'000'000'000});

 private:
  explicit ChildProcess(pid_t pid) : pid_{pid} {}
  pid_t pid_;
  std::optional<int> status_;
};

// The last lines of a log, indented, for messages; "it said nothing" for an empty one.
[[nodiscard]] std::string last_lines(const std::string& log_path, std::size_t lines = 12);

}  // namespace dsbench::cli
