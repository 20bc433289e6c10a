#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/files.h"
#include "loadgen/traces/field_parsers.h"
#include "loadgen/traces/load_trace.h"
#include "loadgen/traces/text_source.h"
#include "loadgen/traces/trace_source.h"
#include "results/record_database.h"
#include "results/row_buffer.h"

namespace dsbench::loadgen {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path{DSBENCH_SOURCE_DIR} / "tests/golden/traces" / name;
}

// A file of its own, gone when the test ends.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view text, const std::string& name = "trace") {
    path_ = std::filesystem::path{testing::TempDir()} /
            (std::string{testing::UnitTest::GetInstance()->current_test_info()->name()} + "-" + name);
    std::ofstream{path_, std::ios::binary} << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

Trace must_load(const std::filesystem::path& path, const TraceOptions& options = {}) {
  auto trace = load_trace(path, options);
  EXPECT_TRUE(trace) << trace.error().message;
  return trace ? std::move(*trace) : Trace{};
}

std::vector<std::int32_t> inputs(const Trace& trace) {
  std::vector<std::int32_t> all;
  for (const TraceRow& row : trace.rows) all.push_back(row.input_tokens);
  return all;
}
std::vector<std::int64_t> millis(const Trace& trace) {
  std::vector<std::int64_t> all;
  for (const TraceRow& row : trace.rows) all.push_back(row.due.count() / 1'000'000);
  return all;
}

TEST(Mooncake, is_known_by_its_content_sorted_and_zeroed) {
  const Trace trace = must_load(golden("mooncake.jsonl"));
  EXPECT_EQ(trace.format, TraceFormat::mooncake);
  EXPECT_EQ(trace.block_tokens, 512);
  EXPECT_THAT(millis(trace), ElementsAre(0, 0, 2999, 3000));
  EXPECT_THAT(inputs(trace), ElementsAre(1200, 1100, 512, 1600));
  EXPECT_EQ(trace.notes.out_of_order, 1U);
  EXPECT_EQ(trace.notes.records, 4U);  // the blank line is none
  EXPECT_THAT(trace.hashes_of(3), ElementsAre(0U, 1U, 2U, 5U));
}

TEST(Mooncake, times_of_the_calendar_are_times) {
  const TemporaryFile file{
      "{\"timestamp\": \"2023-11-16T18:15:46.5Z\", \"input_length\": 10, \"output_length\": 3}\n"
      "{\"timestamp\": \"2023-11-16 18:15:48.25\", \"input_length\": 11, \"output_length\": 3}\n"};
  const Trace trace = must_load(file.path());
  EXPECT_THAT(millis(trace), ElementsAre(0, 1750));
  ASSERT_TRUE(trace.notes.origin);
  const TemporaryFile bad{"{\"timestamp\": \"noon\", \"input_length\": 10, \"output_length\": 3}\n", "bad"};
  EXPECT_THAT(
      load_trace(bad.path(), {}).error().message,
      HasSubstr("line 1: 'timestamp' is 'noon'; accepted: a number, or a time as in 2024-05-10T00:00:00Z"));
}

TEST(Azure, a_header_is_no_record_and_a_table_may_be_divided_otherwise) {
  for (const char divider : {',', ';', '\t'}) {
    std::string text = "ContextTokens|TIMESTAMP|GeneratedTokens\n";
    for (int i = 0; i < 9; ++i) text += fmt::format("{}|2023-11-16 18:15:4{}.5|7\n", 100 + i, i);
    text += "x|2023-11-16 18:15:50|7\n";
    std::replace(text.begin(), text.end(), '|', divider);
    const TemporaryFile file{text};
    TraceOptions options;
    options.most_bad = 0.1;
    const Trace trace = must_load(file.path(), options);
    EXPECT_EQ(trace.size(), 9U);
    EXPECT_EQ(trace.notes.records, 10U);
    EXPECT_EQ(trace.notes.bad, 1U);
    EXPECT_THAT(describe(trace), HasSubstr("1 of 10 records cannot be read: line 11: "));
  }
}

TEST(Azure, requests_of_one_instant_have_no_rate) {
  const TemporaryFile file{
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,10,3\n2023-11-16 18:15:46,11,3\n"};
  const Trace trace = must_load(file.path());
  EXPECT_TRUE(trace.notes.at_once);
  EXPECT_THAT(describe(trace), HasSubstr("2 requests at one instant; "));
}

TEST(Otel, spans_as_jaeger_and_zipkin_give_them_out) {
  const TemporaryFile jaeger{
      R"({"data": [{"traceID": "1", "spans": [{"traceID": "1", "operationName": "chat", "startTime": 1700000000250000,
      "duration": 5, "tags": [{"key": "gen_ai.usage.input_tokens", "type": "int64", "value": 12},
      {"key": "gen_ai.usage.output_tokens", "type": "int64", "value": 5}]}]}, {"traceID": "2", "spans": [{"traceID":
      "2", "operationName": "chat", "startTime": 1700000001000000, "duration": 5, "tags": [{"key":
      "gen_ai.usage.input_tokens", "type": "int64", "value": 13}, {"key": "error", "type": "bool", "value": true}]}],
      "processes": {}}]})"};
  const Trace a = must_load(jaeger.path());
  EXPECT_EQ(a.format, TraceFormat::otel);
  EXPECT_THAT(millis(a), ElementsAre(0, 750));
  EXPECT_THAT(inputs(a), ElementsAre(12, 13));
  EXPECT_EQ(a.notes.failed, 1U);
  const TemporaryFile zipkin{
      R"([{"traceId": "1", "id": "2", "name": "chat", "timestamp": 1700000000250000, "duration": 5,
      "tags": {"gen_ai.usage.input_tokens": "12", "gen_ai.usage.output_tokens": "5"}},
      {"traceId": "1", "id": "3", "name": "chat", "timestamp": 1700000001000000, "duration": 5,
      "tags": {"gen_ai.usage.input_tokens": "13", "gen_ai.usage.output_tokens": "6"}}])",
      "zipkin"};
  EXPECT_THAT(millis(must_load(zipkin.path())), ElementsAre(0, 750));
  const TemporaryFile none{
      R"({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "GET /", "attributes": []}]}]}]})", "none"};
  EXPECT_THAT(
      load_trace(none.path(), {}).error().message,
      HasSubstr("holds no request; it was read as otel: 1 spans, and none with gen_ai.usage.input_tokens"));
}

TEST(ShareGpt, turns_without_words_and_parts_of_text_are_turns) {
  const TemporaryFile file{
      R"([{"id": 1, "items": [{"from": "human", "value": "hello there"}, {"from": "gpt", "value": "hi"}]},)"
      R"( {"id": 2, "messages": [{"role": "user", "content": [{"type": "text", "text": "call it now"}]},)"
      R"( {"role": "assistant", "content": null, "tool_calls": []}, {"role": "tool", "content": "4"},)"
      R"( {"role": "assistant", "content": "four"}]}, {"id": 3, "items": [{"from": "human", "value": 7}]}])"};
  TraceOptions options;
  options.most_bad = 0.5;
  const Trace trace = must_load(file.path(), options);
  EXPECT_EQ(trace.size(), 2U);
  EXPECT_THAT(trace.notes.examples,
              ElementsAre(HasSubstr("record 3, line 1: a turn's 'value' (or 'content') is 7")));
}

TEST(Formats, utf_16_is_refused_by_name) {
  const TemporaryFile file{std::string{"\xFF\xFET\0I\0", 6}};
  EXPECT_THAT(load_trace(file.path(), {}).error().message, HasSubstr("is UTF-16; convert it first"));
}

TEST(Mooncake, blocks_become_parts_that_share_text_and_end_with_the_prompt) {
  const Trace trace = must_load(golden("mooncake.jsonl"));
  const TraceContent first = trace.content(0);
  const TraceContent follow = trace.content(3);
  ASSERT_EQ(first.parts.size(), 3U);
  ASSERT_EQ(follow.parts.size(), 4U);
  EXPECT_EQ(first.parts[0], follow.parts[0]);
  EXPECT_EQ(first.parts[1], follow.parts[1]);
  EXPECT_EQ(first.parts[2].tokens, 1200 - 2 * 512);  // the rest of the prompt
  EXPECT_EQ(follow.parts[2].tokens, 512);
  EXPECT_EQ(first.parts[2].seed, follow.parts[2].seed);
  EXPECT_NE(first.parts[1].seed, trace.content(1).parts[1].seed);
}

TEST(Mooncake, hashes_that_do_not_cover_the_prompt_get_a_tail_of_its_own) {
  const TemporaryFile file{
      "{\"timestamp\":0,\"input_length\":2000,\"output_length\":5,\"hash_ids\":[1,2]}\n"
      "{\"timestamp\":9,\"input_length\":2000,\"output_length\":5,\"hash_ids\":[1,2]}\n"};
  TraceOptions options;
  options.block_tokens = 512;
  const Trace trace = must_load(file.path(), options);
  EXPECT_EQ(trace.notes.short_hashes, 2U);
  ASSERT_EQ(trace.content(0).parts.size(), 3U);
  EXPECT_EQ(trace.content(0).parts[2].tokens, 2000 - 1024);
  EXPECT_NE(trace.content(0).parts[2].seed, trace.content(1).parts[2].seed);
}

TEST(Bailian, counts_seconds_hashes_16_tokens_and_follows_parents) {
  const Trace trace = must_load(golden("bailian.jsonl"));
  EXPECT_EQ(trace.format, TraceFormat::bailian);
  EXPECT_EQ(trace.block_tokens, 16);
  EXPECT_THAT(millis(trace), ElementsAre(0, 750, 60614, 89500));
  EXPECT_EQ(trace.rows[2].parent, 0U);
  EXPECT_EQ(trace.rows[3].parent, 2U);
  EXPECT_EQ(trace.rows[3].session, trace.rows[0].session);
  EXPECT_NE(trace.rows[1].session, trace.rows[0].session);
  EXPECT_EQ(trace.tenants[trace.rows[1].tenant], "search");
}

TEST(Azure, reads_seven_digits_a_byte_order_mark_crlf_and_no_last_newline) {
  const Trace trace = must_load(golden("azure2023.csv"));
  EXPECT_EQ(trace.format, TraceFormat::azure);
  ASSERT_EQ(trace.size(), 3U);
  EXPECT_EQ(trace.rows[1].due, Nanos{2'319'410'000});
  EXPECT_EQ(trace.rows[2].due, Nanos{4'314'579'000});
  EXPECT_THAT(inputs(trace), ElementsAre(374, 879, 396));
  EXPECT_EQ(trace.notes.origin, parse_utc("2023-11-16 18:15:46.6805900"));
  EXPECT_EQ(trace.notes.bad, 0U);
}

TEST(Azure, reads_offsets_of_2024) {
  const Trace trace = must_load(golden("azure2024.csv"));
  EXPECT_THAT(inputs(trace), ElementsAre(2162, 2399, 76));
  EXPECT_EQ(trace.rows[1].due, Nanos{7'405'000});
  EXPECT_EQ(trace.rows[2].due, trace.rows[1].due);
}

TEST(BurstGpt, finds_columns_by_name_in_both_releases) {
  const Trace one = must_load(golden("burstgpt1.csv"));
  EXPECT_EQ(one.format, TraceFormat::burstgpt);
  EXPECT_THAT(millis(one), ElementsAre(0, 40000, 40000, 113500));
  EXPECT_EQ(one.rows[0].session, 0U);
  EXPECT_EQ(one.notes.failed, 1U);
  EXPECT_EQ(one.notes.filled, 1U);
  EXPECT_TRUE(one.content(2).failed_in_source);
  EXPECT_THAT(one.rows[2].output_tokens, testing::AnyOf(18, 230, 276));  // one of those that succeeded
  const Trace two = must_load(golden("burstgpt2.csv"));
  EXPECT_THAT(millis(two), ElementsAre(0, 1500, 26000));
  EXPECT_EQ(two.rows[0].session, 5U);
  EXPECT_EQ(two.rows[1].session, 0U);
  EXPECT_EQ(two.rows[2].session, 5U);
}

TEST(BurstGpt, tenants_are_model_and_log_and_can_be_chosen) {
  TraceOptions options;
  options.tenants = {"GPT-4"};
  EXPECT_EQ(must_load(golden("burstgpt1.csv"), options).size(), 2U);
  options.tenants = {"ChatGPT/Conversation log"};
  EXPECT_EQ(must_load(golden("burstgpt1.csv"), options).size(), 2U);
  options.tenants = {"GPT-5"};
  const auto none = load_trace(golden("burstgpt1.csv"), options);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("no request of burstgpt1.csv is of tenant 'GPT-5'; found: "
                                              "ChatGPT/Conversation log, GPT-4/API log"));
}

TEST(BurstGpt, joined_parts_repeat_the_header) {
  const TemporaryFile file{
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n1,m,1,2,3,API log\n"
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n2,m,3,4,7,API log\n"};
  EXPECT_EQ(must_load(file.path()).size(), 2U);
}

TEST(ShareGpt, turns_carry_their_history_and_tokens_are_estimates) {
  const Trace trace = must_load(golden("sharegpt.json"));
  EXPECT_EQ(trace.format, TraceFormat::sharegpt);
  EXPECT_FALSE(trace.notes.timed);
  EXPECT_TRUE(trace.notes.estimated_tokens);
  EXPECT_EQ(trace.notes.skipped, 1U);
  ASSERT_EQ(trace.size(), 3U);
  EXPECT_EQ(trace.rows[0].input_tokens, 4);
  EXPECT_EQ(trace.rows[0].output_tokens, 7);
  EXPECT_EQ(trace.rows[1].input_tokens, 4 + 7 + 7);
  EXPECT_EQ(trace.rows[1].output_tokens, 1);
  EXPECT_EQ(trace.rows[0].session, trace.rows[1].session);
  EXPECT_NE(trace.rows[2].session, trace.rows[1].session);
  EXPECT_THAT(describe(trace), HasSubstr("token counts are estimated: four bytes are taken for one"));
}

TEST(ShareGpt, later_turns_begin_with_the_blocks_of_earlier_ones) {
  const std::string long_text(700, 'x');
  const TemporaryFile file{
      R"([{"id":1,"conversations":[{"from":"human","value":")" + long_text +
      R"("},{"from":"gpt","value":"a"},{"from":"human","value":"b"},{"from":"gpt","value":"c"}]}])"};
  const Trace trace = must_load(file.path());
  ASSERT_EQ(trace.size(), 2U);
  const TraceContent first = trace.content(0);
  const TraceContent second = trace.content(1);
  ASSERT_EQ(first.parts.size(), 3U);  // 175 tokens in blocks of 64
  EXPECT_EQ(first.parts[0], second.parts[0]);
  EXPECT_EQ(first.parts[1], second.parts[1]);
  EXPECT_NE(first.parts[2].seed, second.parts[2].seed);  // the last block holds more now
}

TEST(Vllm, counts_seconds_and_takes_other_labels) {
  const Trace trace = must_load(golden("vllm.jsonl"));
  EXPECT_EQ(trace.format, TraceFormat::vllm);
  EXPECT_EQ(trace.block_tokens, 16);
  EXPECT_THAT(millis(trace), ElementsAre(0, 500));
  const TemporaryFile file{
      "{\"t\": 5, \"in\": 20, \"out\": 1, \"h\": [\"ab\", \"cd\"]}\n{\"t\": 7, \"in\": 20, \"out\": 1}\n"};
  TraceOptions options;
  options.format = TraceFormat::vllm;
  options.timestamp_label = "t";
  options.input_label = "in";
  options.output_label = "out";
  options.hashes_label = "h";
  options.seconds_per_unit = 0.001;
  const Trace other = must_load(file.path(), options);
  EXPECT_THAT(millis(other), ElementsAre(0, 2));
  EXPECT_EQ(other.content(0).parts.size(), 2U);
  EXPECT_EQ(other.content(1).parts.size(), 1U);
}

TEST(Otel, reads_old_and_new_names_and_leaves_agents_and_other_spans_out) {
  const Trace trace = must_load(golden("otel.jsonl"));
  EXPECT_EQ(trace.format, TraceFormat::otel);
  EXPECT_THAT(inputs(trace), ElementsAre(120, 7));
  EXPECT_THAT(millis(trace), ElementsAre(0, 2500));
  EXPECT_EQ(trace.notes.skipped, 2U);
  EXPECT_FLOAT_EQ(trace.rows[0].reasoning_share, 0.25F);
  EXPECT_EQ(trace.tenants[trace.rows[0].tenant], "big");
  EXPECT_NE(trace.rows[0].session, 0U);
}

TEST(Otel, reads_an_array_of_printed_spans) {
  const Trace trace = must_load(golden("otel_spans.json"));
  EXPECT_THAT(inputs(trace), ElementsAre(21, 11));
  EXPECT_EQ(trace.notes.failed, 1U);
  EXPECT_EQ(trace.notes.out_of_order, 1U);
}

TEST(Records, replay_what_was_recorded) {
  const auto folder = std::filesystem::path{testing::TempDir()} / "traces-records";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  {
    auto database = results::RecordDatabase::create(folder / "records.sqlite", {});
    ASSERT_TRUE(database);
    ASSERT_TRUE(database->begin());
    results::RowBuffer rows;
    const auto put = [&](std::uint64_t request, std::uint32_t attempt, std::int64_t due_ms,
                         std::int32_t prompt, std::int32_t asked, results::Reason reason) {
      results::AttemptRecord row;
      row.request = request;
      row.attempt = attempt;
      row.due = Nanos{due_ms * 1'000'000};
      row.prompt_tokens = prompt;
      row.output_tokens = asked / 2;
      row.output_tokens_asked = asked;
      row.reason = reason;
      rows.add(row);
    };
    put(1, 0, 250, 31, 8, results::Reason::http_503);  // ended before request 0
    put(0, 0, 100, 30, 7, results::Reason::ok);
    put(1, 1, 900, 31, 8, results::Reason::ok);
    ASSERT_TRUE(database->write(rows));
    ASSERT_TRUE(database->commit());
    ASSERT_TRUE(database->close());
  }
  const Trace trace = must_load(folder);
  EXPECT_EQ(trace.format, TraceFormat::records);
  EXPECT_THAT(millis(trace), ElementsAre(0, 150));
  EXPECT_THAT(inputs(trace), ElementsAre(30, 31));
  EXPECT_EQ(trace.rows[1].output_tokens, 8);
  EXPECT_EQ(trace.notes.failed, 1U);
  EXPECT_EQ(trace.rows[1].session, 2U);
  EXPECT_EQ(must_load(folder / "records.sqlite").size(), 2U);
}

TEST(Malformed, lines_are_told_with_their_number_and_refused_above_a_share) {
  std::string text = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  for (int i = 0; i < 98; ++i) text += "2023-11-16 18:15:46.6805900,374,44\n";
  text += "2023-11-16 18:15:46.6805900,-3,44\nnonsense\n";
  const TemporaryFile file{text};
  const auto refused = load_trace(file.path());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::usage);
  EXPECT_THAT(refused.error().message,
              HasSubstr("2 of 100 records (2 %) cannot be read as azure; accepted: at most 1 %"));
  EXPECT_THAT(refused.error().message,
              HasSubstr("line 100: ContextTokens is -3; accepted: a whole number from 0 to 16777216"));
  EXPECT_THAT(refused.error().message, HasSubstr("line 101: 1 fields, expected 3"));
  TraceOptions options;
  options.most_bad = 0.02;
  const Trace trace = must_load(file.path(), options);
  EXPECT_EQ(trace.size(), 98U);
  EXPECT_EQ(trace.notes.bad, 2U);
  EXPECT_THAT(describe(trace), HasSubstr("2 of 100 records cannot be read: line 100"));
}

TEST(Malformed, json_lines_say_what_is_missing) {
  const TemporaryFile file{
      "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 1}\n{\"timestamp\": 1, \"output_length\": "
      "1}\n"
      "{\"timestamp\": 1, \"inp\n{\"timestamp\": \"x\", \"input_length\": 5, \"output_length\": 1}\n"
      "{\"timestamp\": 1, \"input_length\": 5.5, \"output_length\": 1}\n"};
  const auto refused = load_trace(file.path());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("line 2: 'input_length' is missing"));
  EXPECT_THAT(refused.error().message, HasSubstr("line 3: no JSON"));
  EXPECT_THAT(refused.error().message, HasSubstr("line 4: 'timestamp' is 'x'; accepted: a number"));
  EXPECT_THAT(refused.error().message, HasSubstr("line 5: input_length is 5.5; accepted: a whole number"));
}

TEST(Malformed, an_array_that_breaks_off_is_one_bad_record) {
  std::string text = read_file(golden("sharegpt.json")).value();
  text.resize(text.rfind("Hello"));
  const TemporaryFile file{text};
  const auto refused = load_trace(file.path());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("1 of 3 records"));
  EXPECT_THAT(refused.error().message, HasSubstr("line 12: the file ends within it"));
}

TEST(Malformed, an_array_that_breaks_off_between_elements_is_not_whole) {
  const std::string whole = read_file(golden("sharegpt.json")).value();
  const std::string text = whole.substr(0, whole.rfind(']'));
  const TemporaryFile file{text};
  const auto refused = load_trace(file.path());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("1 of 4 records"));
  EXPECT_THAT(refused.error().message, HasSubstr("the file ends within an array"));
  TraceOptions lenient;
  lenient.most_bad = 0.5;
  const Trace trace = must_load(file.path(), lenient);
  EXPECT_EQ(trace.notes.bad, 1U);
  EXPECT_EQ(trace.size(), must_load(golden("sharegpt.json")).size());
}

// One hash each fits blocks of 512 and of 1024 alike.
TEST(Mooncake, prompts_of_one_block_have_the_usual_one) {
  std::string text;
  for (int i = 0; i < 20; ++i)
    text += R"({"timestamp": )" + std::to_string(i * 1000) +
            R"(, "input_length": 512, "output_length": 1, "hash_ids": [)" + std::to_string(i) + "]}\n";
  const TemporaryFile file{text};
  EXPECT_EQ(must_load(file.path()).block_tokens, 512);
}

// Others write Mooncake's milliseconds with fractions; taken for vLLM's seconds, they were a thousand times
// too slow.
TEST(Mooncake, milliseconds_may_have_fractions) {
  const TemporaryFile file{
      R"({"timestamp": 0.5, "input_length": 1200, "output_length": 50, "hash_ids": [0, 1, 2]})"
      "\n"
      R"({"timestamp": 1500.25, "input_length": 600, "output_length": 50, "hash_ids": [0, 3]})"};
  const Trace trace = must_load(file.path());
  EXPECT_EQ(trace.format, TraceFormat::mooncake);
  EXPECT_EQ(trace.block_tokens, 512);
  EXPECT_THAT(millis(trace), ElementsAre(0, 1499));
}

TEST(Describe, one_request_has_no_rate_and_nothing_is_sent_as_one_token) {
  const TemporaryFile one{R"({"timestamp": 0, "input_length": 12, "output_length": 0, "hash_ids": [0]})"};
  EXPECT_THAT(describe(must_load(one.path())),
              AllOf(HasSubstr("mooncake, 1 request; 12 input and 0 output tokens each"),
                    HasSubstr("1 requests have no output tokens: 1 is asked for")));
}

// An array was taken for Mooncake's milliseconds and blocks of 512, whatever it held: it was looked at line
// by line.
TEST(Formats, an_array_is_known_by_its_elements_as_lines_are) {
  const std::string lines = read_file(golden("vllm.jsonl")).value();
  std::string array = "[" + lines;
  array.replace(array.find("}\n{"), 3, "}, {");
  array.back() = ']';
  const TemporaryFile file{array};
  const Trace of_lines = must_load(golden("vllm.jsonl")), of_array = must_load(file.path());
  EXPECT_EQ(of_array.format, TraceFormat::vllm);
  EXPECT_EQ(of_array.block_tokens, of_lines.block_tokens);
  EXPECT_EQ(millis(of_array), millis(of_lines));
  EXPECT_THAT(of_array.hashes_of(1), ElementsAre(981U, 4412U, 8U));
}

TEST(Foreign, files_are_refused_with_what_they_are) {
  const auto refusal = [](std::string_view text) {
    const TemporaryFile file{text};
    const auto trace = load_trace(file.path());
    return trace ? std::string{"accepted"} : trace.error().message;
  };
  EXPECT_THAT(refusal("a,b,c\n1,2,3\n"),
              HasSubstr("is no trace that we know; it begins with 'a,b,c'; accepted: mooncake, bailian"));
  EXPECT_THAT(refusal("{\"hello\": 1}\n"), HasSubstr("is no trace that we know"));
  EXPECT_THAT(refusal(""), HasSubstr("is empty"));
  EXPECT_THAT(refusal(" \n\n"), HasSubstr("is empty"));
  EXPECT_THAT(refusal("\x28\xB5\x2F\xFD and so on"),
              HasSubstr("is compressed (zstd: zstd -d); accepted: gzip, packed once, or the unpacked file"));
  EXPECT_THAT(refusal("PK\x03\x04 and so on"), HasSubstr("is compressed (zip: unzip)"));
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid"), HasSubstr("is a Git LFS pointer"));
  EXPECT_THAT(refusal("SQLite format 3 is what it says"), HasSubstr("cannot read"));
  EXPECT_THAT(load_trace("/nowhere/at/all").error().message,
              HasSubstr("there is no trace '/nowhere/at/all'"));
  EXPECT_THAT(load_trace(testing::TempDir()).error().message,
              HasSubstr("holds no trace; accepted: ServeGen's"));
  EXPECT_EQ(parse_trace_format("moncake").error().message,
            "no trace format 'moncake'; accepted: mooncake, bailian, azure, burstgpt, sharegpt, servegen, "
            "vllm, otel, "
            "records; did you mean 'mooncake'?");
}

TEST(Foreign, a_wrong_format_is_refused_by_its_header) {
  TraceOptions options;
  options.format = TraceFormat::azure;
  const auto refused = load_trace(golden("burstgpt1.csv"), options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("no column 'ContextTokens' in the header"));
}

TEST(TextSource, gives_the_same_elements_however_they_are_laid_out) {
  const auto elements = [](const std::string& text) {
    std::vector<std::string> all;
    TextSource source = TextSource::of_text(text, Framing::json_elements);
    while (const auto record = source.next().value())
      all.push_back(std::string{record->text} + "@" + std::to_string(record->line));
    return all;
  };
  EXPECT_THAT(elements("[{\"a\":\"}]\"},\n{\"b\":[1,2]} , 3,\"x,y\"]"),
              ElementsAre("{\"a\":\"}]\"}@1", "{\"b\":[1,2]}@2", "3@2", "\"x,y\"@2"));
  EXPECT_THAT(elements("{\"a\":1}\n\n{\"b\":\"\\\"{\"}"), ElementsAre("{\"a\":1}@1", "{\"b\":\"\\\"{\"}@3"));
  EXPECT_THAT(elements("[]"), ElementsAre());
  EXPECT_THAT(elements(" ] } "), testing::SizeIs(2));  // strays do not stop it
}

TEST(TextSource, lines_longer_than_its_buffer_are_whole) {
  const std::string text = std::string(3'000'000, 'a') + "\n" + std::string(10, 'b');
  const TemporaryFile file{text};
  auto source = TextSource::open(file.path(), Framing::lines).value();
  EXPECT_EQ(source.next().value()->text.size(), 3'000'000U);
  EXPECT_EQ(source.next().value()->text, "bbbbbbbbbb");
  EXPECT_FALSE(source.next().value());
}

TEST(TraceSource, replays_arrivals_and_contents) {
  const auto trace = std::make_shared<const Trace>(must_load(golden("mooncake.jsonl")));
  ASSERT_EQ(trace->due().size(), 4U);
  EXPECT_EQ(trace->due()[3], from_seconds(3));
  const SharedSource source = make_trace_source(trace);
  EXPECT_EQ(source(3).prompt_tokens, 1600);
  EXPECT_EQ(source(3).output_tokens, 30);
  ASSERT_TRUE(source(3).parts);
  EXPECT_EQ(*source(3).parts, trace->content(3).parts);
  EXPECT_FALSE(source(2).parts);  // one block: a prompt by its seed
  EXPECT_EQ(source(2).prompt_seed, trace->content(2).parts[0].seed);
  EXPECT_EQ(source(7).prompt_seed, source(3).prompt_seed);  // it begins again
}

TEST(ParseUtc, knows_its_calendar) {
  EXPECT_EQ(parse_utc("1970-01-01 00:00:00"), Nanos{0});
  EXPECT_EQ(parse_utc("2024-02-29T12:00:00.5Z"), Nanos{1'709'208'000'500'000'000});
  EXPECT_EQ(parse_utc("2024-02-29 14:00:00.500+0200"), Nanos{1'709'208'000'500'000'000});
  EXPECT_EQ(parse_utc("2024-02-29 04:30:00.500-07:30"), Nanos{1'709'208'000'500'000'000});
  EXPECT_FALSE(parse_utc("2023-02-29 12:00:00"));
  EXPECT_FALSE(parse_utc("2023-02-28 25:00:00"));
  EXPECT_FALSE(parse_utc("2023-02-28 12:00:00.x"));
  EXPECT_FALSE(parse_utc("2023-02-28 12:00:00 local"));
  EXPECT_FALSE(parse_utc("16/11/2023"));
}

}  // namespace
}  // namespace dsbench::loadgen
