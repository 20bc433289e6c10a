#include "core/text.h"

#include <gtest/gtest.h>

#include <array>

namespace dsbench {
namespace {

TEST(ParseDuration, ReadsNumbersWithTheirUnits) {
  struct Row {
    const char* text;
    std::int64_t ns;
  };
  for (const Row& row :
       {Row{"10ns", 10}, Row{"250us", 250'000}, Row{"500ms", 500'000'000}, Row{"30s", 30'000'000'000},
        Row{"1.5s", 1'500'000'000}, Row{"4m", 240'000'000'000}, Row{"1h30m", 5'400'000'000'000}}) {
    const auto parsed = parse_duration(row.text);
    ASSERT_TRUE(parsed) << row.text;
    EXPECT_EQ(parsed->count(), row.ns) << row.text;
  }
}

TEST(ParseDuration, RefusesABareNumberWithAnExample) {
  for (const char* text : {"30", "", "s", "-3s", "3 s", "1e3s", "5sec", "3s4"}) {
    const auto parsed = parse_duration(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind, ErrorKind::usage);
    EXPECT_EQ(parsed.error().message,
              std::string("'") + text +
                  "' is not a duration; write a number with its unit, as in 500ms, 30s, 4m or 1h30m");
  }
}

TEST(ParseDuration, ReadsBackWhatIsPrinted) {
  for (const std::int64_t ns :
       {0LL, 1LL, 999LL, 1'000LL, 1'500'000LL, 2'000'000'000LL, 90'000'000'000LL, 1'234'567'891LL}) {
    EXPECT_EQ(parse_duration(print_duration(Nanos{ns}))->count(), ns);
  }
}

TEST(ParseRate, ReadsAndRefuses) {
  EXPECT_DOUBLE_EQ(parse_rate("12.5/s")->per_second(), 12.5);
  EXPECT_DOUBLE_EQ(parse_rate("300/m")->per_second(), 5);
  EXPECT_DOUBLE_EQ(parse_rate("36/h")->per_second(), 0.01);
  EXPECT_EQ(parse_rate("12.5").error().message,
            "'12.5' is not a rate; write a number with its unit, as in 12.5/s, 300/m or 40/h");
}

TEST(ParseBytes, ReadsAndRefuses) {
  EXPECT_EQ(parse_bytes("64KiB")->count(), 65536);
  EXPECT_EQ(parse_bytes("2GB")->count(), 2'000'000'000);
  EXPECT_FALSE(parse_bytes("64"));
}

TEST(Format, KeepsAboutThreeDigits) {
  EXPECT_EQ(format_duration(Nanos{0}), "0 s");
  EXPECT_EQ(format_duration(Nanos{12}), "12 ns");
  EXPECT_EQ(format_duration(Nanos{12'345}), "12.3 µs");
  EXPECT_EQ(format_duration(Nanos{340'000'000}), "340 ms");
  EXPECT_EQ(format_duration(Nanos{1'250'000'000}), "1.25 s");
  EXPECT_EQ(format_duration(Nanos{125'000'000'000}), "2 min 05 s");
  EXPECT_EQ(format_duration(Nanos{7'500'000'000'000}), "2 h 05 min");
  EXPECT_EQ(format_rate(Rate::per_second(12.5)), "12.5/s");
  EXPECT_EQ(format_bytes(Bytes{1536}), "1.50 KiB");
  EXPECT_EQ(format_utc(Nanos{1'795'347'408'000'000'000}), "2026-11-22T11:36:48Z");
}

TEST(Format, ARareRequestIsNotNone) {
  EXPECT_EQ(format_rate(Rate::per_second(0)), "0.00/s");
  EXPECT_EQ(format_rate(Rate::per_second(0.01)), "0.01/s");
  EXPECT_EQ(format_rate(Rate::per_second(1.0 / 3600)), "1.00/h");
  EXPECT_EQ(format_rate(Rate::per_second(4.352e-7)), "0.0016/h");
  for (const double rate : {0.0, 12.5, 1.0 / 3, 4.352e-7, 2.777777777777778e-6, 1e18}) {
    const std::string printed = print_rate(Rate::per_second(rate));
    ASSERT_TRUE(parse_rate(printed)) << printed;
    EXPECT_EQ(parse_rate(printed)->per_second(), rate) << printed;
  }
  EXPECT_EQ(print_rate(Rate::per_second(2.5e-6)), "0.0000025/s");
}

TEST(NearestWord, FindsTyposOnly) {
  constexpr std::array<std::string_view, 3> words{"rehearse", "report", "serve"};
  EXPECT_EQ(nearest_word("reherse", words), "rehearse");
  EXPECT_EQ(nearest_word("sevre", words), "serve");
  EXPECT_EQ(nearest_word("kernels", words), "");
}

TEST(Utc, ReadsWhatItWrites) {
  for (const char* text : {"2026-11-22T11:36:48Z", "1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z"}) {
    const auto at = parse_utc(text);
    ASSERT_TRUE(at) << at.error().message;
    EXPECT_EQ(format_utc(*at), text);
  }
  EXPECT_EQ(*parse_utc("1970-01-01T00:00:01.25Z"), Nanos{1'250'000'000});
  for (const char* text : {"", "now", "2026-11-22 11:36:48Z", "2026-11-22T11:36:48", "2026-02-29T00:00:00Z",
                           "2026-13-01T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T11:36:48.Z",
                           "2026-11-22T11:36:48+01:00", "2026-11-22T11:36:48.1234567890Z"}) {
    EXPECT_FALSE(parse_utc(text)) << text;
  }
}

}  // namespace
}  // namespace dsbench
