#include "loadgen/wire/curl_memory.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

namespace dsbench::loadgen::curl_memory {
namespace {

// Sanitizers see each block's life only when malloc and free do.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool keeps = false;
#else
constexpr bool keeps = true;
#endif

// In front of each block; as large as malloc's alignment, so that the block keeps it.
struct alignas(std::max_align_t) Head {
  std::size_t capacity;  // of the block
  Head* next;            // among those that are kept
};

// Steps of 16 bytes to 256, of 64 to 2 KiB, then of 128 to 8 KiB: of the 46 blocks that an open stream holds,
// 36 have 16 to 64 bytes, and three fill most of its memory.
struct Steps {
  std::size_t to, step;
};
constexpr std::array<Steps, 3> all_steps{{{256, 16}, {2048, 64}, {8192, 128}}};
constexpr std::size_t largest = all_steps.back().to;
constexpr std::size_t classes = 16 + 28 + 48;
constexpr std::size_t most_kept_bytes = std::size_t{512} << 10;  // of one class
constexpr std::size_t unit = 16;                                 // all capacities are multiples of it

struct Classes {
  std::array<std::uint16_t, classes> capacity{};
  std::array<std::uint8_t, largest / unit + 1> holding{};  // by size in units: the class that holds so much
};
constexpr Classes table = [] {
  Classes t;
  std::size_t k = 0, size = 0;
  for (const Steps& s : all_steps) {
    while (size < s.to) t.capacity[k++] = static_cast<std::uint16_t>(size += s.step);
  }
  k = 0;
  for (std::size_t units = 0; units < t.holding.size(); ++units) {
    while (t.capacity[k] < units * unit) ++k;
    t.holding[units] = static_cast<std::uint8_t>(k);
  }
  return t;
}();

constexpr std::size_t class_of(std::size_t size) {
  return table.holding[(size + unit - 1) / unit];
}
constexpr std::size_t capacity_of(std::size_t k) {
  return table.capacity[k];
}
static_assert(class_of(0) == 0 && class_of(1) == 0 && class_of(16) == 0 && class_of(17) == 1);
static_assert(class_of(256) == 15 && class_of(257) == 16 && class_of(2048) == 43 && class_of(2049) == 44);
static_assert(capacity_of(0) == 16 && capacity_of(16) == 320 && capacity_of(44) == 2176);
static_assert(class_of(largest) == classes - 1 && capacity_of(classes - 1) == largest);

enum class State : std::uint8_t { fresh, keeping, over };

// Without a constructor and a destructor, so that it can be used at any time in a thread's life.
struct Kept {
  std::array<Head*, classes> first;
  std::array<std::size_t, classes> bytes;
  State state;
};
constinit thread_local Kept mine{};

struct AtThreadEnd {
  ~AtThreadEnd() {
    mine.state = State::over;
    for (Head*& first : mine.first) {
      while (first != nullptr) std::free(std::exchange(first, first->next));
    }
  }
};

bool begin_keeping() {
  if (mine.state == State::over) return false;
  thread_local const AtThreadEnd at_end;
  (void)at_end;
  mine.state = State::keeping;
  return true;
}

Head* head_of(void* block) {
  return static_cast<Head*>(block) - 1;
}

}  // namespace

void* allocate(std::size_t size) {
  std::size_t capacity = size;
  if (size <= largest) {
    const std::size_t k = class_of(size);
    capacity = capacity_of(k);
    if (Head* const head = mine.first[k]; head != nullptr) {
      mine.first[k] = head->next;
      mine.bytes[k] -= capacity;
      return head + 1;
    }
  }
  if (capacity > std::numeric_limits<std::size_t>::max() - sizeof(Head)) return nullptr;
  auto* const head = static_cast<Head*>(std::malloc(sizeof(Head) + capacity));
  if (head == nullptr) return nullptr;
  head->capacity = capacity;
  return head + 1;
}

void release(void* block) {
  if (block == nullptr) return;
  Head* const head = head_of(block);
  if (keeps && head->capacity <= largest) {
    const std::size_t k = class_of(head->capacity);
    if (mine.bytes[k] < most_kept_bytes && (mine.state == State::keeping || begin_keeping())) {
      head->next = mine.first[k];
      mine.first[k] = head;
      mine.bytes[k] += head->capacity;
      return;
    }
  }
  std::free(head);
}

void* reallocate(void* block, std::size_t size) {
  if (block == nullptr) return allocate(size);
  const std::size_t capacity = head_of(block)->capacity;
  if (keeps && size <= capacity && (capacity <= largest || size > capacity / 2)) return block;
  void* const moved = allocate(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, std::min(size, capacity));
  release(block);
  return moved;
}

void* allocate_zeroed(std::size_t count, std::size_t size) {
  if (size != 0 && count > std::numeric_limits<std::size_t>::max() / size) return nullptr;
  void* const block = allocate(count * size);
  if (block != nullptr) std::memset(block, 0, count * size);
  return block;
}

char* duplicate(const char* text) {
  const std::size_t size = std::strlen(text) + 1;
  void* const block = allocate(size);
  if (block != nullptr) std::memcpy(block, text, size);
  return static_cast<char*>(block);
}

std::size_t kept() {
  std::size_t count = 0;
  for (std::size_t k = 0; k < classes; ++k) count += mine.bytes[k] / capacity_of(k);
  return count;
}

}  // namespace dsbench::loadgen::curl_memory
