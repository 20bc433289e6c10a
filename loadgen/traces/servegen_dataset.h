#pragma once

#include <filesystem>
#include <vector>

#include "core/result.h"
#include "loadgen/traces/value_table.h"

namespace dsbench::loadgen {

// How long a client's requests are, from a point of time on.
struct ServeGenLengths {
  double start_s = 0;
  ValueTable input, output, reasoning;  // reasoning may be empty
};

// Reads a chunk-N-dataset.json, packed or not, of any size: of its text no more than one distribution is in
// memory at a time. In order of the starts; windows without lengths are left out. Errors: io; usage, and
// always for a file that ends early.
[[nodiscard]] Result<std::vector<ServeGenLengths>> read_servegen_dataset(const std::filesystem::path& path);

}  // namespace dsbench::loadgen
