#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/rng.h"
#include "loadgen/codec/byte_scan.h"
#include "loadgen/codec/json_scanner.h"

namespace dsbench::loadgen {
namespace {

template <class Meant>
std::size_t plain_find(const std::string& text, std::size_t from, Meant&& meant) {
  while (from < text.size() && !meant(text[from])) ++from;
  return from;
}

TEST(ByteScan, FindsWhatAPlainSearchFinds) {
  Rng rng{4, "byte scan"};
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (auto n = rng.below(50); n > 0; --n) text += static_cast<char>(rng.below(256));
    const bool sparse = rng.below(2) == 0;
    if (sparse) {  // long plain stretches, with the neighbours of what is meant
      for (char& c : text) c = "a\x80\xFF!#[]\x7F \x0B\x0E\xA2\xDC"[rng.below(13)];
      if (!text.empty() && rng.below(2) == 0) text[rng.below(text.size())] = "\"\\\n\r\x1F"[rng.below(5)];
    }
    const std::size_t from = rng.below(text.size() + 1);
    const char* const end = text.data() + text.size();
    ASSERT_EQ(static_cast<std::size_t>(bytes::find_string_end(text.data() + from, end) - text.data()),
              plain_find(text, from, [](char c) {
                return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
              }));
    ASSERT_EQ(static_cast<std::size_t>(bytes::find_line_end(text.data() + from, end) - text.data()),
              plain_find(text, from, [](char c) { return c == '\n' || c == '\r'; }));
  }
}

// The words that stand in for 16-byte registers where there are none.
TEST(ByteScan, TheLowestByteOfAWordIsExact) {
  Rng rng{4, "words"};
  for (int i = 0; i < 50'000; ++i) {
    std::uint64_t w = 0;
    for (int k = 0; k < 8; ++k)
      w |= std::uint64_t{static_cast<unsigned char>("\"!#\\\x1F\x20\x7F\x80\xFF\n"[rng.below(10)])}
           << (8 * k);
    int first = 8;
    for (int k = 7; k >= 0; --k) {
      const auto c = static_cast<unsigned char>(w >> (8 * k));
      if (c == '"' || c < 0x20) first = k;
    }
    const std::uint64_t meant = bytes::swar::equal(w, '"') | bytes::swar::below(w, 0x20);
    ASSERT_EQ(meant == 0 ? 8 : std::countr_zero(meant) / 8, first) << std::hex << w;
  }
}

TEST(JsonScanner, ReadsWhatIsAskedAndSkipsTheRest) {
  JsonScanner scan{R"( {"a":[1,"x",{"b":null}], "n":12, "m":-3, "f":1.5, "big":2147483648, "t":true,
                       "s":"\u0077ord", "e":"", "o":{"p":7,"q":[[]]}, "w":"not an object"} )"};
  std::optional<std::int32_t> n, m, f, big, p;
  std::optional<JsonString> s;
  bool t = false, e = false, object_seen = false, elements = false;
  ASSERT_TRUE(scan.document([&](const JsonString& key) {
    if (key.is("n")) return scan.count(n);
    if (key.is("m")) return scan.count(m);
    if (key.is("f")) return scan.count(f);
    if (key.is("big")) return scan.count(big);
    if (key.is("t")) return scan.truth(t);
    if (key.is("s")) return scan.string(s);
    if (key.is("e")) return scan.text(e);
    if (key.is("a")) {
      return scan.array([&] {
        elements = true;
        return scan.skip();
      });
    }
    if (key.is("o")) {
      return scan.object([&](const JsonString& k) { return k.is("p") ? scan.count(p) : scan.skip(); });
    }
    if (key.is("w")) {
      return scan.object([&](const JsonString&) {
        object_seen = true;
        return scan.skip();
      });
    }
    return scan.skip();
  }));
  EXPECT_EQ(n, 12);
  EXPECT_FALSE(m || f || big);
  EXPECT_EQ(p, 7);
  EXPECT_TRUE(t && elements);
  EXPECT_FALSE(e || object_seen);
  ASSERT_TRUE(s);
  EXPECT_TRUE(s->is("word"));
  EXPECT_FALSE(s->is("words") || s->is("wor"));
}

}  // namespace
}  // namespace dsbench::loadgen
