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

// Steps of 64 bytes to 1 KiB, then of 512 bytes to 8 KiB.
constexpr std::size_t small_step = 64, small_classes = 16, step = 512, classes = 30;
constexpr std::size_t largest_small = small_step * small_classes;
constexpr std::size_t largest = largest_small + step * (classes - small_classes);
constexpr std::size_t most_kept_bytes = std::size_t{512} << 10;  // of one class

constexpr std::size_t class_of(std::size_t size) {
  if (size <= largest_small) return size == 0 ? 0 : (size - 1) / small_step;
  return small_classes + (size - largest_small - 1) / step;
}
constexpr std::size_t capacity_of(std::size_t k) {
  return k < small_classes ? (k + 1) * small_step : largest_small + (k + 1 - small_classes) * step;
}
static_assert(class_of(1) == 0 && class_of(64) == 0 && class_of(65) == 1 && class_of(1024) == 15);
static_assert(class_of(1025) == 16 && class_of(1536) == 16 && class_of(largest) == classes - 1);
static_assert(capacity_of(class_of(1024)) == 1024 && capacity_of(class_of(4097)) >= 4097);

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
