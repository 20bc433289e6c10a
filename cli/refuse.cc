#include "cli/refuse.h"

#include <fmt/format.h>

#include "cli/exit_codes.h"

namespace dsbench::cli {

int refuse(std::string_view verb, const Error& error) {
  fmt::print(stderr, "dsbench {}: {}\n", verb, error.message);
  return exit_code_of(error.kind);
}

}  // namespace dsbench::cli
