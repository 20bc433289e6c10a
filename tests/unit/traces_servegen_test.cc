#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "loadgen/traces/load_trace.h"
#include "loadgen/traces/servegen.h"

namespace dsbench::loadgen {
namespace {

using testing::HasSubstr;

const std::filesystem::path folder =
    std::filesystem::path{DSBENCH_SOURCE_DIR} / "tests/golden/traces/servegen";

TEST(ValueTable, draws_by_the_inverse_cdf) {
  const auto table = ValueTable::parse("{10: 0.25, 30: 0.25, 20: 0.5}");
  ASSERT_TRUE(table);
  EXPECT_EQ(table->at(0), 10);
  EXPECT_EQ(table->at(0.249), 10);
  EXPECT_EQ(table->at(0.25), 20);
  EXPECT_EQ(table->at(0.749), 20);
  EXPECT_EQ(table->at(0.999999), 30);
  EXPECT_DOUBLE_EQ(table->mean(), 20);
  EXPECT_TRUE(ValueTable::parse("{}")->empty());
  EXPECT_THAT(ValueTable::parse("{1: x}").error().message, HasSubstr("no Python dict of numbers: '{1: x}'"));
  EXPECT_FALSE(ValueTable::parse("[1, 2]"));
  EXPECT_FALSE(ValueTable::parse("{1: -1}"));
}

TEST(ServeGen, reads_clients_windows_and_lengths) {
  const auto source = ServeGen::read(folder);
  ASSERT_TRUE(source) << source.error().message;
  ASSERT_EQ(source->clients.size(), 2U);
  EXPECT_EQ(source->window_s, 600);
  EXPECT_EQ(source->length_s, 1800);
  EXPECT_DOUBLE_EQ(source->expected(Nanos{0}, from_seconds(1800)), (2 + 4 + 0.5 + 0.5) * 600);
  EXPECT_DOUBLE_EQ(source->expected(from_seconds(300), from_seconds(900)), 2.5 * 300 + 0.5 * 300);
}

TEST(ServeGen, draws_the_rates_and_lengths_it_was_told) {
  TraceOptions options;
  options.seed = 3;
  const auto trace = load_trace(folder, options);
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_TRUE(trace->notes.generated);
  EXPECT_EQ(trace->length, from_seconds(1800));
  double first = 0, second = 0, third = 0, input = 0;
  for (const TraceRow& row : trace->rows) {
    const double at = to_seconds(row.due);
    (at < 600 ? first : at < 1200 ? second : third) += 1;
    const std::string& client = trace->tenants[row.tenant];
    if (client == "chunk-0" && at < 600) {
      input += row.input_tokens;
      EXPECT_EQ(row.output_tokens, 5);
      EXPECT_EQ(row.reasoning_share, 0.5F);
    } else if (client == "chunk-0") {
      EXPECT_EQ(row.input_tokens, 100);
      EXPECT_LT(row.reasoning_share, 0);
    } else {
      EXPECT_EQ(row.input_tokens, 1000);
    }
  }
  // Means 1,500, 300 and 2,400; standard deviations of about 70, 17 and 98.
  EXPECT_NEAR(first, 1500, 5 * 70);
  EXPECT_NEAR(second, 300, 5 * 18);
  EXPECT_NEAR(third, 2400, 5 * 98);
  EXPECT_NEAR(input / 1200, 20, 3);
}

TEST(ServeGen, a_part_of_the_day_is_the_same_part_of_the_whole) {
  TraceOptions options;
  const Trace whole = load_trace(folder, options).value();
  options.window = {from_seconds(500), from_seconds(1300)};
  const Trace part = load_trace(folder, options).value();
  std::size_t i = 0;
  while (whole.rows[i].due < from_seconds(500)) ++i;
  ASSERT_GT(part.size(), 100U);
  for (const TraceRow& row : part.rows) {
    EXPECT_EQ(row.due + from_seconds(500), whole.rows[i].due);
    EXPECT_EQ(row.input_tokens, whole.rows[i].input_tokens);
    ++i;
  }
  EXPECT_GE(whole.rows[i].due, from_seconds(1300));
}

// Renewal processes that begin in equilibrium: the mean count is the rate, however bursty the law.
TEST(ServeGen, bursty_windows_keep_their_mean_over_seeds) {
  const ServeGen source = ServeGen::read(folder).value();
  double sum = 0;
  constexpr int seeds = 400;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    source.draw(seed, Nanos{0}, from_seconds(600), [&](const TraceRequest& request) {
      if (request.tenant == "chunk-7") ++sum;  // CV 3, 300 expected
    });
  }
  // Standard deviation of one count about 3·√300 = 52, of the mean 2.6.
  EXPECT_NEAR(sum / seeds, 300, 4 * 2.6);
}

}  // namespace
}  // namespace dsbench::loadgen
