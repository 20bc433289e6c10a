#pragma once

#include <ucontext.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "engine/kernels/cuda/emulation/simt_host.h"
#include "engine/kernels/cuda/emulation/thread_copies.h"

// What the emulated machine consists of while it runs, for the files of it only: simt_host.cc starts kernels
// and says who is who, fibers.cc runs threads, meetings.cc has what they wait at, shared_memory.cc what they
// see of memory.
namespace dsbench::engine::kernels::cuda::simt::detail {

// A CUDA thread.
struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
  bool waited = false;                  // for the kernel before
  const std::uint64_t* gate = nullptr;  // waits while *gate == gate_was
  std::uint64_t gate_was = 0;
  ThreadCopies copies;
};

template <int kThreads>
struct Together {
  void* slots[kThreads] = {};
  int arrived = 0;
  std::uint64_t turns = 0;
};
using Warp = Together<32>;
using WarpGroup = Together<128>;

struct Block {
  std::vector<Fiber> fibers;
  std::vector<void*> stacks;  // where each fiber was left
  std::uint64_t serial = 0;
  std::vector<Warp> warps;
  std::vector<WarpGroup> groups;
  struct Named {
    int arrived = 0;
    std::uint64_t turns = 0;
    std::uint32_t warps = 0;  // that have arrived
  } named[16];
  std::vector<unsigned char> memory;
  unsigned char* shared = nullptr;
  std::size_t shared_bytes = 0;
  std::vector<unsigned char> seen;  // of `shared`, by TMA and wgmma
  bool fenced = false;
  std::size_t left = 0;  // threads that have not ended
  int arrived = 0;
  std::uint64_t turns = 0;
  int running = -1;
  unsigned x = 0;
  unsigned y = 0;
  Grid grid;
  const std::function<void()>* body = nullptr;
  bool early = false;
  ucontext_t scheduler;
  std::exception_ptr thrown;
  std::uint64_t passes = 0;  // turns that warps were given
};

// The blocks that run at the same time, by their rank.
extern std::vector<Block*> cluster;
// The one of them whose turn it is. One at a time: the emulation is single-threaded.
extern Block* block;
struct ClusterMeeting {
  int arrived = 0;
  std::uint64_t turns = 0;
};
extern ClusterMeeting cluster_meeting;
extern Watcher* watcher;
extern const unsigned char* launcher_stack;  // where run() has its own
extern bool working;                         // one lane for all of them that have met
inline constexpr int most_warps = 32;
inline constexpr std::size_t stack_bytes = 64 * 1024;

// The thread that runs.
Fiber& mine();
// Before its first turn.
void prepare(std::size_t thread);
// All threads of the cluster, to their ends.
void run_cluster();
// The thread that runs waits until this is another number.
void wait_for(const std::uint64_t* turns);
// Warps of the block have met; for whoever watches.
void warps_met(std::size_t first, std::size_t count);

}  // namespace dsbench::engine::kernels::cuda::simt::detail
