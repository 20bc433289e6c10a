#include "engine/kernels/cuda/emulation/hopper_host.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "engine/kernels/cuda/emulation/thread_copies.h"
#include "engine/kernels/cuda/mma_layout.h"
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

namespace {

// A product as the 128 threads of a warpgroup issued it.
struct Product {
  bool e4m3;
  bool trans;           // of b
  bool a_in_registers;  // bf16
  bool add;
  int n;
  std::uint64_t a;
  std::uint64_t b;
  std::array<float*, group_threads> c;
  std::array<const std::uint32_t*, group_threads> a_registers;
};

// Sums that products under way go to: their values, which the threads do not see until all of those are done.
struct Sums {
  std::array<float*, group_threads> c;
  std::vector<float> values;  // [thread, n/2]
  int products;               // under way
};

// Registers of a thread as they were at its last fence.
struct Fenced {
  const unsigned char* at;
  std::vector<unsigned char> values;
};

struct Flight {
  std::uint64_t block = 0;
  std::array<std::vector<Fenced>, group_threads> fenced = {};
  std::vector<Product> open = {};                // since the last commit
  std::deque<std::vector<Product>> groups = {};  // committed, oldest first
  std::vector<Sums> sums = {};
};

Flight& flight_of_group() {
  static std::array<Flight, 64> flights;
  Flight& flight = flights[static_cast<std::size_t>(cluster_rank() * 8 + thread() / group_threads)];
  if (flight.block != detail::block_serial()) flight = Flight{.block = detail::block_serial()};
  return flight;
}

struct IssueSlot {
  float* c;
  const std::uint32_t* a_registers;
  const Product* form;
};

// Whether the thread's fence knows these registers, and, where their values count, with the values that they
// have.
void require_fenced(const Flight& flight, int thread, const void* registers, std::size_t bytes,
                    bool values_count) {
  const auto* const at = static_cast<const unsigned char*>(registers);
  for (const Fenced& f : flight.fenced[static_cast<std::size_t>(thread)]) {
    if (at < f.at || at + bytes > f.at + f.values.size()) continue;
    if (values_count && std::memcmp(at, f.values.data() + (at - f.at), bytes) != 0)
      throw std::logic_error("registers of a wgmma changed after wgmma_fence");
    return;
  }
  throw std::logic_error("a wgmma whose registers no wgmma_fence named since the last wait");
}

void issue(Product form, float* c, const std::uint32_t* a_registers) {
  IssueSlot slot{c, a_registers, &form};
  detail::together_group(&slot, [](void* const* all) {
    Product product = *static_cast<const IssueSlot*>(all[0])->form;
    if ((!product.a_in_registers && descriptor_fields(product.a).swizzle != 1) ||
        descriptor_fields(product.b).swizzle != 1)
      throw std::logic_error("a wgmma descriptor without the 128-byte swizzle");
    for (int t = 0; t < group_threads; ++t) {
      const IssueSlot& mine = *static_cast<const IssueSlot*>(all[t]);
      if (mine.form->a != product.a || mine.form->b != product.b || mine.form->add != product.add)
        throw std::logic_error("threads of a warpgroup disagree on a product's operands");
      product.c[static_cast<std::size_t>(t)] = mine.c;
      product.a_registers[static_cast<std::size_t>(t)] = mine.a_registers;
    }
    Flight& flight = flight_of_group();
    const auto known = std::ranges::find_if(flight.sums, [&](const Sums& s) { return s.c == product.c; });
    for (int t = 0; t < group_threads; ++t) {
      const auto at = static_cast<std::size_t>(t);
      if (known == flight.sums.end())
        require_fenced(flight, t, product.c[at], static_cast<std::size_t>(product.n / 2) * sizeof(float),
                       product.add);
      if (product.a_in_registers)
        require_fenced(flight, t, product.a_registers[at], 4 * sizeof(std::uint32_t), true);
    }
    if (known != flight.sums.end()) {
      ++known->products;
    } else {
      Sums sums{.c = product.c, .values = {}, .products = 1};
      for (float* const mine : product.c) {
        sums.values.insert(sums.values.end(), mine, mine + product.n / 2);
        std::fill_n(mine, product.n / 2, std::numeric_limits<float>::quiet_NaN());
      }
      flight.sums.push_back(std::move(sums));
    }
    flight.open.push_back(product);
  });
}

constexpr int most_k = 32;
constexpr int most_n = 256;

const unsigned char* operand_at(std::uint32_t address, int bytes) {
  const unsigned char* const at = shared() + address;
  detail::check_shared(at, bytes, bytes);
  return detail::async_view(at);
}

void read_a(const Product& product, float (&a)[64][most_k]) {
  const float* const e4m3 = detail::e4m3_table();
  for (int r = 0; r < 64; ++r) {
    for (int byte = 0; byte < 32 && !product.a_in_registers; byte += 16) {
      const unsigned char* const at = operand_at(operand_address(product.a, r, byte), 16);
      for (int i = 0; i < (product.e4m3 ? 16 : 8); ++i) {
        if (product.e4m3) {
          a[r][byte + i] = e4m3[at[i]];
        } else {
          std::uint16_t bits = 0;
          std::memcpy(&bits, at + 2 * i, 2);
          a[r][byte / 2 + i] = from_bf16(bits);
        }
      }
    }
  }
  for (int t = 0; t < group_threads && product.a_in_registers; ++t) {
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t word = product.a_registers[static_cast<std::size_t>(t)][i];
      float* const to = &a[t / 32 * 16 + a_row(t % 32, i)][a_byte(t % 32, i) / 2];
      to[0] = from_bf16(static_cast<std::uint16_t>(word & 0xffffu));
      to[1] = from_bf16(static_cast<std::uint16_t>(word >> 16));
    }
  }
}

void read_b(const Product& product, float (&b)[most_k][most_n]) {
  const float* const e4m3 = detail::e4m3_table();
  if (product.trans) {
    for (int k = 0; k < 16; ++k) {
      for (int c = 0; c < product.n; ++c) {
        const unsigned char* const at = operand_at(n_major_address(product.b, k, c), 2);
        std::uint16_t bits = 0;
        std::memcpy(&bits, at, 2);
        b[k][c] = from_bf16(bits);
      }
    }
    return;
  }
  for (int c = 0; c < product.n; ++c) {
    for (int byte = 0; byte < 32; byte += 16) {
      const unsigned char* const at = operand_at(operand_address(product.b, c, byte), 16);
      for (int i = 0; i < (product.e4m3 ? 16 : 8); ++i) {
        if (product.e4m3) {
          b[byte + i][c] = e4m3[at[i]];
        } else {
          std::uint16_t bits = 0;
          std::memcpy(&bits, at + 2 * i, 2);
          b[byte / 2 + i][c] = from_bf16(bits);
        }
      }
    }
  }
}

void compute(const Product& product, Flight& flight) {
  static float a[64][most_k];
  static float b[most_k][most_n];
  static float sum[64][most_n];
  read_a(product, a);
  read_b(product, b);
  const int depth = product.e4m3 ? 32 : 16;
  for (int r = 0; r < 64; ++r) {
    std::fill_n(sum[r], product.n, 0.0f);
    for (int k = 0; k < depth; ++k) {
      for (int c = 0; c < product.n; ++c) sum[r][c] += a[r][k] * b[k][c];
    }
  }
  const auto to = std::ranges::find_if(flight.sums, [&](const Sums& s) { return s.c == product.c; });
  const int own = product.n / 2;
  for (int t = 0; t < group_threads; ++t) {
    float* const values = to->values.data() + t * own;
    for (int e = 0; e < own; ++e) {
      const float now = sum[t / 32 * 16 + c_row(t % 32, e % 4)][e / 4 * 8 + c_col(t % 32, e % 4)];
      values[e] = product.add ? values[e] + now : now;
    }
  }
  if (--to->products > 0) return;
  for (int t = 0; t < group_threads; ++t)
    std::copy_n(to->values.data() + t * own, own, to->c[static_cast<std::size_t>(t)]);
  flight.sums.erase(to);
}

}  // namespace

void wgmma_commit() {
  detail::together_group(nullptr, [](void* const*) {
    Flight& flight = flight_of_group();
    flight.groups.push_back(std::move(flight.open));
    flight.open.clear();
  });
}

namespace detail {

void settle_products(int left) {
  if (thread() % 32 == 0) let_others_run();
  together_group(&left, [](void* const* all) {
    Flight& flight = flight_of_group();
    for (std::vector<Fenced>& fenced : flight.fenced) fenced.clear();
    const int most = *static_cast<const int*>(all[0]);
    while (static_cast<int>(flight.groups.size()) > most) {
      for (const Product& product : flight.groups.front()) compute(product, flight);
      flight.groups.pop_front();
    }
  });
}

void fence_registers(void* registers, std::size_t bytes) {
  const auto* const at = static_cast<const unsigned char*>(registers);
  std::vector<Fenced>& fenced = flight_of_group().fenced[static_cast<std::size_t>(thread() % group_threads)];
  std::erase_if(fenced, [&](const Fenced& f) { return f.at == at; });
  fenced.push_back({at, {at, at + bytes}});
}

bool copies_under_way() {
  return !under_way.empty() || arrived_under_way();
}
void drop_copies() {
  under_way.clear();
  drop_arrived();
}

}  // namespace detail

namespace {

void issue_e4m3(float* c, int n, std::uint64_t a, std::uint64_t b, bool add) {
  issue({.e4m3 = true,
         .trans = false,
         .a_in_registers = false,
         .add = add,
         .n = n,
         .a = a,
         .b = b,
         .c = {},
         .a_registers = {}},
        c, nullptr);
}

void issue_bf16(float* c, int n, std::uint64_t a, const std::uint32_t* a_registers, std::uint64_t b,
                bool trans, bool add) {
  issue({.e4m3 = false,
         .trans = trans,
         .a_in_registers = a_registers != nullptr,
         .add = add,
         .n = n,
         .a = a,
         .b = b,
         .c = {},
         .a_registers = {}},
        c, a_registers);
}

}  // namespace

void wgmma_e4m3(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 128, a, b, add);
}
void wgmma_e4m3_n8(float (&c)[4], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 8, a, b, add);
}
void wgmma_e4m3_n16(float (&c)[8], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 16, a, b, add);
}
void wgmma_e4m3_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 32, a, b, add);
}
void wgmma_e4m3_n64(float (&c)[32], std::uint64_t a, std::uint64_t b, bool add) {
  issue_e4m3(c, 64, a, b, add);
}
void wgmma_bf16_n32(float (&c)[16], std::uint64_t a, std::uint64_t b, bool add) {
  issue_bf16(c, 32, a, nullptr, b, false, add);
}
void wgmma_bf16_n64(float (&c)[32], std::uint64_t a, std::uint64_t b, bool add) {
  issue_bf16(c, 64, a, nullptr, b, false, add);
}
void wgmma_bf16_n128(float (&c)[64], std::uint64_t a, std::uint64_t b, bool add) {
  issue_bf16(c, 128, a, nullptr, b, false, add);
}
void wgmma_bf16_n128_trans(float (&c)[64], const std::uint32_t (&a)[4], std::uint64_t b, bool add) {
  issue_bf16(c, 128, 0, a, b, true, add);
}
void wgmma_bf16_n256_trans(float (&c)[128], std::uint64_t a, std::uint64_t b, bool add) {
  issue_bf16(c, 256, a, nullptr, b, true, add);
}
void wgmma_bf16_n256_trans(float (&c)[128], const std::uint32_t (&a)[4], std::uint64_t b, bool add) {
  issue_bf16(c, 256, 0, a, b, true, add);
}

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
