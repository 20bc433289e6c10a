#pragma once

#include <string>

#include "engine/executors/executor.h"

namespace dsbench::engine::server {

// One token becomes exactly one character that is printable, valid UTF-8 and needs no JSON escape, so that a
// client counts tokens by counting chunks or characters, and no token is ever lost in half of a multi-byte
// character:
//
//   0x20 … 0x7E but " and \      the ASCII character itself, so that text stays readable
//   any other id below 256       U+0100 + id               (Latin Extended: 0x0A is U+010A)
//   256 … 21247                  U+4E00 + (id − 256)       (CJK Unified Ideographs)
//   from 21248                   U+F0000 + (id − 21248), and from there U+100000 (private use planes); wraps
//   after 152 316 ids negative                     U+FFFD
//
// This is for output only. Input is bytes: see prompt_tokens() in api_request.h.
void append_token_text(std::string& out, TokenId token);

}  // namespace dsbench::engine::server
