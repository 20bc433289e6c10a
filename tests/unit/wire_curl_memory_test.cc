#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "core/rng.h"
#include "loadgen/wire/curl_memory.h"

namespace dsbench::loadgen::curl_memory {
namespace {

// Every block is its own, keeps its bytes through growing and shrinking, and is aligned as malloc's are.
TEST(CurlMemory, BlocksDoNotMeet) {
  Rng rng{1, "memory"};
  struct Block {
    unsigned char* bytes = nullptr;
    std::size_t size = 0;
    unsigned char mark = 0;
  };
  std::vector<Block> blocks(200);
  const auto check = [](const Block& b, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(b.bytes[i], b.mark);
  };
  for (int round = 0; round < 20'000; ++round) {
    Block& b = blocks[rng.below(blocks.size())];
    const std::size_t size = 1 + rng.below(rng.below(8) == 0 ? 20'000 : 600);
    if (b.bytes == nullptr) {
      b.bytes = static_cast<unsigned char*>(rng.below(4) == 0 ? allocate_zeroed(1, size) : allocate(size));
    } else if (rng.below(2) == 0) {
      check(b, b.size);
      b.bytes = static_cast<unsigned char*>(reallocate(b.bytes, size));
      check(b, std::min(b.size, size));
    } else {
      check(b, b.size);
      release(b.bytes);
      b = {};
      continue;
    }
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(b.bytes) % alignof(std::max_align_t), 0U);
    b.size = size;
    b.mark = static_cast<unsigned char>(round);
    std::memset(b.bytes, b.mark, size);
  }
  for (const Block& b : blocks) release(b.bytes);
}

TEST(CurlMemory, SaysNoAsMallocDoes) {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  EXPECT_EQ(allocate(most), nullptr);
  EXPECT_EQ(allocate_zeroed(most, 2), nullptr);
  void* const nothing = allocate(0);
  EXPECT_NE(nothing, nullptr);
  release(nothing);
  release(nullptr);
  char* const copy = duplicate("text");
  EXPECT_STREQ(copy, "text");
  release(copy);
  auto* const zeros = static_cast<unsigned char*>(allocate_zeroed(100, 7));
  for (int i = 0; i < 700; ++i) ASSERT_EQ(zeros[i], 0);
  release(zeros);
}

// Taken by one thread and given back by another, which keeps them and takes them with it when it ends.
TEST(CurlMemory, AnotherThreadMayGiveBack) {
  std::vector<void*> blocks;
  for (int i = 0; i < 100; ++i) blocks.push_back(allocate(100));
  const std::size_t before = kept();
  std::thread{[&] {
    for (void* b : blocks) release(b);
    EXPECT_LE(kept(), 100U);
    blocks.clear();
    for (int i = 0; i < 50; ++i) blocks.push_back(allocate(100));
  }}.join();
  EXPECT_EQ(kept(), before);
  for (void* b : blocks) release(b);
}

TEST(CurlMemory, KeepsWithinBounds) {
  std::vector<void*> blocks;
  for (int i = 0; i < 2'000; ++i) blocks.push_back(allocate(4'097));
  for (void* b : blocks) release(b);
  EXPECT_LE(kept(), 200U + 30U * 512U) << "half a MiB of each size";
  std::size_t of_this_size = 0;
  const std::size_t all = kept();
  while (of_this_size < 2'000) {
    const std::size_t left = kept();
    blocks[of_this_size++] = allocate(4'097);
    if (kept() == left) break;
  }
  EXPECT_LE(of_this_size, 130U);
  EXPECT_GE(all, of_this_size - 1);
  for (std::size_t i = 0; i < of_this_size; ++i) release(blocks[i]);
}

}  // namespace
}  // namespace dsbench::loadgen::curl_memory
