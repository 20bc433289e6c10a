#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "core/files.h"
#include "core/rng.h"
#include "results/hdr_codec.h"
#include "results/hdr_log.h"
#include "results/hdr_union.h"

namespace dsbench::results {
namespace {

using ::testing::HasSubstr;

std::string python_fixture() {
  const auto text =
      read_file(std::filesystem::path{DSBENCH_SOURCE_DIR} / "tests/golden/results/hdr_python.txt");
  EXPECT_TRUE(text.has_value());
  const std::size_t last = text->rfind('\n', text->size() - 2);
  return text->substr(last + 1, text->size() - last - 2);
}

// Equal counters: the exact extremes and the sum do not travel.
void expect_same_counters(const Histogram& a, const Histogram& b) {
  EXPECT_EQ(a.count(), b.count());
  for (int i = 0; i < Histogram::counter_count; ++i) ASSERT_EQ(a.counter(i), b.counter(i)) << "index " << i;
}

Histogram fixture_histogram() {
  Histogram h;
  for (std::int64_t i = 1; i <= 2000; ++i) h.record(Nanos{i * i * 977});
  for (const std::int64_t v : {0LL, 1LL, 2047LL, 2048LL, 3'599'999'999'999LL}) h.record(Nanos{v});
  h.record(Nanos{50'000'000}, 100'000);
  return h;
}

TEST(HdrCodec, reads_what_another_implementation_wrote) {
  const auto decoded = decode_hdr(python_fixture());
  ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
  EXPECT_EQ(decoded->count(), 102'005);
  expect_same_counters(*decoded, fixture_histogram());
  // The other implementation's own percentiles.
  EXPECT_EQ(decoded->quantile(0.5), Nanos{50'003'967});
  EXPECT_EQ(decoded->quantile(0.99), Nanos{940'572'671});
  EXPECT_EQ(decoded->quantile(0.999), Nanos{3'525'312'511});
  EXPECT_EQ(decoded->quantile(1), Nanos{3'601'330'077'695});
}

TEST(HdrCodec, round_trip) {
  Rng rng{11, "hdr"};
  for (int turn = 0; turn < 20; ++turn) {
    Histogram h;
    const int samples = turn * 50;
    for (int i = 0; i < samples; ++i)
      h.record(from_seconds(0.01 * rng.exponential()), 1 + static_cast<std::int64_t>(rng.below(1 << 20)));
    const auto decoded = decode_hdr(encode_hdr(h));
    ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
    expect_same_counters(*decoded, h);
    EXPECT_NEAR(to_seconds(decoded->mean()), to_seconds(h.mean()), 1e-3 * to_seconds(h.mean()));
  }
}

TEST(HdrCodec, damaged_input_is_refused_with_a_sentence) {
  EXPECT_EQ(decode_hdr("").error().message,
            "cannot read a histogram: a compressed HdrHistogram V2 was expected (cookie 0x1c849314), found 0 "
            "bytes");
  EXPECT_EQ(decode_hdr("AAAAAAAAAAAA").error().message,
            "cannot read a histogram: a compressed HdrHistogram V2 was expected (cookie 0x1c849314), found "
            "cookie 0x00000000");
  EXPECT_EQ(decode_hdr("HIST FAAA").error().message,
            "cannot read a histogram: character code 32 is not base64");
  const std::string whole = python_fixture();
  EXPECT_THAT(decode_hdr(whole.substr(0, whole.size() / 2)).error().message,
              HasSubstr("cannot read a histogram: it says"));
  // Every flip of one character must be survived; whether it is noticed is zlib's checksum's business.
  Rng rng{12, "damage"};
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = whole;
    damaged[rng.below(damaged.size())] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[rng.below(26)];
    (void)decode_hdr(damaged);
  }
}

TEST(HdrLog, tags_hold_neither_commas_nor_spaces) {
  EXPECT_EQ(hdr_tag("ttft", 7, "hold 1.5 × knee"), "ttft;7-hold-1.5-x-knee");
  EXPECT_EQ(hdr_tag("itl", 0, "a, b"), "itl;0-a-b");
  EXPECT_EQ(hdr_tag("itl", 3, " – "), "itl;3");
}

TEST(HdrLog, round_trip_and_a_cut_last_line) {
  Histogram h;
  h.record(Nanos{1'500'000}, 7);
  const std::string line = hdr_log_line({"ttft;0-step-1", Nanos{2'000'000'000}, Nanos{1'000'000'000}, h});
  EXPECT_THAT(line, HasSubstr("Tag=ttft;0-step-1,2.000,1.000,1.500,HISTFAAA"));
  const std::string text = hdr_log_opening() + line + line;
  const auto whole = parse_hdr_log(text);
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  ASSERT_EQ(whole->size(), 2U);
  EXPECT_EQ((*whole)[1].tag, "ttft;0-step-1");
  EXPECT_EQ((*whole)[1].start, Nanos{2'000'000'000});
  EXPECT_EQ((*whole)[1].histogram.count_at(Nanos{1'500'000}), 7);
  const auto cut = parse_hdr_log(text.substr(0, text.size() - 5));
  ASSERT_TRUE(cut.has_value());
  EXPECT_EQ(cut->size(), 1U);
  EXPECT_EQ(parse_hdr_log("#x\nTag=a,one,1,1,HIST\n").error().message,
            "latency log, line 2: expected [Tag=name,]start,length,max,histogram with times in seconds");
}

// What getline cannot read is to it an end like any other.
TEST(HdrLog, one_that_cannot_be_read_to_its_end_is_not_whole) {
  const auto sums = sum_hdr_log("/proc/self/mem");
  ASSERT_FALSE(sums);
  EXPECT_EQ(sums.error().message, "cannot read '/proc/self/mem' to its end");
}

TEST(HdrLog, a_full_disk_is_an_error_with_the_path) {
  const auto writer = HdrLogWriter::open("/dev/full");
  ASSERT_FALSE(writer.has_value());
  EXPECT_EQ(writer.error().message, "cannot write '/dev/full': No space left on device");
}

}  // namespace
}  // namespace dsbench::results
