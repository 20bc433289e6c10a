#include "cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/clock.h"
#include "core/files.h"
#include "core/text.h"

namespace dsbench::cli {
namespace {

constexpr Nanos poll_gap{10'000'000};

// Between fork and exec: only what a signal handler may call.
[[noreturn]] void become(const char* program, char* const* argv, int log, int null, int report,
                         pid_t parent) {
  ::setpgid(0, 0);
  ::signal(SIGPIPE, SIG_DFL);  // ours is ignored, and that would be inherited
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it went away in between
  ::dup2(null, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execvp(program, argv);
  const int why = errno;
  [[maybe_unused]] const ssize_t n = ::write(report, &why, sizeof why);
  ::_exit(127);
}

}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const std::vector<std::string>& argv, bool self,
                                                          const std::string& log_path) {
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (log < 0) return fail(ErrorKind::io, "cannot write {}: {}", log_path, std::strerror(errno));
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::array<int, 2> report{-1, -1};
  if (null < 0 || ::pipe2(report.data(), O_CLOEXEC) != 0) {
    const int why = errno;
    ::close(log);
    return fail(ErrorKind::io, "cannot start {}: {}", argv.front(), std::strerror(why));
  }
  std::vector<std::string> words = argv;
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const char* const program = self ? "/proc/self/exe" : words.front().c_str();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become(program, pointers.data(), log, null, report[1], parent);
  const int fork_error = errno;
  ::close(log);
  ::close(null);
  ::close(report[1]);
  int why = pid < 0 ? fork_error : 0;
  if (pid > 0) {
    ::setpgid(pid, pid);  // whoever of us two is first
    if (::read(report[0], &why, sizeof why) != static_cast<ssize_t>(sizeof why)) why = 0;
  }
  ::close(report[0]);
  if (why != 0) {
    if (pid > 0) ::waitpid(pid, nullptr, 0);
    return fail(ErrorKind::usage, "cannot start '{}': {}", argv.front(), std::strerror(why));
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid));
}

ChildProcess::~ChildProcess() {
  stop(Nanos{0});
}

std::optional<int> ChildProcess::ended() {
  if (status_) return status_;
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid != pid_)
    return std::nullopt;
  // Grandchildren that outlived it; as long as it has not been reaped the group's number is its own.
  ::kill(-pid_, SIGKILL);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

Result<int> ChildProcess::wait(const std::atomic<bool>& interrupted, Nanos limit) {
  SteadyClock clock;
  const Nanos begin = clock.now();
  while (true) {
    if (const auto status = ended()) return *status;
    if (interrupted) {
      stop();
      return fail(ErrorKind::interrupted, "interrupted");
    }
    if (limit > Nanos{0} && clock.now() - begin > limit) {
      stop();
      return fail(ErrorKind::usage, "it did not end within {}", format_duration(limit));
    }
    clock.sleep_until(clock.now() + poll_gap);
  }
}

void ChildProcess::stop(Nanos patience) {
  if (ended()) return;
  ::kill(-pid_, SIGTERM);
  SteadyClock clock;
  const Nanos deadline = clock.now() + patience;
  while (!ended() && clock.now() < deadline) clock.sleep_until(clock.now() + poll_gap);
  if (ended()) return;
  ::kill(-pid_, SIGKILL);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  status_ = 128 + SIGKILL;
}

std::string last_lines(const std::string& log_path, std::size_t lines) {
  const auto log = read_file(log_path);
  if (!log || log->find_first_not_of("\n\r ") == std::string::npos) return "  it said nothing";
  std::string text = *log;
  while (text.ends_with('\n')) text.pop_back();
  std::size_t from = text.size();
  for (std::size_t i = 0; i < lines && from != std::string::npos && from > 0; ++i)
    from = text.rfind('\n', from - 1);
  text = from == std::string::npos || from == 0 ? text : text.substr(from + 1);
  constexpr std::size_t most = 4000;
  if (text.size() > most) text = "…" + text.substr(text.size() - most);
  std::string out = "  ";
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out;
}

}  // namespace dsbench::cli
