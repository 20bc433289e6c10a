#include "engine/server/http_head.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <iterator>

namespace dsbench::engine::server {
namespace {

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 529:
      return "Overloaded";
    default:
      return "Unknown";
  }
}

// An HTTP/1.1 connection stays and an HTTP/1.0 connection ends unless it is said otherwise.
std::string_view connection_header(HttpFraming framing) {
  if (framing.http11) return framing.keep_alive ? "" : "Connection: close\r\n";
  return framing.keep_alive ? "Connection: keep-alive\r\n" : "";
}

}  // namespace

std::string response_head(int status, std::string_view content_type, std::size_t content_length,
                          HttpFraming framing, std::string_view date, std::string_view extra) {
  std::string out;
  const auto put = std::back_inserter(out);
  fmt::format_to(put, "HTTP/1.1 {} {}\r\nDate: {}\r\n", status, reason_phrase(status), date);
  out += extra;
  if (!content_type.empty()) fmt::format_to(put, "Content-Type: {}\r\n", content_type);
  fmt::format_to(put, "Content-Length: {}\r\n{}\r\n", content_length, connection_header(framing));
  return out;
}

std::string stream_head(HttpFraming framing, std::string_view date, std::string_view content_type) {
  return fmt::format("HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Type: {}\r\nCache-Control: no-cache\r\n{}{}\r\n",
                     date, content_type, framing.http11 ? "Transfer-Encoding: chunked\r\n" : "",
                     connection_header(framing));
}

void append_chunk(std::string& out, std::string_view payload) {
  if (payload.empty()) return;
  // By hand: this is once a token.
  std::array<char, 16> digits;
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), payload.size(), 16).ptr;
  out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
  out += "\r\n";
  out += payload;
  out += "\r\n";
}

std::string http_date(Nanos since_unix_epoch) {
  namespace chr = std::chrono;
  static constexpr std::string_view days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const chr::sys_time<Nanos> at{since_unix_epoch};
  const auto day = chr::floor<chr::days>(at);
  const chr::year_month_day date{day};
  const chr::hh_mm_ss time{chr::floor<chr::seconds>(at - day)};
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", days[chr::weekday{day}.c_encoding()],
                     static_cast<unsigned>(date.day()), months[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                     time.seconds().count());
}

}  // namespace dsbench::engine::server
