#include "kernelbench/plugin/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kernelbench/measure/wire_format.h"

extern char** environ;

namespace dsbench::kernelbench {
namespace {

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(descriptor, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// A whole line without its end; nothing at the end of the stream.
bool read_line(int descriptor, std::string& rest, std::string& line) {
  while (true) {
    if (const std::size_t end = rest.find('\n'); end != std::string::npos) {
      line = rest.substr(0, end);
      rest.erase(0, end + 1);
      return true;
    }
    std::array<char, 4096> buffer;
    const ssize_t n = ::read(descriptor, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    rest.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

std::string answer(Stand& stand, const WorkerRequest& request) {
  const auto print = [](const auto& result) {
    return result ? print_answer(*result) : print_answer(result.error());
  };
  switch (request.verb) {
    case WorkerVerb::hello:
      return print_answer(stand.kernels());
    case WorkerVerb::open: {
      const auto problem = problem_from_json(request.problem);
      if (!problem) return print_answer(problem.error());
      return print(stand.open(request.cell, request.kernel, *problem));
    }
    case WorkerVerb::sample:
      return print(stand.sample(request.cell));
    case WorkerVerb::close:
      return print(stand.close(request.cell));
  }
  return {};
}

OpenReport failed_report(std::string why) {
  OpenReport report;
  report.state = CellState::failed;
  report.why = std::move(why);
  return report;
}

}  // namespace

Result<void> serve_stand(Stand& stand, int in, int out) {
  // Whoever started us is gone: so are we, even in the middle of a kernel that never ends.
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::string rest, line;
  while (read_line(in, rest, line)) {
    const auto request = parse_request(line);
    if (!write_all(out, request ? answer(stand, *request) : print_answer(request.error())))
      return fail(ErrorKind::io, "cannot answer: {}", std::strerror(errno));
  }
  return {};
}

void refuse_stand(const Error& error, int out) {
  (void)write_all(out, print_answer(error));
}

PluginStand::PluginStand(std::vector<std::string> command, Nanos timeout, Clock& clock)
    : command_{std::move(command)}, timeout_{timeout}, clock_{clock} {}

PluginStand::~PluginStand() {
  (void)bury();
}

Result<std::unique_ptr<PluginStand>> PluginStand::start(std::vector<std::string> command, Nanos timeout,
                                                        Clock& clock) {
  std::unique_ptr<PluginStand> stand{new PluginStand(std::move(command), timeout, clock)};
  DSBENCH_CHECK(stand->launch());
  DSBENCH_TRY(const std::string hello, stand->ask(print_request({.verb = WorkerVerb::hello, .problem = {}})));
  auto kernels = parse_kernels(hello);
  if (!kernels) return fail(ErrorKind::usage, "{}", kernels.error().message);
  stand->kernels_ = std::move(*kernels);
  return stand;
}

Result<void> PluginStand::launch() {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) != 0) return fail(ErrorKind::io, "cannot make a pipe: {}", std::strerror(errno));
  if (pipe2(from, O_CLOEXEC) != 0) {
    const int error = errno;
    ::close(to[0]);
    ::close(to[1]);
    return fail(ErrorKind::io, "cannot make a pipe: {}", std::strerror(error));
  }
  std::vector<char*> arguments;
  for (std::string& part : command_) arguments.push_back(part.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // The plug-in's own chatter must not end up in our results.
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  // First out of the way of each other: a pipe end may itself be number 3 or 4.
  constexpr int kAside = 100;
  posix_spawn_file_actions_adddup2(&actions, to[0], kAside);
  posix_spawn_file_actions_adddup2(&actions, from[1], kAside + 1);
  posix_spawn_file_actions_adddup2(&actions, kAside, kWorkerIn);
  posix_spawn_file_actions_adddup2(&actions, kAside + 1, kWorkerOut);
  posix_spawn_file_actions_addclose(&actions, kAside);
  posix_spawn_file_actions_addclose(&actions, kAside + 1);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(to[0]);
  ::close(from[1]);
  if (error != 0) {
    ::close(to[1]);
    ::close(from[0]);
    return fail(ErrorKind::io, "cannot start {}: {}", command_[0], std::strerror(error));
  }
  pid_ = pid;
  in_ = from[0];
  out_ = to[1];
  rest_.clear();
  ++process_;
  return {};
}

std::string PluginStand::bury() {
  if (pid_ < 0) return "it was not running";
  ::close(out_);
  ::close(in_);
  int status = 0;
  // One that has ended by itself keeps its own end; the others are ended here.
  if (waitpid(pid_, &status, WNOHANG) != pid_) {
    (void)kill(pid_, SIGKILL);
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  pid_ = -1;
  if (WIFSIGNALED(status))
    return fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("exit code {}", WEXITSTATUS(status));
}

Result<std::string> PluginStand::ask(const std::string& request) {
  if (pid_ < 0) DSBENCH_CHECK(launch());
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = SIG_IGN;
  (void)sigaction(SIGPIPE, &ignore, &before);
  (void)write_all(out_, request);  // a dead process shows when its answer is missing
  (void)sigaction(SIGPIPE, &before, nullptr);
  const Nanos deadline = clock_.now() + timeout_;
  while (true) {
    if (const std::size_t end = rest_.find('\n'); end != std::string::npos) {
      std::string line = rest_.substr(0, end);
      rest_.erase(0, end + 1);
      return line;
    }
    const Nanos left = deadline - clock_.now();
    pollfd waiting{.fd = in_, .events = POLLIN, .revents = 0};
    const int ready =
        left <= Nanos{0}
            ? 0
            : ::poll(&waiting, 1,
                     static_cast<int>(std::min<std::int64_t>(1000, left.count() / 1'000'000 + 1)));
    if (ready < 0 && errno != EINTR) return fail(ErrorKind::io, "poll: {}", std::strerror(errno));
    if (ready == 0 && clock_.now() >= deadline) {
      (void)bury();
      return fail(ErrorKind::internal, "hung: no answer within {:.3g} s; its process was ended",
                  to_seconds(timeout_));
    }
    if (ready <= 0) continue;
    std::array<char, 65536> buffer;
    const ssize_t n = ::read(in_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      // The pipe closes a moment before the process can be reaped.
      int status = 0;
      while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
      }
      ::close(out_);
      ::close(in_);
      pid_ = -1;
      if (WIFSIGNALED(status))
        return fail(ErrorKind::internal, "crashed: signal {} ({})", WTERMSIG(status),
                    strsignal(WTERMSIG(status)));
      return fail(ErrorKind::internal, "its process ended with exit code {} in the middle of a cell",
                  WEXITSTATUS(status));
    }
    rest_.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

Result<OpenReport> PluginStand::reopen(int cell, Known& known) {
  const auto line = ask(print_request(
      {.verb = WorkerVerb::open, .cell = cell, .kernel = known.kernel, .problem = known.problem}));
  if (!line) return failed_report(line.error().message);
  known.process = process_;
  auto report = parse_report(*line);
  if (!report) return failed_report(report.error().message);
  return report;
}

Result<OpenReport> PluginStand::open(int cell, std::size_t kernel, const Problem& problem) {
  Known known{.kernel = kernel, .problem = to_json(problem), .process = 0};
  DSBENCH_TRY(const OpenReport report, reopen(cell, known));
  if (report.state == CellState::ok) known_[cell] = known;
  return report;
}

Result<Stand::Taken> PluginStand::sample(int cell) {
  Known& known = known_.at(cell);
  const auto failed = [](std::string why) {
    Taken taken;
    taken.state = CellState::failed;
    taken.why = std::move(why);
    return taken;
  };
  if (pid_ < 0 || known.process != process_) {
    DSBENCH_TRY(const OpenReport report, reopen(cell, known));
    if (report.state != CellState::ok) return failed(report.why);
  }
  const auto line = ask(print_request({.verb = WorkerVerb::sample, .cell = cell, .problem = {}}));
  if (!line) return failed(line.error().message);
  auto taken = parse_taken(*line);
  if (!taken) return failed(taken.error().message);
  return taken;
}

Result<OpenReport> PluginStand::close(int cell) {
  Known known = known_.at(cell);
  known_.erase(cell);
  if (pid_ < 0 || known.process != process_) {
    DSBENCH_TRY(const OpenReport report, reopen(cell, known));
    if (report.state != CellState::ok) return report;
  }
  const auto line = ask(print_request({.verb = WorkerVerb::close, .cell = cell, .problem = {}}));
  if (!line) return failed_report(line.error().message);
  auto report = parse_report(*line);
  if (!report) return failed_report(report.error().message);
  return report;
}

}  // namespace dsbench::kernelbench
