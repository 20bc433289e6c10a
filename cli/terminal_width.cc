#include "cli/terminal_width.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace dsbench::cli {

std::optional<std::size_t> terminal_columns(int descriptor) {
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return std::nullopt;
  return size.ws_col;
}

std::size_t page_width(int descriptor) {
  std::size_t width = 100;
  if (const auto columns = terminal_columns(descriptor)) {
    width = *columns;
  } else if (const char* told = std::getenv("COLUMNS")) {
    const std::string_view text{told};
    std::size_t parsed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (error == std::errc{} && end == text.data() + text.size() && parsed > 0) width = parsed;
  }
  return std::clamp<std::size_t>(width, 60, 200);
}

}  // namespace dsbench::cli
