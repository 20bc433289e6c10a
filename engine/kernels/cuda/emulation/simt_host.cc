#include "engine/kernels/cuda/emulation/simt_host.h"

#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/kernels/cuda/emulation/block.h"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr std::size_t most_shared = 232448;  // what a block may have on Hopper

simt::Order order = simt::Order::forward;
int processors = 7;
std::uint64_t serial = 0;

}  // namespace

DeviceShape device_shape() {
  return {processors};
}
int compiled_arch() {
  return 90;
}
const char* status_text(Status status) {
  return status == invalid_value ? "invalid value" : "no error";
}

namespace simt {

namespace detail {

std::vector<Block*> cluster;
Block* block = nullptr;
ClusterMeeting cluster_meeting;
Watcher* watcher = nullptr;
const unsigned char* launcher_stack = nullptr;
bool working = false;

std::uint64_t block_serial() {
  return block->serial;
}
std::uint64_t cluster_serial() {
  return cluster.front()->serial;
}
ThreadCopies& own_copies() {
  return mine().copies;
}

}  // namespace detail

using detail::block;
using detail::Block;
using detail::cluster;
using detail::Fiber;

void set_order(Order wanted) {
  order = wanted;
}
Order current_order() {
  return order;
}
void set_processors(int wanted) {
  processors = wanted;
}

void set_watcher(Watcher* wanted) {
  detail::watcher = wanted;
}

Status run(const LaunchShape& shape, const std::function<void()>& body) {
  detail::launcher_stack = static_cast<const unsigned char*>(__builtin_frame_address(0));
  if (shape.threads == 0 || shape.threads > 1024 || shape.threads % 32 != 0 || shape.grid.x == 0 ||
      shape.grid.y == 0 || shape.grid.y > 65535 || shape.shared_bytes > most_shared || shape.cluster == 0 ||
      shape.cluster > 8 || shape.grid.x % shape.cluster != 0)
    return invalid_value;
  std::vector<Block> blocks(shape.cluster);
  cluster.clear();
  for (Block& now : blocks) {
    now.grid = shape.grid;
    now.body = &body;
    now.shared_bytes = shape.shared_bytes;
    now.early = shape.early;
    now.memory.resize(shape.shared_bytes + 1024);
    const auto start = reinterpret_cast<std::uintptr_t>(now.memory.data());
    now.shared = now.memory.data() + (1024 - start % 1024) % 1024;
    now.fibers.resize(shape.threads);
    now.stacks.assign(shape.threads, nullptr);
    now.warps.resize(shape.threads / 32);
    now.groups.resize((shape.threads + 127) / 128);
    cluster.push_back(&now);
  }
  struct Reset {
    ~Reset() {
      block = nullptr;
      cluster.clear();
      detail::drop_copies();
    }
  } const reset;
  const unsigned clusters = shape.grid.x * shape.grid.y / shape.cluster;
  for (unsigned i = 0; i < clusters; ++i) {
    const unsigned first = (order == Order::forward ? i : clusters - 1 - i) * shape.cluster;
    detail::cluster_meeting = {};
    for (unsigned rank = 0; rank < shape.cluster; ++rank) {
      Block& now = blocks[rank];
      block = &now;
      now.serial = ++serial;
      now.x = (first + rank) % shape.grid.x;
      now.y = (first + rank) / shape.grid.x;
      std::memset(now.memory.data(), 0xff, now.memory.size());  // NaN until written
      now.seen.assign(now.shared_bytes, 0xff);
      now.fenced = false;
      now.left = now.fibers.size();
      now.arrived = 0;
      for (detail::Warp& warp : now.warps) warp.arrived = 0;
      for (detail::WarpGroup& group : now.groups) group.arrived = 0;
      for (Block::Named& named : now.named) named.arrived = 0, named.warps = 0;
      for (std::size_t f = 0; f < now.fibers.size(); ++f) {
        Fiber fresh;
        fresh.stack = std::move(now.fibers[f].stack);
        now.fibers[f] = std::move(fresh);
        detail::prepare(f);
      }
    }
    detail::run_cluster();
    for (Block& now : blocks) {
      block = &now;
      detail::warps_met(0, now.warps.size());
    }
    if (detail::copies_under_way())
      throw std::logic_error("a block ends while copies are under way to it that nobody waits for");
  }
  return 0;
}

int cluster_rank() {
  for (std::size_t rank = 0; rank < cluster.size(); ++rank) {
    if (cluster[rank] == block) return static_cast<int>(rank);
  }
  return 0;
}
int thread() {
  return block->running;
}
int threads() {
  return static_cast<int>(block->fibers.size());
}
int block_x() {
  return static_cast<int>(block->x);
}
int block_y() {
  return static_cast<int>(block->y);
}
int grid_x() {
  return static_cast<int>(block->grid.x);
}
unsigned char* shared() {
  return block->shared;
}

void wait_for_previous() {
  detail::mine().waited = true;
}

}  // namespace simt
}  // namespace dsbench::engine::kernels::cuda
