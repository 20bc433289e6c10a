#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.h"

namespace dsbench {

// The whole file. Errors: io, with the path and the system's reason.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path);

// Writes to a temporary name in the same folder, syncs it, renames it over `path`, syncs the folder: a reader
// sees the old file or the new one, never half of one. On a full disk the old file stays and the temporary
// one is removed.
[[nodiscard]] Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace dsbench
