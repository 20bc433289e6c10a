#include "engine/kernels/cuda/emulation/hopper_host.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "engine/kernels/cuda/emulation/thread_copies.h"
#include "engine/kernels/cuda/wgmma_descriptor.h"

namespace dsbench::engine::kernels::cuda {

namespace {

struct HostMap {
  const unsigned char* data;
  std::uint64_t rows;
  std::uint64_t row_bytes;
  std::uint32_t box_rows;
};
static_assert(sizeof(HostMap) <= sizeof(TensorMap));

constexpr int box_bytes = 128;

struct Box {
  unsigned char* to;
  HostMap map;
  simt::Barrier* barrier;
  int byte;
  int row;
};
std::vector<Box>
    under_way;  // of the block that runs; all have arrived when it ends, or it would not have waited

// A box on its way to its matrix.
struct Store {
  std::uint64_t block;
  int thread;
  const unsigned char* from;
  std::vector<unsigned char> seen;  // what lay there when it was asked for; empty: look when it is waited for
  HostMap map;
  int byte;
  int row;
  bool committed;
};
std::vector<Store> stores;

void write_back(const Store& store) {
  const unsigned char* const from = store.seen.empty() ? store.from : store.seen.data();
  for (std::uint32_t r = 0; r < store.map.box_rows; ++r) {
    const std::uint64_t row = static_cast<std::uint64_t>(store.row) + r;
    for (std::uint32_t chunk = 0; chunk < box_bytes / 16; ++chunk) {
      const std::uint64_t byte = static_cast<std::uint64_t>(store.byte) + chunk * 16;
      if (row < store.map.rows && byte < store.map.row_bytes)
        std::memcpy(const_cast<unsigned char*>(store.map.data) + row * store.map.row_bytes + byte,
                    from + swizzled_address(r * box_bytes + chunk * 16), 16);
    }
  }
}

// Flipped in `arrivals` when another block sends a box: who sleeps at the barrier wakes and lets it land.
constexpr std::int16_t poked = 0x4000;

bool parity_of(const simt::Barrier& b) {
  return (b.bytes & 1) != 0;
}

void maybe_next_phase(simt::Barrier& b) {
  if (b.pending != 0 || b.bytes >> 1 != 0) return;
  b.pending = b.arrivals & ~poked;
  b.bytes ^= 1;
}

// Shared memory, as threads and as the asynchronous proxy see it.
void fill_shared(void* to, int value, std::size_t bytes) {
  std::memset(to, value, bytes);
  std::memset(simt::detail::async_view(to), value, bytes);
}

void land(const Box& box) {
  for (std::uint32_t r = 0; r < box.map.box_rows; ++r) {
    for (int chunk = 0; chunk < box_bytes / 16; ++chunk) {
      unsigned char* to = box.to + swizzled_address(r * box_bytes + static_cast<std::uint32_t>(chunk) * 16);
      const std::uint64_t row = static_cast<std::uint64_t>(box.row) + r;
      const std::uint64_t byte =
          static_cast<std::uint64_t>(box.byte) + static_cast<std::uint64_t>(chunk) * 16;
      if (row < box.map.rows && byte < box.map.row_bytes)
        std::memcpy(to, box.map.data + row * box.map.row_bytes + byte, 16);
      else
        std::memset(to, 0, 16);
      std::memcpy(simt::detail::async_view(to), to, 16);
    }
  }
  simt::detail::bytes_came(*box.barrier, static_cast<int>(box.map.box_rows) * box_bytes);
}

// The boxes that are on their way to this barrier land; whether there were any.
bool land_boxes(const simt::Barrier* b) {
  const auto lands = [&](const Box& box) { return box.barrier == b; };
  if (std::ranges::none_of(under_way, lands)) return false;
  for (const Box& box : under_way) {
    if (lands(box)) land(box);
  }
  std::erase_if(under_way, lands);
  return true;
}

constexpr int group_threads = 128;  // a warpgroup

}  // namespace

Status make_tensor_map(TensorMap& map, const void* data, std::uint64_t rows, std::uint64_t row_bytes,
                       std::uint32_t box_rows) {
  if (reinterpret_cast<std::uintptr_t>(data) % 16 != 0 || row_bytes % 16 != 0 || rows == 0 ||
      row_bytes == 0 || box_rows == 0 || box_rows > 256)
    return invalid_value;
  const HostMap host{static_cast<const unsigned char*>(data), rows, row_bytes, box_rows};
  std::memcpy(map.bytes, &host, sizeof host);
  return 0;
}

namespace simt {

namespace detail {
void bytes_came(Barrier& b, int bytes) {
  b.bytes -= bytes * 2;
  maybe_next_phase(b);
}
}  // namespace detail

void init_barrier(Barrier* b, int arrivals) {
  detail::check_shared(b, 8, 8);
  *b = {static_cast<std::int16_t>(arrivals), static_cast<std::int16_t>(arrivals), 0};
}

void arrive(Barrier* b) {
  detail::check_shared(b, 8, 8);
  if (b->pending <= 0) throw std::logic_error("more arrivals at a barrier than it was made for");
  detail::threads_met();
  --b->pending;
  maybe_next_phase(*b);
}

void expect_bytes(Barrier* b, int bytes) {
  b->bytes += bytes * 2;
  arrive(b);
}

void wait_barrier(Barrier* b, int parity) {
  detail::check_shared(b, 8, 8);
  while (parity_of(*b) == (parity != 0)) {
    const bool boxes = land_boxes(b);
    if (!detail::land_arrived(b) && !boxes)
      detail::wait_for_change(reinterpret_cast<const std::uint64_t*>(b));
  }
  detail::saw_arrived(b);
}

void copy_box(void* to, const TensorMap& map, Barrier* b, int byte, int row) {
  HostMap host;
  std::memcpy(&host, map.bytes, sizeof host);
  const int bytes = static_cast<int>(host.box_rows) * box_bytes;
  detail::check_shared(to, bytes, 1024);
  detail::check_shared(b, 8, 8);
  if (byte < 0 || row < 0) throw std::logic_error("a box before the beginning of its matrix");
  fill_shared(to, 0xff, static_cast<std::size_t>(bytes));
  under_way.push_back({static_cast<unsigned char*>(to), host, b, byte, row});
}

void arrive_at(Barrier* b, int rank) {
  arrive(static_cast<Barrier*>(detail::in_block(b, rank)));
}

void copy_box_to_pair(void* to, const TensorMap& map, Barrier* b, int byte, int row) {
  for (int rank = 0; rank < 2; ++rank) {
    auto* const theirs = static_cast<Barrier*>(detail::in_block(b, rank));
    copy_box(detail::in_block(to, rank), map, theirs, byte, row);
    theirs->arrivals ^= poked;
  }
}

void store_box(const TensorMap& map, const void* from, int byte, int row) {
  HostMap host;
  std::memcpy(&host, map.bytes, sizeof host);
  detail::check_shared(from, static_cast<int>(host.box_rows) * box_bytes, 1024);
  if (byte < 0 || row < 0) throw std::logic_error("a box before the beginning of its matrix");
  std::erase_if(stores, [](const Store& s) { return s.block < detail::cluster_serial(); });
  const auto* const begin = detail::async_view(from);
  std::vector<unsigned char> seen;
  if (current_order() == Order::forward) seen.assign(begin, begin + host.box_rows * box_bytes);
  stores.push_back({detail::block_serial(), thread(), begin, std::move(seen), host, byte, row, false});
}

void commit_stores() {
  for (Store& s : stores) s.committed |= s.thread == thread() && s.block == detail::block_serial();
}

void wait_stores() {
  detail::let_others_run();
  std::erase_if(stores, [](const Store& s) {
    if (s.block != detail::block_serial() || s.thread != thread() || !s.committed) return false;
    write_back(s);
    return true;
  });
}

std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(static_cast<const unsigned char*>(p) - shared());
}

namespace detail {

bool copies_under_way() {
  return !under_way.empty() || arrived_under_way();
}
void drop_copies() {
  under_way.clear();
  drop_arrived();
}

}  // namespace detail

namespace detail {

// A kernel that hands registers on is compiled for as many as its threads can have, in eights.
void set_registers(int registers, bool more) {
  constexpr int of_processor = 65536;
  const int launched = std::min(of_processor / threads() / 8 * 8, 256);
  static std::array<int, 8> wanted;
  static std::uint64_t block = 0;
  if (block != block_serial()) {
    wanted = {};
    block = block_serial();
  }
  int& own = wanted[static_cast<std::size_t>(thread() / group_threads)];
  if (own != registers) {
    const int before = own == 0 ? launched : own;
    if (more ? registers < before : registers > before)
      throw std::logic_error("a warpgroup asks for registers that it has, or leaves some that it lacks");
    own = registers;
  }
  const int groups = threads() / group_threads;
  if (std::accumulate(wanted.begin(), wanted.end(), 0) > groups * launched)
    throw std::logic_error("warpgroups want more registers than their block has");
}

}  // namespace detail

void sync_threads_of(int id, int threads) {
  detail::meet_named(id, threads);
}

}  // namespace simt
}  // namespace dsbench::engine::kernels::cuda
