#pragma once

#include <cstdint>

// The descriptors of this process: how many it may open, and room in the kernel's table for them.
namespace dsbench {

// The soft limit of descriptors is raised to the hard one, which needs no privilege. Returns the limit.
std::int64_t raise_descriptor_limit();

// Has the kernel make its table of this process' descriptors large enough for `count` now (at most the limit
// and kLargestTable of them; 8 bytes each in the kernel). It would double the table whenever it is full, and
// in a process with threads each doubling waits until every core has passed through a quiet state
// (synchronize_rcu in expand_files): whoever opens the 257th, 513th, 1,025th ... descriptor stands still for
// some 10 to 25 ms, with every stream it serves. Waits once in their stead: call it before time matters. What
// cannot be reserved is left to grow as before.
void reserve_descriptors(std::int64_t count);

inline constexpr std::int64_t kLargestTable =
    65536;  // 512 KiB of the kernel's memory; what exceeds it grows by doubling

}  // namespace dsbench
