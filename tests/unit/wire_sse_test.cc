#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "loadgen/codec/sse_parser.h"

namespace dsbench::loadgen {
namespace {

using Events = std::vector<std::pair<std::string, std::string>>;  // name, data

struct Outcome {
  Events events;
  std::uint64_t comments = 0, unknown = 0;
  bool overflowed = false;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome parse(const std::vector<std::string>& pieces, std::size_t limit = SseParser::default_limit) {
  SseParser parser{limit};
  Outcome out;
  for (const std::string& given : pieces) {
    std::string piece = given;  // goes away after its turn, as a socket's buffer does
    parser.feed(piece);
    while (const auto e = parser.next()) out.events.emplace_back(e->event, e->data);
    piece.assign(piece.size(), '#');
  }
  out.comments = parser.comments();
  out.unknown = parser.unknown_lines();
  out.overflowed = parser.overflowed();
  return out;
}

TEST(Sse, Table) {
  struct Row {
    const char* name;
    std::string stream;
    Events events;
  };
  const Row rows[] = {
      {"LF", "data: a\n\n", {{"", "a"}}},
      {"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", {{"", "a"}, {"", "b"}}},
      {"CR", "data: a\r\rdata: b\r\r", {{"", "a"}, {"", "b"}}},
      {"mixed ends", "data: a\r\n\ndata: b\n\r\n", {{"", "a"}, {"", "b"}}},
      {"no space", "data:a\n\n", {{"", "a"}}},
      {"only one space is dropped", "data:  a\n\n", {{"", " a"}}},
      {"several lines", "data: a\ndata: b\ndata:\n\n", {{"", "a\nb\n"}}},
      {"an empty data line", "data\n\n", {{"", ""}}},
      {"byte order mark",
       "\xEF\xBB\xBF"
       "data: a\n\n",
       {{"", "a"}}},
      {"half a mark is a field",
       "\xEF\xBB"
       "data: a\n\ndata: b\n\n",
       {{"", "b"}}},
      {"name", "event: error\ndata: a\n\ndata: b\n\n", {{"error", "a"}, {"", "b"}}},
      {"a name without data is forgotten", "event: x\n\ndata: b\n\n", {{"", "b"}}},
      {"comments", ": keep-alive\n\n:\ndata: a\n: more\n\n", {{"", "a"}}},
      {"id and retry are known", "id: 1\nretry: 5\ndata: a\n\n", {{"", "a"}}},
      {"no blank line, no event", "data: a\n\ndata: b\n", {{"", "a"}}},
      {"colons in the value", "data: {\"a\": 1}\n\n", {{"", "{\"a\": 1}"}}},
      {"a blank line alone", "\n\n\r\n", {}},
  };
  for (const Row& row : rows) EXPECT_EQ(parse({row.stream}).events, row.events) << row.name;
}

// The stream in one piece, in every two pieces, in every three, and byte by byte, with every end of line.
TEST(Sse, EverySplitGivesTheSame) {
  const std::string stream =
      "\xEF\xBB\xBF: keep-alive\n\ndata: {\"a\":1}\n\nevent: e\ndata: x\ndata: y\n\n\n: c\nid: "
      "7\nodd\ndata:z\n\ndata: [DONE]\n\n";
  std::size_t splits = 0;
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    std::string text;
    for (const char c : stream) text += c == '\n' ? end : std::string(1, c);
    const Outcome whole = parse({text});
    ASSERT_EQ(whole.events, (Events{{"", "{\"a\":1}"}, {"e", "x\ny"}, {"", "z"}, {"", "[DONE]"}}));
    ASSERT_EQ(whole.comments, 2u);
    ASSERT_EQ(whole.unknown, 1u);
    for (std::size_t i = 0; i <= text.size(); ++i) {
      for (std::size_t j = i; j <= text.size(); ++j, ++splits) {
        ASSERT_EQ(parse({text.substr(0, i), text.substr(i, j - i), text.substr(j)}), whole) << i << " " << j;
      }
    }
    std::vector<std::string> bytes;
    for (const char c : text) bytes.emplace_back(1, c);
    ASSERT_EQ(parse(bytes), whole);
  }
  RecordProperty("splits", static_cast<int>(splits));
}

TEST(Sse, RefusesWhatIsTooLongHoweverItIsCut) {
  const std::string line = "data: " + std::string(100, 'x');
  const std::string two = line + "\n" + line + "\n\n";
  for (const std::string& stream : {line + "\n\n", two, std::string(300, 'x')}) {
    for (const std::size_t limit : {50u, 105u, 106u, 150u, 205u, 206u, 207u, 400u}) {
      const Outcome whole = parse({stream}, limit);
      for (std::size_t i = 0; i <= stream.size(); ++i) {
        ASSERT_EQ(parse({stream.substr(0, i), stream.substr(i)}, limit), whole) << limit << " " << i;
      }
    }
  }
  EXPECT_TRUE(parse({std::string(2u << 20, 'x')}).overflowed);
  EXPECT_FALSE(parse({line + "\n\n"}, 200).overflowed);
}

TEST(Sse, TellsAForeignBody) {
  SseParser json;
  json.feed("{\"id\": 1}");
  EXPECT_FALSE(json.next());
  EXPECT_TRUE(json.partial_is_foreign());
  for (const char* cut : {"d", "data", "data: {\"cho", ": keep", "eve", "id:"}) {
    SseParser parser;
    parser.feed(cut);
    EXPECT_FALSE(parser.next());
    EXPECT_FALSE(parser.partial_is_foreign()) << cut;
  }
}

TEST(Sse, ResetForgetsEverything) {
  SseParser parser{64};
  const std::string too_long(100, 'x');
  parser.feed(too_long);
  EXPECT_FALSE(parser.next());
  EXPECT_TRUE(parser.overflowed());
  parser.reset();
  parser.feed("data: a\n\n");
  ASSERT_TRUE(parser.next());
  EXPECT_EQ(parser.events(), 1u);
}

}  // namespace
}  // namespace dsbench::loadgen
