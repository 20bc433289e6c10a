#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "loadgen/traces/byte_source.h"
#include "loadgen/traces/load_trace.h"
#include "loadgen/traces/text_source.h"

// Traces packed by gzip are read as the unpacked ones are.
namespace dsbench::loadgen {
namespace {

using testing::HasSubstr;

std::string gzipped(std::string_view text, int level = 6) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  (void)deflateEnd(&stream);
  return out;
}

class Gzip : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::filesystem::path write(std::string_view bytes) {
    path_ = std::filesystem::path{testing::TempDir()} /
            fmt::format("gzip-{}", testing::UnitTest::GetInstance()->current_test_info()->name());
    std::ofstream{path_, std::ios::binary} << bytes;
    return path_;
  }
  // Lines of no pattern that a compressor would find all of.
  static std::string lines(int from, int to) {
    std::string text;
    for (int i = from; i < to; ++i)
      text += fmt::format(
          "{{\"timestamp\": {}, \"input_length\": {}, \"output_length\": {}, \"hash_ids\": []}}\n", i * 37,
          1 + (i * 7919) % 4001, 1 + (i * 10473) % 997);
    return text;
  }
  std::string error_of(std::string_view bytes) {
    const auto trace = load_trace(write(bytes));
    return trace ? std::string{"accepted"} : trace.error().message;
  }

 private:
  std::filesystem::path path_;
};

Trace loaded(const std::filesystem::path& path) {
  auto trace = load_trace(path);
  EXPECT_TRUE(trace) << trace.error().message;
  return trace ? std::move(*trace) : Trace{};
}

void expect_same(const Trace& a, const Trace& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a.rows[i].due, b.rows[i].due);
    EXPECT_EQ(a.rows[i].input_tokens, b.rows[i].input_tokens);
    EXPECT_EQ(a.rows[i].output_tokens, b.rows[i].output_tokens);
  }
}

TEST_F(Gzip, reads_what_was_packed_of_all_members_and_over_padding) {
  const std::string text = lines(0, 60'000);  // more than one chunk of either side
  const Trace plain = loaded(write(text));
  expect_same(loaded(write(gzipped(text))), plain);
  const std::string half = text.substr(0, text.size() / 2), rest = text.substr(text.size() / 2);
  expect_same(loaded(write(gzipped(half) + gzipped("") + gzipped(rest, 0))), plain);
  expect_same(loaded(write(gzipped(text) + std::string(700, '\0'))), plain);
}

TEST_F(Gzip, says_where_a_file_is_cut_off) {
  const std::string text = lines(0, 60'000), packed = gzipped(text);
  const std::string message = error_of(std::string_view{packed}.substr(0, packed.size() / 2));
  EXPECT_THAT(message, HasSubstr("is cut off: its gzip data end early, after "));
  EXPECT_THAT(message, HasSubstr("accepted: a whole gzip file (gzip -t checks one); it was read to line "));
  // Without its checksum a file is not whole either, nor with a member begun.
  EXPECT_THAT(error_of(std::string_view{packed}.substr(0, packed.size() - 3)), HasSubstr("is cut off"));
  EXPECT_THAT(error_of(packed + gzipped(text).substr(0, 4000)), HasSubstr("1 members being whole"));
  EXPECT_THAT(error_of(std::string_view{packed}.substr(0, 12)), HasSubstr("is cut off"));
}

TEST_F(Gzip, says_that_a_file_is_damaged) {
  const std::string text = lines(0, 60'000);
  std::string packed = gzipped(text);
  for (std::size_t i = packed.size() / 2; i < packed.size() / 2 + 40; ++i)
    packed[i] = static_cast<char>(~packed[i]);
  EXPECT_THAT(error_of(packed), HasSubstr("is damaged: "));
  std::string wrong_sum = gzipped(text);
  wrong_sum[wrong_sum.size() - 8] = static_cast<char>(wrong_sum[wrong_sum.size() - 8] + 1);
  EXPECT_THAT(error_of(wrong_sum), HasSubstr("is damaged: incorrect data check"));
  EXPECT_THAT(error_of(gzipped(text) + "and more"),
              HasSubstr("is damaged: what follows its data is no gzip"));
}

TEST_F(Gzip, refuses_what_was_packed_twice_or_is_no_text) {
  EXPECT_THAT(error_of(gzipped(gzipped(lines(0, 9)))), HasSubstr("is compressed (gzip, twice: gunzip)"));
  EXPECT_THAT(error_of(gzipped(std::string{"SQLite format 3\0 and so on", 26})),
              HasSubstr("is a gzip of a records.sqlite"));
}

TEST_F(Gzip, reads_the_files_of_a_folder_of_ServeGen_too) {
  const std::filesystem::path folder = std::filesystem::path{testing::TempDir()} / "gzip-servegen";
  const auto plain = std::filesystem::path{DSBENCH_SOURCE_DIR} / "tests/golden/traces/servegen";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const auto& entry : std::filesystem::directory_iterator(plain)) {
    std::ifstream in{entry.path(), std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    std::ofstream{folder / (entry.path().filename().string() + ".gz"), std::ios::binary} << gzipped(text);
  }
  expect_same(loaded(folder), loaded(plain));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace dsbench::loadgen
