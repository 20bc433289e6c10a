#include "cli/embedded_engine.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/files.h"
#include "core/text.h"

extern char** environ;

namespace dsbench::cli {
namespace {

constexpr int ready_timeout_ms = 60'000;
constexpr Nanos stop_patience{3'000'000'000};

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  ~Pipe() {
    for (const int fd : ends) {
      if (fd >= 0) ::close(fd);
    }
  }
  void close_write() {
    ::close(ends[1]);
    ends[1] = -1;
  }
};

// One line from the child, or nothing when it closed the pipe or the time was over.
std::string read_line(int fd, int timeout_ms) {
  std::string line;
  while (true) {
    pollfd p{fd, POLLIN, 0};
    const int ready = ::poll(&p, 1, timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return "";
    char c = 0;
    const ssize_t n = ::read(fd, &c, 1);
    if (n <= 0) return "";
    if (c == '\n') return line;
    line += c;
  }
}

std::string last_words(const std::string& log_path) {
  const auto log = read_file(log_path);
  if (!log || log->empty()) return "it said nothing";
  const std::size_t keep = 2000;
  std::string text = log->size() > keep ? log->substr(log->size() - keep) : *log;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Result<std::unique_ptr<EmbeddedEngine>> EmbeddedEngine::start(const EngineOptions& options,
                                                              const std::string& log_path, bool admin) {
  DSBENCH_TRY(const Child child, spawn(options, log_path, admin, 0));
  return std::unique_ptr<EmbeddedEngine>(new EmbeddedEngine(options, log_path, admin, child));
}

// Port 0: the kernel chooses, and the log begins anew.
Result<EmbeddedEngine::Child> EmbeddedEngine::spawn(const EngineOptions& options, const std::string& log_path,
                                                    bool admin, std::uint16_t wanted_port) {
  Pipe ready;
  if (::pipe2(ready.ends.data(), O_CLOEXEC) != 0) {
    return fail(ErrorKind::io, "cannot start the engine: pipe: {}", std::strerror(errno));
  }
  constexpr int child_ready_fd = 3;
  std::vector<std::string> arguments{"dsbench",    "serve",
                                     "--host",     "127.0.0.1",
                                     "--port",     std::to_string(wanted_port),
                                     "--ready-fd", std::to_string(child_ready_fd),
                                     "--embedded"};
  if (admin) arguments.emplace_back("--admin");
  for (std::string& a : to_serve_arguments(options, "engine-")) arguments.push_back(std::move(a));
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path.c_str(),
                                   O_WRONLY | O_CREAT | (wanted_port == 0 ? O_TRUNC : O_APPEND), 0644);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ready.ends[1], child_ready_fd);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A process group of its own: the terminal's Ctrl-C reaches us, and we stop the child when the load has
  // been drained.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t child = 0;
  const int code = ::posix_spawn(&child, "/proc/self/exe", &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) return fail(ErrorKind::io, "cannot start the engine: {}", std::strerror(code));
  ready.close_write();

  const std::string line = read_line(ready.ends[0], ready_timeout_ms);
  unsigned port = 0;
  if (std::sscanf(line.c_str(), "ready %u", &port) != 1 || port == 0 || port > 65535) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return fail(ErrorKind::usage, "the engine did not start: {}", last_words(log_path));
  }
  return Child{child, static_cast<std::uint16_t>(port)};
}

void EmbeddedEngine::kill() {
  if (child_ <= 0) return;
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
  child_ = -1;
}

Result<void> EmbeddedEngine::restart() {
  kill();
  DSBENCH_TRY(const Child child, spawn(options_, log_path_, admin_, port_));
  child_ = child.pid;
  return {};
}

Result<void> EmbeddedEngine::stall() {
  if (child_ <= 0 || ::kill(child_, SIGSTOP) != 0) {
    return fail(ErrorKind::internal, "the engine's process is gone, see {}", log_path_);
  }
  return {};
}

Result<void> EmbeddedEngine::resume() {
  if (child_ <= 0 || ::kill(child_, SIGCONT) != 0) {
    return fail(ErrorKind::internal, "the engine's process is gone, see {}", log_path_);
  }
  return {};
}

EmbeddedEngine::~EmbeddedEngine() {
  if (child_ <= 0) return;
  ::kill(child_, SIGTERM);
  ::kill(child_, SIGCONT);  // one that was stalled could not hear it
  SteadyClock clock;
  const Nanos give_up = clock.now() + stop_patience;
  while (::waitpid(child_, nullptr, WNOHANG) == 0) {
    if (clock.now() > give_up) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
      break;
    }
    clock.sleep_until(clock.now() + Nanos{5'000'000});
  }
}

std::string EmbeddedEngine::url() const {
  return "http://127.0.0.1:" + std::to_string(port_);
}

bool EmbeddedEngine::alive() {
  if (child_ > 0 && ::waitpid(child_, nullptr, WNOHANG) == child_) child_ = -1;
  return child_ > 0;
}

}  // namespace dsbench::cli
