#pragma once

#include <string>
#include <string_view>

namespace dsbench::profiles {

// The printable character that stands for a byte in a byte-level vocabulary (GPT-2's): 0x21 … 0x7E, 0xA1 …
// 0xAC and 0xAE … 0xFF for themselves, the other 68 in order from U+0100. As UTF-8.
[[nodiscard]] const std::string& byte_to_character(unsigned char byte);

// A token of the vocabulary as the bytes that it stands for; a token with a character that stands for no byte
// is its own UTF-8, as in the tokenizers library.
[[nodiscard]] std::string token_to_bytes(std::string_view token);

// Ill-formed parts become U+FFFD, one each, as Python's and Rust's decoders have it.
[[nodiscard]] std::string make_valid_utf8(std::string_view text);

// Bytes at the end of `text` that begin a character and wait for the rest of it: 0 … 3.
[[nodiscard]] std::size_t unfinished_utf8(std::string_view text);

}  // namespace dsbench::profiles
