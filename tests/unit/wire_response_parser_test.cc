#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "loadgen/wire/http_response_parser.h"

namespace dsbench::loadgen {
namespace {

using Kind = HttpResponseParser::Kind;
using ::testing::ElementsAre;

// What a connection says, as words; pieces of a body joined. Fed `piece` bytes at a time from memory that is
// gone afterwards.
std::vector<std::string> read(const std::string& bytes, std::size_t piece, bool close = false,
                              bool headers = false, bool* persistent = nullptr) {
  std::vector<std::string> out;
  HttpResponseParser parser;
  parser.begin();
  bool over = false;
  std::string body;
  const auto say = [&](Kind kind, std::int32_t status, std::string_view text) {
    if (kind == Kind::body) {
      body += text;
      return;
    }
    if (!body.empty()) out.push_back("body:" + body);
    body.clear();
    switch (kind) {
      case Kind::interim:
        out.push_back("interim:" + std::to_string(status));
        break;
      case Kind::status:
        out.push_back("status:" + std::to_string(status));
        if (headers) parser.want_headers();
        break;
      case Kind::header:
        out.push_back("header:" + std::string{text.substr(0, text.find_first_of("\r\n"))});
        break;
      case Kind::head_over:
        out.emplace_back("head_over");
        break;
      case Kind::body:
        break;
      case Kind::end:
        out.emplace_back("end");
        over = true;
        break;
      case Kind::malformed:
        out.emplace_back("malformed");
        over = true;
        break;
      case Kind::torn:
        out.emplace_back("torn");
        over = true;
        break;
    }
  };
  for (std::size_t at = 0; at < bytes.size() && !over; at += piece) {
    const std::string part = bytes.substr(at, piece);
    parser.feed(part);
    while (const auto p = parser.next()) say(p->kind, p->status, p->text);
    if (persistent != nullptr) *persistent = parser.persistent();
  }
  if (close && !over) say(parser.close(), 0, {});
  if (!body.empty()) out.push_back("body:" + body);
  return out;
}

TEST(ResponseParser, TheSameHoweverTheBytesAreCut) {
  const struct {
    std::string bytes;
    bool close;
    std::vector<std::string> told;
  } rows[] = {
      {"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
       false,
       {"status:200", "header:A: b", "header:Content-Length: 5", "head_over", "body:hello", "end"}},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
       "0\r\n\r\n",
       false,
       {"interim:100", "interim:103", "status:200", "header:Content-Length: 0", "head_over", "end"}},
      {"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3;ext=\"1\"\r\nabc\r\n00002\nde\r\n0\r\nT: r\r\n\r\n",
       false,
       {"status:200", "header:Transfer-Encoding: chunked", "head_over", "body:abcde", "header:T: r", "end"}},
      {"HTTP/1.0 200 OK\r\n\r\nuntil it closes",
       true,
       {"status:200", "head_over", "body:until it closes", "end"}},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
       false,
       {"status:204", "header:Content-Length: 9", "head_over", "end"}},
      {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
       false,
       {"status:304", "header:Transfer-Encoding: chunked", "head_over", "end"}},
      {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
       true,
       {"status:200", "header:Content-Length: 9", "head_over", "body:short", "torn"}},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
       false,
       {"status:200", "header:Transfer-Encoding: chunked", "head_over", "body:abc", "torn"}},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
       true,
       {"status:200", "header:Transfer-Encoding: chunked", "head_over", "body:abc", "torn"}},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
       false,
       {"status:200", "header:Transfer-Encoding: gzip", "head_over", "malformed"}},
      {"HTTP/1.1 200 OK\r\nno colon\r\n", false, {"status:200", "malformed"}},
      {"HTTP/1.1 200 OK\r\nContent-Length: many\r\n", false, {"status:200", "malformed"}},
      {"SSH-2.0-OpenSSH", false, {"malformed"}},
      {"HTTP/1.1 2", true, {"torn"}},
      {"HTTP/1.1 1000 What\r\n", false, {"malformed"}},
      {"HTTP/3.1 200 OK\r\n", false, {"malformed"}},
  };
  for (const auto& row : rows) {
    std::vector<std::string> told = row.told;
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{7}, row.bytes.size()}) {
      EXPECT_EQ(read(row.bytes, piece, row.close, true), told) << row.bytes << " cut at " << piece;
    }
  }
}

TEST(ResponseParser, KnowsWhenAConnectionMayBeUsedAgain) {
  const struct {
    const char* bytes;
    bool persistent;
  } rows[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
      {"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
      {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nnobody asked", false},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
  };
  for (const auto& row : rows) {
    bool persistent = !row.persistent;
    const auto told = read(row.bytes, 4096, false, false, &persistent);
    EXPECT_EQ(told.back(), "end") << row.bytes;
    EXPECT_EQ(persistent, row.persistent) << row.bytes;
  }
}

TEST(ResponseParser, NoHeadIsTooLongForItsMemory) {
  const std::string line(HttpResponseParser::longest_line, 'x');
  EXPECT_THAT(read("HTTP/1.1 200 OK\r\nA: " + line + "\r\n\r\n", 4096),
              ElementsAre("status:200", "malformed"));
  std::string many = "HTTP/1.1 200 OK\r\n";
  while (many.size() < HttpResponseParser::longest_head) many += "A: " + std::string(1000, 'x') + "\r\n";
  EXPECT_THAT(read(many + "\r\n", 4096), ElementsAre("status:200", "malformed"));
  EXPECT_THAT(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " +
                       std::string(HttpResponseParser::longest_trailer, 'x') + "\r\n\r\n",
                   512),
              ElementsAre("status:200", "head_over", "torn"));
}

TEST(ResponseParser, StatusLinesAreTakenStrictly) {
  EXPECT_EQ(parse_status_line("HTTP/1.1 200 OK\r\n")->status, 200);
  EXPECT_EQ(parse_status_line("HTTP/1.0  404\r\n")->version, 10);
  EXPECT_EQ(parse_status_line("HTTP/2 200 \r\n", true)->version, 20);
  for (const char* line :
       {"HTTP/2 200 \r\n", "http/1.1 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000", "HTTP/1.1 -20", "HTTP/1.1",
        "HTTP/1.1 ", "HTTP/1.1\t200", "HTTP/1.2 200 OK", "HTTP/1.1 099 X", ""}) {
    EXPECT_FALSE(parse_status_line(line)) << line;
  }
}

}  // namespace
}  // namespace dsbench::loadgen
