#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "cli/terminal_width.h"

namespace dsbench::cli {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::size_t columns() {
  const std::size_t told = terminal_columns(STDERR_FILENO).value_or(0);
  return told > 20 ? told : 80;
}

}  // namespace

bool wants_colour(int descriptor) {
  return isatty(descriptor) == 1 && environment("NO_COLOR").empty() && environment("TERM") != "dumb";
}

Progress::Progress(bool quiet)
    : quiet_{quiet}, terminal_{isatty(STDERR_FILENO) == 1 && environment("TERM") != "dumb"} {}

Progress::~Progress() {
  clear();
}

void Progress::line(std::string_view text) {
  if (quiet_) return;
  clear();
  fmt::print(stderr, "{}\n", text);
}

void Progress::status(std::string_view text) {
  if (quiet_ || !terminal_) return;
  // Cut by bytes at the width: the line must not wrap, or it could not be taken back.
  fmt::print(stderr, "\r\x1b[K{}", text.substr(0, columns() - 1));
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear() {
  if (!shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace dsbench::cli
