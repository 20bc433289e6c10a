#pragma once

namespace dsbench::cli {

// Parses the command line, runs the verb and returns the exit code (exit_codes.h). Nothing escapes it.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace dsbench::cli
