#include "cli/signals.h"

#include <unistd.h>

#include <csignal>
#include <cstring>

namespace dsbench::cli {
namespace {

std::atomic<bool> stop{false};
std::atomic<int> which{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void say(const char* text) {
  // Nothing to do about a stderr that is gone.
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, text, std::strlen(text));
}

void on_signal(int signal) {
  // The terminal has gone: to the run that is a SIGTERM. The kernel and the shell may both tell us.
  if (signal == SIGHUP) {
    int none = 0;
    which.compare_exchange_strong(none, SIGTERM);
    stop = true;
    return;
  }
  // A guard may have raised the flag before: that is no first signal.
  if (which.exchange(signal) != 0) {
    say("\ndsbench: leaving at once\n");
    ::_exit(128 + signal);
  }
  stop = true;
  say("\ndsbench: stopping: no new load; what is in flight is drained and written. Again to leave at "
      "once.\n");
}

}  // namespace

std::atomic<bool>& handle_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup's wish stands
  std::signal(SIGPIPE, SIG_IGN);
  return stop;
}

int signal_exit_code() {
  const int signal = which;
  return signal == 0 ? 0 : 128 + signal;
}

}  // namespace dsbench::cli
