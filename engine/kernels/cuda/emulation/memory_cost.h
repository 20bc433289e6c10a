#pragma once

#include <cstdint>
#include <span>

// What an access of a warp costs a Hopper processor: turns of shared memory and sectors of global memory,
// counted from the addresses of its lanes. Sources: CUDA C++ Programming Guide, "Shared Memory" and "Global
// Memory" of compute capabilities 5.x to 9.0 (32 banks of 4 bytes, one row of them a turn, equal words for
// all that want them; memory comes in sectors of 32 bytes). That 8-byte accesses go by halves of a warp and
// 16-byte ones by quarters is what profilers show of it; a quarter's addresses are also one of ldmatrix's 8
// × 8.
namespace dsbench::engine::kernels::cuda {

struct LaneAccess {
  int lane;
  std::uintptr_t address;
};

// Turns that shared memory takes, and how many it would take without conflicts: one for each whole, half or
// quarter of the warp (accesses of up to 4, of 8, of 16 bytes) that has a lane in it.
struct SharedCost {
  int turns = 0;
  int least = 0;
};
// `bytes`: of each lane, 1 to 16.
[[nodiscard]] SharedCost shared_cost(std::span<const LaneAccess> lanes, int bytes);

// Sectors of 32 bytes that are touched, and the least that would hold as many bytes as are asked for; a byte
// that several lanes ask for counts once.
struct GlobalCost {
  int sectors = 0;
  int least = 0;
};
[[nodiscard]] GlobalCost global_cost(std::span<const LaneAccess> lanes, int bytes);

}  // namespace dsbench::engine::kernels::cuda
