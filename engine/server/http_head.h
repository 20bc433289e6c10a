#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/units.h"

// The heads of our HTTP responses, as bytes. Pure.
namespace dsbench::engine::server {

// How this response travels, from the request's version and Connection header.
struct HttpFraming {
  bool http11 = true;      // 1.0 knows no chunks: a stream ends with the connection
  bool keep_alive = true;  // after this response
};

// `date` is http_date(). A `content_type` may be empty when the body is. `extra` is whole header
// lines, each with its line end.
[[nodiscard]] std::string response_head(int status, std::string_view content_type, std::size_t content_length,
                                        HttpFraming framing, std::string_view date,
                                        std::string_view extra = "");
// 200 with a body of unknown length, server-sent events or what is said, chunked where the client knows
// chunks.
[[nodiscard]] std::string stream_head(HttpFraming framing, std::string_view date,
                                      std::string_view content_type = "text/event-stream; charset=utf-8");

// Appends `payload` as one HTTP chunk; an empty one would end the body, so it appends nothing.
void append_chunk(std::string& out, std::string_view payload);
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

// "Sun, 22 Nov 2026 11:36:48 GMT" (RFC 9110 §5.6.7).
[[nodiscard]] std::string http_date(Nanos since_unix_epoch);

}  // namespace dsbench::engine::server
