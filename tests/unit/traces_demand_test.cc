#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "loadgen/traces/demand_table.h"
#include "profiles/traffic_profile.h"

namespace dsbench::loadgen {
namespace {

using ::testing::HasSubstr;

std::string hourly() {
  std::string text = "hour_utc8,income,index\r\n";
  for (int i = 0; i < 24; ++i) {
    const int hour = (i + 12) % 24;
    text += std::to_string(hour) + "," + std::to_string(100 + hour) + "," +
            std::to_string(1 + std::sin(hour * 0.26) / 2) + "\r\n";
  }
  return text;
}

TEST(DemandTable, OfHoursIsFittedFromMidnightOn) {
  const auto table = parse_demand_table(hourly());
  ASSERT_TRUE(table) << table.error().message;
  ASSERT_TRUE(*table);
  EXPECT_EQ((*table)->column, "index");
  EXPECT_EQ((*table)->first_minute, 720);
  const auto fit = fit_demand(**table, "a test");
  ASSERT_TRUE(fit) << fit.error().message;
  for (const FitLine& line : fit->lines) EXPECT_EQ(line.verdict, FitLine::Verdict::good) << line.what;
  const auto plan = profiles::plan_of(profiles::parse_traffic(fit->traffic_json, "fitted").value());
  EXPECT_NEAR(plan.requests, 86'400, 100);
  EXPECT_NEAR(plan.stages[3].planned.per_second(),
              (1 + (std::sin(6 * 0.26) + std::sin(7 * 0.26)) / 4) / (*table)->mean, 0.02);
  const auto other = parse_demand_table(hourly(), "income");
  ASSERT_TRUE(other && *other);
  EXPECT_NEAR((*other)->mean, 111.5, 1e-9);
}

TEST(DemandTable, OfSpansHasSteps) {
  const auto table =
      parse_demand_table("from_utc8,to_utc8,nodes\n12:00,24:00,30\n00:00,01:15,20\n01:15,12:00,10\n");
  ASSERT_TRUE(table) << table.error().message;
  ASSERT_TRUE(*table);
  const auto fit = fit_demand(**table, "a test");
  ASSERT_TRUE(fit) << fit.error().message;
  EXPECT_NEAR(*fit->lines[1].fitted, 0, 1e-4);
  EXPECT_THAT(fit->traffic_json, HasSubstr("4500s"));
}

TEST(DemandTable, WhatIsNoneIsLeftToOthersAndWhatIsWrongIsNamed) {
  for (const char* text : {"", "TIMESTAMP,ContextTokens,GeneratedTokens\n1,2,3\n", "{}", "from,x,y\n"}) {
    const auto table = parse_demand_table(text);
    ASSERT_TRUE(table) << text;
    EXPECT_FALSE(*table) << text;
  }
  const std::pair<std::string, const char*> rows[] = {
      {"hour,v\n0,1\n2,1\n", "line 3: '2,1': it does not begin where the row before ends"},
      {"hour,v\n0,1\n", "the table's rows last 3600s together; accepted: a day, 24h"},
      {"hour,v\n0,x\n", "'x' is no figure"},
      {"hour,v\n24,1\n", "no hour"},
      {"hour,v\n0,1,2\n", "3 columns, where the header has 2"},
      {"from,to,v\n01:00,00:30,2\n", "no times"},
      {"hour,v\n", "the table has no rows"},
  };
  for (const auto& [text, message] : rows) {
    const auto table = parse_demand_table(text);
    ASSERT_FALSE(table) << text;
    EXPECT_THAT(table.error().message, HasSubstr(message));
  }
  EXPECT_THAT(parse_demand_table(hourly(), "nodes").error().message,
              HasSubstr("has no column 'nodes'; accepted: income, index"));
}

}  // namespace
}  // namespace dsbench::loadgen
