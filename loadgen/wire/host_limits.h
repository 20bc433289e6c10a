#pragma once

#include <cstdint>

// What this host lets us have.
namespace dsbench::loadgen {

// Open descriptors of this process; 0 when /proc does not tell.
[[nodiscard]] std::int64_t open_descriptors();
// Size of the range of ephemeral ports; 28232 (Linux' default) when /proc does not tell.
[[nodiscard]] std::int64_t ephemeral_ports();
// Cores that this process may run on.
[[nodiscard]] std::int32_t usable_cores();

}  // namespace dsbench::loadgen
