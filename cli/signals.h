#pragma once

#include <atomic>

namespace dsbench::cli {

// From here on the first SIGINT or SIGTERM raises the flag and says so on stderr; the second leaves at once
// with 130 or 143. SIGHUP raises it too and counts as a SIGTERM, but never as a second one, and not at all
// when it was ignored before (nohup). SIGPIPE is ignored: a reader that went away is an error of the write.
std::atomic<bool>& handle_signals();

// The exit code of the signal that raised the flag: 130, 143, or 0 when none did.
[[nodiscard]] int signal_exit_code();

}  // namespace dsbench::cli
