#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>

#include "engine/kernels/cuda/launch.h"

#define DSB_KERNEL(threads, per_sm) inline void
#ifdef DSB_WATCHED
// What is called twice is two places in the code, as on the device.
#define DSB_DEVICE inline __attribute__((always_inline))
#else
#define DSB_DEVICE inline
#endif
#define DSB_UNROLL
#define DSB_NO_UNROLL
#define DSB_UNROLL_4

namespace dsbench::engine::kernels::cuda {

struct alignas(16) Bytes16 {
  std::uint32_t word[4];
};

// The emulated machine: see emulation/fibers.cc for how a block of threads runs.
namespace simt {

// In which order the warps of a block get their turns. A result that depends on it lacks a barrier.
enum class Order : int { forward, backward };
void set_order(Order order);
Order current_order();
// What device_shape() says: an odd number of processors tries the planners harder.
void set_processors(int processors);

// What threads do to memory, told to who wants to know: only by kernels that were compiled for it (see
// watched_accesses.cc), of shared memory and of what is neither shared nor a thread's own.
enum class Space : int { shared, global };
enum class Touch : int { read, write };
struct Access {
  std::uintptr_t site;  // a place in the code: where what stands for the instruction was called
  int thread;           // of the block, and 1024 further for each block of the cluster before it
  std::uintptr_t address;
  int bytes;
  Space space;
  Touch touch;
};
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void access(const Access& access) = 0;
  // All lanes of the warp (counted as threads are) have met or ended.
  virtual void warp_met(int warp) = 0;
};
// Null: nobody, as at first.
void set_watcher(Watcher* watcher);

// Runs the kernel's body for every thread of every block, one block at a time; 0, or invalid_value when the
// shape is not one that a GPU takes. A barrier that not all threads reach, a shared-memory access beyond what
// was asked for and a misaligned copy throw std::logic_error with a sentence.
Status run(const LaunchShape& shape, const std::function<void()>& body);

int thread();
int threads();
int block_x();
int block_y();
int grid_x();
int cluster_rank();
void sync_cluster();
unsigned char* shared();
void sync_block();
void sync_warp();

namespace detail {
// All 32 lanes of a warp hand in a pointer; the last one runs `work` over the 32 of them, then all go on.
void together(void* mine, void (*work)(void* const* all));
// The same for the 128 threads of a warpgroup.
void together_group(void* mine, void (*work)(void* const* all));
// Named barrier `id` of this many threads.
void meet_named(int id, int threads);
// Counts the blocks that were run: what is known of one ends with it.
std::uint64_t block_serial();
// That of the cluster's first block, which is the least.
std::uint64_t cluster_serial();
// The same place of another block of the cluster, which must not have ended.
void* in_block(void* p, int rank);
// What TMA and wgmma see at this place of shared memory. After fence_async() they see, as soon as threads
// meet at whatever barrier, what the block's threads have written until then.
unsigned char* async_view(const void* p);
void fence_async();
void threads_met();
// Boxes that nobody has waited for (hopper_host.cc).
bool copies_under_way();
void drop_copies();
// The other warps get a turn before this thread goes on: what it already allowed them may happen now.
void let_others_run();
// Until the word is another one than now.
void wait_for_change(const std::uint64_t* word);
// Whether that is shared memory of the block that runs.
bool in_shared(const void* p);
void check_shared(const void* p, int bytes, int alignment);
void watch(std::uintptr_t site, const void* p, int bytes, Touch touch);
void queue_copy(void* to, const void* from, int bytes, bool valid);
void commit();
void wait(int left);
std::uint8_t encode_e4m3(float v);
// The value of each e4m3 code.
const float* e4m3_table();
void load_matrix(std::uint32_t (&r)[4], const void* p, bool trans);
void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, bool e4m3);
}  // namespace detail

inline float shuffle(float v, int lane) {
  struct Slot {
    float v;
    int lane;
    float got;
  } slot{v, lane, 0};
  detail::together(&slot, [](void* const* all) {
    for (int i = 0; i < 32; ++i) {
      Slot& s = *static_cast<Slot*>(all[i]);
      s.got = static_cast<Slot*>(all[s.lane & 31])->v;
    }
  });
  return slot.got;
}
inline int shuffle(int v, int lane) {
  return std::bit_cast<int>(shuffle(std::bit_cast<float>(v), lane));
}
inline float shuffle_xor(float v, int mask) {
  return shuffle(v, (thread() & 31) ^ mask);
}
inline int shuffle_xor(int v, int mask) {
  return shuffle(v, (thread() & 31) ^ mask);
}
inline int uniform(int v) {
  struct Slot {
    int v;
  } slot{v};
  detail::together(&slot, [](void* const* all) {
    for (int i = 1; i < 32; ++i) {
      if (static_cast<Slot*>(all[i])->v != static_cast<Slot*>(all[0])->v)
        throw std::logic_error("lanes differ in a number that is said to be the same for all of them");
    }
  });
  return v;
}
inline std::uint32_t match(int v) {
  struct Slot {
    int v;
    std::uint32_t same;
  } slot{v, 0};
  detail::together(&slot, [](void* const* all) {
    for (int i = 0; i < 32; ++i) {
      for (int j = 0; j < 32; ++j) {
        if (static_cast<Slot*>(all[i])->v == static_cast<Slot*>(all[j])->v)
          static_cast<Slot*>(all[i])->same |= 1u << j;
      }
    }
  });
  return slot.same;
}
inline std::uint32_t ballot(bool p) {
  const std::uint32_t same = match(p ? 1 : 0);
  return p ? same : ~same;
}
inline int count_bits(std::uint32_t v) {
  return std::popcount(v);
}
inline int lowest_bit(std::uint32_t v) {
  return v == 0 ? -1 : std::countr_zero(v);
}
inline int add_shared(int* p, int v) {
  detail::check_shared(p, 4, 4);
  const int before = *p;
  *p += v;
  return before;
}

inline void load_matrix(std::uint32_t (&r)[4], const void* p) {
  detail::load_matrix(r, p, false);
}
inline void load_matrix_trans(std::uint32_t (&r)[4], const void* p) {
  detail::load_matrix(r, p, true);
}
inline void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  detail::mma(c, a, b0, b1, false);
}
inline void mma_e4m3(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  detail::mma(c, a, b0, b1, true);
}
inline void copy_async(void* to, const void* from, bool valid) {
  detail::queue_copy(to, from, 16, valid);
}
inline void copy_async8(void* to, const void* from, bool valid) {
  detail::queue_copy(to, from, 8, valid);
}
inline void commit_copies() {
  detail::commit();
}
template <int kLeft>
void wait_copies() {
  detail::wait(kLeft);
}

// Kernels run one after another here; run() only sees to it that every thread of an early one waits.
void wait_for_previous();
inline void launch_next() {}
inline int computed_here(int v) {
  return v;
}
inline std::uint64_t whole(std::uint64_t v) {
  return v;
}

inline const unsigned char* in_global(const unsigned char* p) {
  return p;
}

inline void require_aligned(const void* p, std::uintptr_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) throw std::logic_error("misaligned vector access");
}
#ifdef DSB_WATCHED
Bytes16 load16(const void* p);
void store16(void* p, const Bytes16& v);
void load8(const void* p, std::uint32_t& low, std::uint32_t& high);
void store8(void* p, std::uint32_t low, std::uint32_t high);
#else
inline Bytes16 load16(const void* p) {
  require_aligned(p, 16);
  Bytes16 v;
  std::memcpy(&v, p, 16);
  return v;
}
inline void store16(void* p, const Bytes16& v) {
  require_aligned(p, 16);
  std::memcpy(p, &v, 16);
}
inline void load8(const void* p, std::uint32_t& low, std::uint32_t& high) {
  require_aligned(p, 8);
  std::memcpy(&low, p, 4);
  std::memcpy(&high, static_cast<const char*>(p) + 4, 4);
}
inline void store8(void* p, std::uint32_t low, std::uint32_t high) {
  require_aligned(p, 8);
  std::memcpy(p, &low, 4);
  std::memcpy(static_cast<char*>(p) + 4, &high, 4);
}
#endif

inline std::uint32_t float_bits(float v) {
  return std::bit_cast<std::uint32_t>(v);
}
inline float bits_float(std::uint32_t v) {
  return std::bit_cast<float>(v);
}
inline float from_bf16(std::uint16_t bits) {
  return bits_float(static_cast<std::uint32_t>(bits) << 16);
}
inline std::uint16_t to_bf16(float v) {
  const std::uint32_t bits = float_bits(v);
  if (std::isnan(v)) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline std::uint32_t to_bf16x2(float low, float high) {
  return to_bf16(low) | (static_cast<std::uint32_t>(to_bf16(high)) << 16);
}
inline std::uint32_t to_e4m3x4(float v0, float v1, float v2, float v3) {
  return detail::encode_e4m3(v0) | (static_cast<std::uint32_t>(detail::encode_e4m3(v1)) << 8) |
         (static_cast<std::uint32_t>(detail::encode_e4m3(v2)) << 16) |
         (static_cast<std::uint32_t>(detail::encode_e4m3(v3)) << 24);
}
inline void from_e4m3x2(std::uint32_t codes, float& low, float& high) {
  low = detail::e4m3_table()[codes & 255u];
  high = detail::e4m3_table()[(codes >> 8) & 255u];
}
inline float infinity() {
  return std::numeric_limits<float>::infinity();
}
inline float divide(float a, float b) {
  return a / b;
}
inline float square_root(float v) {
  return std::sqrt(v);
}
inline float exp_e(float v) {
  return std::exp(v);
}
inline float exp_2(float v) {
  return std::exp2(v);
}
inline float exp_2_fast(float v) {
  return std::exp2(v);
}
inline float log_e(float v) {
  return std::log(v);
}
inline float log_1p(float v) {
  return std::log1p(v);
}
inline float larger(float a, float b) {
  return std::fmax(a, b);
}
inline float absolute(float v) {
  return std::fabs(v);
}

}  // namespace simt
}  // namespace dsbench::engine::kernels::cuda
