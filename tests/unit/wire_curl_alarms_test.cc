#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

#include "loadgen/wire/curl_alarms.h"

namespace dsbench::loadgen {
namespace {

TEST(CurlAlarms, HasTheLatestWordOfEachHandle) {
  CurlAlarms alarms;
  EXPECT_FALSE(alarms.first());
  alarms.set(0, Nanos{30});
  alarms.set(1, Nanos{20});
  alarms.set(1, Nanos{40});
  EXPECT_EQ(alarms.first(), Nanos{30});
  EXPECT_FALSE(alarms.take_due(Nanos{29}));
  EXPECT_EQ(alarms.take_due(Nanos{30}), 0u);
  EXPECT_FALSE(alarms.take_due(Nanos{39}));
  alarms.clear(1);
  alarms.clear(7);
  EXPECT_FALSE(alarms.take_due(Nanos{100}));
  EXPECT_FALSE(alarms.first());
}

// Against a plain list of times, over many changes of mind.
TEST(CurlAlarms, AreDueWhenAPlainListSaysSo) {
  std::mt19937 random{7};
  CurlAlarms alarms;
  std::vector<std::optional<Nanos>> plain(9);
  for (int i = 0; i < 20'000; ++i) {
    const std::size_t handle = random() % plain.size();
    if (random() % 8 == 0) {
      alarms.clear(handle);
      plain[handle].reset();
    } else {
      plain[handle] = Nanos{i + static_cast<int>(random() % 50)};
      alarms.set(handle, *plain[handle]);
    }
    std::optional<Nanos> first;
    for (const auto& at : plain) {
      if (at && (!first || *at < *first)) first = at;
    }
    ASSERT_EQ(alarms.first(), first) << i;
    if (random() % 4 != 0) continue;
    while (const auto due = alarms.take_due(Nanos{i})) {
      ASSERT_TRUE(plain[*due] && *plain[*due] <= Nanos{i}) << i;
      plain[*due].reset();
    }
    for (const auto& at : plain) ASSERT_FALSE(at && *at <= Nanos{i}) << i;
  }
}

}  // namespace
}  // namespace dsbench::loadgen
