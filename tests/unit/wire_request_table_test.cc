#include <gtest/gtest.h>

#include <map>

#include "core/rng.h"
#include "loadgen/request_table.h"

namespace dsbench::loadgen {
namespace {

// Against a map, with numbers that come in runs (as requests do), collide and come again.
TEST(RequestTable, IsAMap) {
  Rng rng{1, "table"};
  RequestTable table;
  std::map<std::uint64_t, std::uint32_t> map;
  EXPECT_EQ(table.find(0), RequestTable::none);
  EXPECT_FALSE(table.erase(0));
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    // Grows for a while, shrinks for a while.
    const bool grows = (i / 20'000) % 2 == 0;
    const std::uint64_t key = rng.below(4) == 0 ? rng.below(64) << 58 : rng.below(3'000);
    if (rng.below(10) < (grows ? 7u : 2u)) {
      EXPECT_EQ(table.insert(key, i), map.emplace(key, i).second);
    } else {
      EXPECT_EQ(table.erase(key), map.erase(key) == 1);
    }
    ASSERT_EQ(table.size(), map.size());
    const std::uint64_t asked = rng.below(3'000);
    const auto it = map.find(asked);
    ASSERT_EQ(table.find(asked), it == map.end() ? RequestTable::none : it->second);
  }
  std::map<std::uint64_t, std::uint32_t> seen;
  table.for_each([&](std::uint64_t request, std::uint32_t place) { seen.emplace(request, place); });
  EXPECT_EQ(seen, map);
}

}  // namespace
}  // namespace dsbench::loadgen
