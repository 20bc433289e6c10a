#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "loadgen/codec/codec.h"

// What readers make of a stream, and streams as the APIs write them.
namespace dsbench::loadgen::testing {

// The codec of an API, for tests; the model is "m".
std::shared_ptr<const Codec> codec_of(std::string_view api, bool stream = true);

// All that a reader told, to its end.
struct Told {
  std::string steps;  // "3" tokens, "r1" of reasoning, then "done", or the reason's word
  ReplyReader::Usage usage;
  std::uint64_t comments = 0;
  friend bool operator==(const Told&, const Told&) = default;
};
// `cuts`: where the pieces begin, ascending; none: all in one piece.
Told tell(ReplyReader& reader, std::string_view stream, const std::vector<std::size_t>& cuts = {},
          std::int32_t status = 200);
// In pieces of this size.
Told tell_pieces(ReplyReader& reader, std::string_view stream, std::size_t size);

// "data: …\n\n"
std::string frame(std::string_view json);
// "event: …\ndata: {"type":"…",…}\n\n", with members as they stand.
std::string typed(std::string_view type, std::string_view members = "");

// Streams of `tokens` tokens that are whole, with the frames that a real server writes around them.
std::string chat_stream(int tokens);
std::string responses_stream(int tokens);
std::string anthropic_stream(int tokens);
std::string sglang_stream(int tokens);
std::string tgi_stream(int tokens);
std::string triton_stream(int tokens);

}  // namespace dsbench::loadgen::testing
