#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "core/rng.h"
#include "engine/scheduler/waiting_queue.h"

namespace dsbench::engine {
namespace {

using Entry = WaitingQueue::Entry;

OverloadConfig with(QueueOrder order) {
  OverloadConfig config;
  config.order = order;
  return config;
}

// Who would go next, by looking at everybody.
std::optional<std::uint32_t> obvious(QueueOrder order, const std::vector<Entry>& waiting, bool standing) {
  if (waiting.empty()) return std::nullopt;
  switch (order) {
    case QueueOrder::fcfs:
      return waiting.front().slot;
    case QueueOrder::adaptive_lifo:
      return standing ? waiting.back().slot : waiting.front().slot;
    case QueueOrder::shortest_prompt:
      return std::ranges::min_element(waiting, {}, &Entry::prompt)->slot;
    case QueueOrder::priority:
      return std::ranges::min_element(waiting, {}, &Entry::priority)->slot;
  }
  return std::nullopt;
}

class WaitingQueueProperty : public testing::TestWithParam<QueueOrder> {};

TEST_P(WaitingQueueProperty, IsWhatLookingAtEverybodySays) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng{seed, "waiting_queue"};
    OverloadConfig config = with(GetParam());
    config.standing = Nanos{50};
    config.codel_target = Nanos{40};
    WaitingQueue queue(config);
    std::vector<Entry> waiting;  // in order of arrival
    std::uint32_t slots = 0;
    std::vector<std::uint32_t> free;
    Nanos now{0};
    Nanos filled{0};
    for (int i = 0; i < 400; ++i) {
      now += Nanos{static_cast<std::int64_t>(rng.below(5))};
      const std::uint64_t what = rng.below(10);
      if (what < 5) {
        Entry entry;
        if (free.empty()) {
          entry.slot = slots++;
        } else {
          entry.slot = free.back();
          free.pop_back();
        }
        entry.prompt = static_cast<std::int32_t>(rng.below(6)) + 1;
        entry.priority = static_cast<std::int32_t>(rng.below(4)) - 2;
        entry.cost = 10;
        entry.since = now;
        if (waiting.empty()) filled = now;
        waiting.push_back(entry);
        queue.push(entry);
      } else if (what < 8 && !waiting.empty()) {
        const std::uint32_t slot = *queue.next();
        queue.admit(slot);
        free.push_back(slot);
        std::erase_if(waiting, [&](const Entry& e) { return e.slot == slot; });
      } else if (what == 8 && !waiting.empty()) {
        const std::uint32_t slot = waiting[rng.below(waiting.size())].slot;
        queue.erase(slot);
        free.push_back(slot);
        std::erase_if(waiting, [&](const Entry& e) { return e.slot == slot; });
      } else {
        const bool standing = !waiting.empty() && now - filled > config.standing;
        const auto late = queue.expire(now, Nanos{100});
        EXPECT_EQ(queue.standing(), standing && queue.size() > 0);
        const Nanos longest = standing ? Nanos{40} : Nanos{100};
        std::vector<std::uint32_t> expected;
        std::erase_if(waiting, [&](const Entry& e) {
          if (now - e.since <= longest) return false;
          expected.push_back(e.slot);
          return true;
        });
        ASSERT_EQ(late, expected);
        free.insert(free.end(), late.begin(), late.end());
      }
      ASSERT_EQ(queue.check(), "");
      ASSERT_EQ(queue.size(), static_cast<std::int64_t>(waiting.size()));
      ASSERT_EQ(queue.next(), obvious(GetParam(), waiting, queue.standing()))
          << "seed " << seed << ", move " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, WaitingQueueProperty,
                         testing::Values(QueueOrder::fcfs, QueueOrder::shortest_prompt, QueueOrder::priority,
                                         QueueOrder::adaptive_lifo));

// Classes that always have somebody waiting get tokens in proportion to their weights.
TEST(WaitingQueueTest, ClassesShareByWeight) {
  OverloadConfig config;
  config.tenants = {{.name = "paid", .weight = 3}, {.name = "free", .weight = 1}};
  WaitingQueue queue(config);
  Rng rng{1, "weights"};
  std::map<std::uint8_t, std::int64_t> served;
  std::vector<Entry> entries;
  const auto push = [&](std::uint32_t slot, std::uint8_t tenant) {
    Entry entry{.slot = slot,
                .prompt = 1,
                .cost = static_cast<std::int32_t>(rng.below(tenant == 0 ? 100 : 300)) + 1,
                .tenant = tenant};
    if (entries.size() <= slot) entries.resize(slot + 1);
    entries[slot] = entry;
    queue.push(entry);
  };
  for (std::uint32_t slot = 0; slot < 20; ++slot) push(slot, slot % 2 == 0 ? 0 : 1);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint32_t slot = *queue.next();
    const Entry entry = entries[slot];
    queue.admit(slot);
    served[entry.tenant] += entry.cost;
    push(slot, entry.tenant);
  }
  EXPECT_NEAR(static_cast<double>(served[0]) / static_cast<double>(served[1]), 3, 0.05);
}

TEST(WaitingQueueTest, ALowerRankGoesFirstAndSavesNothingUpWhileAway) {
  OverloadConfig config;
  config.tenants = {{.name = "batch", .rank = 1}, {.name = "chat", .rank = 0}, {.name = "agents", .rank = 1}};
  WaitingQueue queue(config);
  queue.push({.slot = 0, .prompt = 1, .cost = 1, .tenant = 0});
  queue.push({.slot = 1, .prompt = 1, .cost = 1, .tenant = 1});
  EXPECT_EQ(queue.next(), 1U);
  queue.admit(1);
  for (std::uint32_t i = 0; i < 100; ++i) {  // batch is served alone for a while
    queue.admit(0);
    queue.push({.slot = 0, .prompt = 1, .cost = 1, .tenant = 0});
  }
  std::int64_t agents = 0;
  queue.push({.slot = 2, .prompt = 1, .cost = 1, .tenant = 2});
  for (int i = 0; i < 20; ++i) {
    const std::uint32_t slot = *queue.next();
    agents += slot == 2;
    queue.admit(slot);
    queue.push({.slot = slot, .prompt = 1, .cost = 1, .tenant = static_cast<std::uint8_t>(slot)});
  }
  EXPECT_NEAR(static_cast<double>(agents), 10, 1) << "half, not all of it to make up for its absence";
}

}  // namespace
}  // namespace dsbench::engine
