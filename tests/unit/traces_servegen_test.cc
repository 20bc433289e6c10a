#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "loadgen/traces/load_trace.h"
#include "loadgen/traces/servegen.h"
#include "loadgen/traces/servegen_dataset.h"

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

class ServeGenDataset : public testing::Test {
 protected:
  ServeGenDataset() { std::filesystem::create_directories(folder_); }
  ~ServeGenDataset() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] Result<std::vector<ServeGenLengths>> read(std::string_view text) const {
    std::ofstream{file()} << text;
    return read_servegen_dataset(file());
  }
  [[nodiscard]] std::string refusal(std::string_view text) const {
    const auto read_back = read(text);
    return read_back ? "none" : read_back.error().message;
  }
  [[nodiscard]] std::filesystem::path file() const { return folder_ / "chunk-0-dataset.json"; }

 private:
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("dsbench-servegen-" + std::to_string(::getpid()));
};

TEST_F(ServeGenDataset, takes_the_first_name_that_counts_and_leaves_the_unknown) {
  const auto lengths = read(R"({"1200": {"output_length": {"9": 1}, "extra": [{"input_tokens": 3}, [1]],
      "input_length": "rubbish, but not what counts", "input_tokens": {"4": 1, "5": 3}, "text_tokens": "{6: 1}"},
    "0": {"input_tokens": null, "text_tokens": "{8: 1}", "output_tokens": "{2: 1}", "more": {"a": {"b": 1}}},
    "600": {"input_tokens": "{}", "output_tokens": "{}"}})");
  ASSERT_TRUE(lengths) << lengths.error().message;
  ASSERT_EQ(lengths->size(), 2U);
  EXPECT_EQ((*lengths)[0].start_s, 0);
  EXPECT_EQ((*lengths)[0].input.mean(), 8);
  EXPECT_EQ((*lengths)[1].start_s, 1200);
  EXPECT_EQ((*lengths)[1].input.mean(), 4.75);
  EXPECT_EQ((*lengths)[1].output.mean(), 9);
  EXPECT_TRUE((*lengths)[1].reasoning.empty());
}

TEST_F(ServeGenDataset, says_what_is_wrong_with_it) {
  EXPECT_THAT(refusal("[1]"), HasSubstr("holds no JSON object"));
  EXPECT_THAT(refusal("7"), HasSubstr("holds no JSON object"));
  EXPECT_THAT(refusal(R"({"noon": {}})"), HasSubstr("'noon' is no start of a window in seconds"));
  EXPECT_THAT(refusal(R"({"0": 3})"), HasSubstr("'0' is no start of a window in seconds with its lengths"));
  EXPECT_THAT(refusal(R"({"0": [3]})"), HasSubstr("'0' is no start of a window in seconds with its lengths"));
  EXPECT_THAT(refusal(R"({"0": {"input_tokens": 3, "output_tokens": "{1: 1}"}})"),
              HasSubstr("window 0: input_tokens is no distribution but a number"));
  EXPECT_THAT(refusal(R"({"0": {"input_tokens": ["{1: 1}"], "output_tokens": "{1: 1}"}})"),
              HasSubstr("window 0: input_tokens is no distribution but a list"));
  EXPECT_THAT(refusal(R"({"0": {"input_tokens": "[1]", "output_tokens": "{1: 1}"}})"),
              HasSubstr("window 0: input_tokens: no Python dict of numbers: '[1]'"));
  EXPECT_THAT(refusal(R"({"0": {"input_tokens": {"1": -1}, "output_tokens": "{1: 1}"}})"),
              HasSubstr("window 0: input_tokens: no distribution: '1' has the weight -1"));
  EXPECT_THAT(refusal(R"({"0": {"input_tokens": {"1": [1]}, "output_tokens": "{1: 1}"}})"),
              HasSubstr("window 0: input_tokens: no distribution: the weight of '1' is a list"));
}

TEST_F(ServeGenDataset, is_never_taken_for_whole_where_it_was_cut) {
  const std::string whole = R"({"0": {"input_tokens": "{1: 1}", "output_tokens": "{1: 1}"}})";
  ASSERT_TRUE(read(whole));
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_THAT(refusal(whole.substr(0, n)), HasSubstr("is no JSON, or not whole: byte ")) << n;
  EXPECT_THAT(refusal(whole + "{"), HasSubstr("is no JSON, or not whole: byte "));
}

// More than a quarter of a GiB was cut there, and then called no JSON. Blanks pack well, and members of gzip
// one after the other are one file.
TEST_F(ServeGenDataset, may_be_of_any_size) {
  const auto packed = [](const std::string& text) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    (void)deflateEnd(&stream);
    return out;
  };
  const std::string blanks = packed(std::string(std::size_t{16} << 20, ' '));
  std::string text = packed(R"({"0": {"input_tokens": "{3: 1}", "output_tokens": "{1: 1}"},)");
  for (int i = 0; i < 17; ++i) text += blanks;  // 272 MiB
  const std::string rest = packed(R"("600": {"input_tokens": "{5: 1}", "output_tokens": "{1: 1}"}})");
  const auto lengths = read(text + rest);
  ASSERT_TRUE(lengths) << lengths.error().message;
  ASSERT_EQ(lengths->size(), 2U);
  EXPECT_EQ(lengths->back().input.mean(), 5);
  EXPECT_THAT(refusal(text), HasSubstr("is no JSON, or not whole: byte "));
  EXPECT_THAT(refusal((text + rest).substr(0, text.size() + rest.size() - 9)), HasSubstr("is cut off"));
}

}  // namespace
}  // namespace dsbench::loadgen
