#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "engine/server/null_server.h"

namespace dsbench::engine::server {

// An answer as the packets that it is sent in, made once for all requests that ask for it.
struct NullScript {
  std::string first, middle, last;  // `last` is unused when there is one packet
  std::int64_t packets = 1;
  Nanos interval{0};
  [[nodiscard]] std::string_view packet(std::int64_t i) const {
    return i == 0 ? first : i == packets - 1 ? last : middle;
  }
};

class NullScripts {
 public:
  NullScripts();
  // Valid until the scripts are destroyed.
  [[nodiscard]] const NullScript& of(const NullAnswer& answer);

 private:
  NullScript json_, models_, refusal_;
  std::map<std::tuple<bool, std::int64_t, std::int64_t, std::int64_t>, NullScript> streams_;
};

// Where a request ends in `bytes`: the head up to and with its empty line, then the body by Content-Length.
struct NullRequest {
  enum class State : std::uint8_t { incomplete, whole, malformed };
  State state = State::incomplete;
  std::string_view target, body;
  std::size_t size = 0;           // of a whole one
  bool close = false;             // Connection: close, or HTTP/1.0
  bool expects_continue = false;  // of an incomplete one: its head is whole and it waits for our word
};
[[nodiscard]] NullRequest read_null_request(std::string_view bytes);

}  // namespace dsbench::engine::server
