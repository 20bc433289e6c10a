#pragma once

#include <vector>

#include "engine/kernels/cuda/emulation/hopper_host.h"

// Copies by cp.async. What one overwrites is NaN from when it is issued until it lands, which is when its
// thread waits for its group, or, if the thread arrived at a barrier with it, when somebody waits there.
namespace dsbench::engine::kernels::cuda::simt::detail {

struct Copy {
  void* to;
  const void* from;
  int bytes;
  bool valid;
};

// Those of a thread.
struct ThreadCopies {
  std::vector<Copy> open;                 // since the last commit
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
};
ThreadCopies& own_copies();

// What threads arrived with at this barrier lands; whether there was anything.
bool land_arrived(Barrier* b);
// This thread has waited at the barrier: what came there is ordered before what it does next.
void saw_arrived(const Barrier* b);
// TMA and products see what has landed only once a thread that saw it has fenced.
void fence_arrived();
void hide_unfenced();
// That nobody has waited for.
bool arrived_under_way();
void drop_arrived();

}  // namespace dsbench::engine::kernels::cuda::simt::detail
