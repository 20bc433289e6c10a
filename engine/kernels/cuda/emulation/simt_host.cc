#include "engine/kernels/cuda/emulation/simt_host.h"

#include <ucontext.h>

#include <cassert>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "engine/kernels/cuda/emulation/thread_copies.h"
#include "engine/kernels/cuda/mma_layout.h"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr std::size_t stack_bytes = 64 * 1024;
constexpr std::size_t most_shared = 232448;  // what a block may have on Hopper

// A CUDA thread.
struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
  bool waited = false;                  // for the kernel before
  const std::uint64_t* gate = nullptr;  // waits while *gate == gate_was
  std::uint64_t gate_was = 0;
  simt::detail::ThreadCopies copies;
};

template <int kThreads>
struct Together {
  void* slots[kThreads] = {};
  int arrived = 0;
  std::uint64_t turns = 0;
};
using Warp = Together<32>;
using WarpGroup = Together<128>;

// The block that runs. One at a time: the emulation is single-threaded.
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

Block* block = nullptr;
simt::Watcher* watcher = nullptr;
const unsigned char* launcher_stack = nullptr;  // where run() has its own
bool working = false;                           // one lane for all of them that have met
simt::Order order = simt::Order::forward;
int processors = 7;
std::uint64_t serial = 0;
// The blocks that run at the same time, by their rank; `block` is the one of them whose turn it is.
std::vector<Block*> cluster;
struct {
  int arrived = 0;
  std::uint64_t turns = 0;
} cluster_meeting;

// swapcontext saves the signal mask with two system calls each time; this only swaps what the calling
// convention keeps.
#if defined(__x86_64__)
extern "C" void dsb_switch(void** save, void* load);
__asm__(
    ".text\n.type dsb_switch, @function\ndsb_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n"
    ".size dsb_switch, .-dsb_switch\n");
#define DSB_FAST_SWITCH 1
#endif

#ifdef DSB_FAST_SWITCH
void* scheduler_stack = nullptr;
#endif

void to_scheduler() {
#ifdef DSB_FAST_SWITCH
  dsb_switch(&block->stacks[static_cast<std::size_t>(block->running)], scheduler_stack);
#else
  swapcontext(&block->fibers[static_cast<std::size_t>(block->running)].context, &block->scheduler);
#endif
}

void fiber_main() {
  try {
    (*block->body)();
    if (block->early && !block->fibers[static_cast<std::size_t>(block->running)].waited)
      throw std::logic_error("a thread of an early kernel never waits for the kernel before it");
  } catch (...) {
    if (!block->thrown) block->thrown = std::current_exception();
  }
  block->fibers[static_cast<std::size_t>(block->running)].done = true;
  --block->left;
  for (;;) to_scheduler();
}

void prepare(std::size_t i) {
  Fiber& fiber = block->fibers[i];
  if (!fiber.stack) fiber.stack = std::make_unique_for_overwrite<char[]>(stack_bytes);
#ifdef DSB_FAST_SWITCH
  // As dsb_switch leaves it: six registers, the return address; the entry sees a stack that is 8 past a
  // multiple of 16.
  auto top = reinterpret_cast<std::uintptr_t>(fiber.stack.get() + stack_bytes) & ~std::uintptr_t{15};
  void** sp = reinterpret_cast<void**>(top) - 2;
  *sp-- = reinterpret_cast<void*>(&fiber_main);
  for (int k = 0; k < 6; ++k) *sp-- = nullptr;
  block->stacks[i] = sp + 1;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = stack_bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, &fiber_main, 0);
#endif
}

void resume(std::size_t i) {
  block->running = static_cast<int>(i);
#ifdef DSB_FAST_SWITCH
  dsb_switch(&scheduler_stack, block->stacks[i]);
#else
  swapcontext(&block->scheduler, &block->fibers[i].context);
#endif
}

Fiber& mine() {
  return block->fibers[static_cast<std::size_t>(block->running)];
}

void wait_for(const std::uint64_t* turns) {
  Fiber& fiber = mine();
  fiber.gate = turns;
  fiber.gate_was = *turns;
  while (*fiber.gate == fiber.gate_was) to_scheduler();
  fiber.gate = nullptr;
}

bool runnable(const Fiber& fiber) {
  return !fiber.done && (fiber.gate == nullptr || *fiber.gate != fiber.gate_was);
}

// Runs a warp until all of its lanes wait for something outside it; true if any moved.
bool run_warp(std::size_t w) {
  bool moved = false;
  for (bool again = true; again;) {
    again = false;
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const std::size_t i = w * 32 + (order == simt::Order::forward ? lane : 31 - lane);
      if (!runnable(block->fibers[i])) continue;
      resume(i);
      if (block->thrown) return true;
      moved = again = true;
    }
  }
  return moved;
}

constexpr int most_warps = 32;

// Warps of the block have met; for whoever watches.
void warps_met(std::size_t first, std::size_t count) {
  if (watcher == nullptr) return;
  const auto before = static_cast<std::size_t>(simt::cluster_rank()) * most_warps;
  for (std::size_t w = first; w < first + count; ++w) watcher->warp_met(static_cast<int>(before + w));
}

void run_cluster() {
  for (;;) {
    bool moved = false;
    for (std::size_t n = 0; n < cluster.size(); ++n) {
      block = cluster[order == simt::Order::forward ? n : cluster.size() - 1 - n];
      const std::size_t warps = block->warps.size();
      for (std::size_t k = 0; k < warps; ++k) {
        ++block->passes;
        moved |= run_warp(order == simt::Order::forward ? k : warps - 1 - k);
        if (block->thrown) std::rethrow_exception(block->thrown);
      }
    }
    if (moved) continue;
    for (const Block* each : cluster) {
      for (const Fiber& fiber : each->fibers) {
        if (!fiber.done) throw std::logic_error("some threads wait at a barrier that the others never reach");
      }
    }
    return;
  }
}

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
  watcher = wanted;
}

Status run(const LaunchShape& shape, const std::function<void()>& body) {
  launcher_stack = static_cast<const unsigned char*>(__builtin_frame_address(0));
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
    cluster_meeting = {};
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
      for (Warp& warp : now.warps) warp.arrived = 0;
      for (WarpGroup& group : now.groups) group.arrived = 0;
      for (Block::Named& named : now.named) named.arrived = 0, named.warps = 0;
      for (std::size_t f = 0; f < now.fibers.size(); ++f) {
        Fiber fresh;
        fresh.stack = std::move(now.fibers[f].stack);
        now.fibers[f] = std::move(fresh);
        prepare(f);
      }
    }
    run_cluster();
    for (Block& now : blocks) {
      block = &now;
      warps_met(0, now.warps.size());
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
void sync_cluster() {
  if (++cluster_meeting.arrived == static_cast<int>(cluster.size() * block->fibers.size())) {
    cluster_meeting.arrived = 0;
    ++cluster_meeting.turns;
    detail::threads_met();
    Block* const last = block;
    for (Block* const each : cluster) {
      block = each;
      warps_met(0, each->warps.size());
    }
    block = last;
    return;
  }
  wait_for(&cluster_meeting.turns);
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

void sync_block() {
  Block& b = *block;
  if (++b.arrived == static_cast<int>(b.fibers.size())) {
    b.arrived = 0;
    detail::threads_met();
    warps_met(0, b.warps.size());
    ++b.turns;
    return;
  }
  wait_for(&b.turns);
}

void wait_for_previous() {
  mine().waited = true;
}

void sync_warp() {
  detail::together(nullptr, [](void* const*) {});
}

namespace detail {

namespace {

template <int kThreads>
void meet(Together<kThreads>& place, void* slot, void (*work)(void* const*)) {
  place.slots[block->running % kThreads] = slot;
  if (++place.arrived == kThreads) {
    place.arrived = 0;
    threads_met();
    warps_met(static_cast<std::size_t>(block->running / kThreads) * (kThreads / 32), kThreads / 32);
    {
      struct Working {
        Working() { working = true; }
        ~Working() { working = false; }
      } const for_all;
      work(place.slots);
    }
    ++place.turns;
    return;
  }
  wait_for(&place.turns);
}

}  // namespace

void together(void* slot, void (*work)(void* const*)) {
  meet(block->warps[static_cast<std::size_t>(block->running / 32)], slot, work);
}

void together_group(void* slot, void (*work)(void* const*)) {
  meet(block->groups[static_cast<std::size_t>(block->running / 128)], slot, work);
}

void meet_named(int id, int threads) {
  if (id < 1 || id > 15 || threads % 32 != 0) throw std::logic_error("no such named barrier");
  Block::Named& place = block->named[id];
  place.warps |= 1u << (block->running / 32);
  if (++place.arrived == threads) {
    place.arrived = 0;
    threads_met();
    for (std::uint32_t left = std::exchange(place.warps, 0); left != 0; left &= left - 1)
      warps_met(static_cast<std::size_t>(std::countr_zero(left)), 1);
    ++place.turns;
    return;
  }
  wait_for(&place.turns);
}

std::uint64_t block_serial() {
  return block->serial;
}
std::uint64_t cluster_serial() {
  return cluster.front()->serial;
}
void* in_block(void* p, int rank) {
  if (rank < 0 || rank >= static_cast<int>(cluster.size()))
    throw std::logic_error("no block of that rank in the cluster");
  const Block& other = *cluster[static_cast<std::size_t>(rank)];
  if (other.left == 0) throw std::logic_error("a block reaches into another of its cluster that has ended");
  return other.shared + (static_cast<unsigned char*>(p) - block->shared);
}

unsigned char* async_view(const void* p) {
  const auto* const at = static_cast<const unsigned char*>(p);
  for (Block* const each : cluster) {
    if (at >= each->shared && at < each->shared + each->shared_bytes)
      return each->seen.data() + (at - each->shared);
  }
  throw std::logic_error("access outside of the shared memory that was asked for");
}

void fence_async() {
  block->fenced = true;
  fence_arrived();
}

void threads_met() {
  if (!block->fenced) return;
  block->fenced = false;
  std::memcpy(block->seen.data(), block->shared, block->shared_bytes);
  hide_unfenced();
}

ThreadCopies& own_copies() {
  return mine().copies;
}

void let_others_run() {
  wait_for(&block->passes);
}

void wait_for_change(const std::uint64_t* word) {
  wait_for(word);
}

bool in_shared(const void* p) {
  const auto* const at = static_cast<const unsigned char*>(p);
  return at >= block->shared && at < block->shared + block->shared_bytes;
}

void check_shared(const void* p, int bytes, int alignment) {
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  const auto inside = [&](const Block* each) {
    const auto begin = reinterpret_cast<std::uintptr_t>(each->shared);
    return at >= begin && at + static_cast<std::uintptr_t>(bytes) <= begin + each->shared_bytes;
  };
  if (std::ranges::none_of(cluster, inside))
    throw std::logic_error("access outside of the shared memory that was asked for");
  if (at % static_cast<std::uintptr_t>(alignment) != 0)
    throw std::logic_error("misaligned access to shared memory");
}

void watch(std::uintptr_t site, const void* p, int bytes, Touch touch) {
  if (watcher == nullptr || block == nullptr || working) return;
  constexpr std::uintptr_t launcher_bytes = 256 * 1024;
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  const auto within = [at](const void* begin, std::uintptr_t size) {
    return at - reinterpret_cast<std::uintptr_t>(begin) < size;
  };
  // A thread's registers are its stack; arguments of the kernel are on that of the launcher. The table is an
  // instruction of the machine.
  if (within(mine().stack.get(), stack_bytes) || within(launcher_stack, launcher_bytes) ||
      within(e4m3_table(), 256 * sizeof(float)))
    return;
  const bool shared = std::ranges::any_of(
      cluster, [&](const Block* each) { return within(each->shared, each->shared_bytes); });
  watcher->access({site, cluster_rank() * most_warps * 32 + block->running, at, bytes,
                   shared ? Space::shared : Space::global, touch});
}

std::uint8_t encode_e4m3(float v) {
  const std::uint32_t bits = float_bits(v);
  const auto sign = static_cast<std::uint8_t>((bits >> 24) & 0x80u);
  if (std::isnan(v)) return sign | 0x7f;
  const float a = std::fabs(v);
  if (a >= 448.0f) return sign | 0x7e;
  // Steps of 2^-9 below 2^-6, else 8 to a power of two; nearbyint rounds ties to even.
  int exponent = 0;
  std::frexp(a, &exponent);  // a in [2^(e−1), 2^e)
  const int shift = std::max(exponent - 1, -6) - 3;
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(a, -shift)));  // 0 … 16
  if (steps < 8) return sign | static_cast<std::uint8_t>(steps);               // subnormal: shift is −9
  const int biased = shift + 3 + 7 + (steps == 16 ? 1 : 0);
  return static_cast<std::uint8_t>(sign | (biased << 3) | (steps == 16 ? 0 : steps - 8));
}

float decode_e4m3(std::uint8_t code) {
  const int exponent = (code >> 3) & 15;
  const int mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                   : std::ldexp(static_cast<float>(mantissa + 8), exponent - 10);
  return (code & 0x80) != 0 ? -size : size;
}

const float* e4m3_table() {
  static const auto table = [] {
    std::vector<float> values(256);
    for (int i = 0; i < 256; ++i)
      values[static_cast<std::size_t>(i)] = decode_e4m3(static_cast<std::uint8_t>(i));
    return values;
  }();
  return table.data();
}

namespace {

struct MatrixSlot {
  const unsigned char* row;
  bool trans;
  std::uint32_t* out;
};

struct MmaSlot {
  float* c;
  const std::uint32_t* a;
  std::uint32_t b[2];
  bool e4m3;
};

// The bytes of one register, as numbers.
int unpack(std::uint32_t word, bool e4m3, float* values) {
  if (e4m3) {
    const float* table = e4m3_table();
    for (int i = 0; i < 4; ++i) values[i] = table[(word >> (8 * i)) & 255u];
    return 4;
  }
  values[0] = from_bf16(static_cast<std::uint16_t>(word & 0xffffu));
  values[1] = from_bf16(static_cast<std::uint16_t>(word >> 16));
  return 2;
}

void mma_of_warp(void* const* all) {
  const MmaSlot& first = *static_cast<const MmaSlot*>(all[0]);
  const bool e4m3 = first.e4m3;
  const int width = e4m3 ? 1 : 2;  // bytes of an element
  const int depth = 32 / width;
  float a[16][32];
  float b[32][8];
  for (int lane = 0; lane < 32; ++lane) {
    const MmaSlot& slot = *static_cast<const MmaSlot*>(all[lane]);
    for (int i = 0; i < 4; ++i) unpack(slot.a[i], e4m3, &a[a_row(lane, i)][a_byte(lane, i) / width]);
    for (int i = 0; i < 2; ++i) {
      float column[4];
      const int values = unpack(slot.b[i], e4m3, column);
      for (int k = 0; k < values; ++k) b[b_byte(lane, i) / width + k][b_col(lane)] = column[k];
    }
  }
  float product[16][8] = {};
  for (int r = 0; r < 16; ++r) {
    for (int k = 0; k < depth; ++k) {
      for (int n = 0; n < 8; ++n) product[r][n] += a[r][k] * b[k][n];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* c = static_cast<MmaSlot*>(all[lane])->c;
    for (int i = 0; i < 4; ++i) c[i] += product[c_row(lane, i)][c_col(lane, i)];
  }
}

void load_of_warp(void* const* all) {
  for (int lane = 0; lane < 32; ++lane) {
    const MatrixSlot& slot = *static_cast<const MatrixSlot*>(all[lane]);
    for (int matrix = 0; matrix < 4; ++matrix) {
      std::uint16_t pair[2];
      for (int k = 0; k < 2; ++k) {
        // Plain: row lane/4, items 2·(lane%4) and the next. Transposed: the same of the transposed matrix.
        const int row = slot.trans ? (lane % 4) * 2 + k : lane / 4;
        const int item = slot.trans ? lane / 4 : (lane % 4) * 2 + k;
        const MatrixSlot& owner = *static_cast<const MatrixSlot*>(all[matrix * 8 + row]);
        std::memcpy(&pair[k], owner.row + item * 2, 2);
      }
      slot.out[matrix] = pair[0] | (static_cast<std::uint32_t>(pair[1]) << 16);
    }
  }
}

}  // namespace

void load_matrix(std::uint32_t (&r)[4], const void* p, bool trans) {
  watch(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)), p, 16, Touch::read);
  check_shared(p, 16, 16);
  MatrixSlot slot{static_cast<const unsigned char*>(p), trans, r};
  together(&slot, &load_of_warp);
}

void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, bool e4m3) {
  MmaSlot slot{c, a, {b0, b1}, e4m3};
  together(&slot, &mma_of_warp);
}

}  // namespace detail
}  // namespace simt
}  // namespace dsbench::engine::kernels::cuda
