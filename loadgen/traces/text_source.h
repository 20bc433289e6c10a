#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "loadgen/traces/byte_source.h"
#include "loadgen/traces/trace_format.h"

namespace dsbench::loadgen {

// Cuts a file of any size, packed by gzip or not, into records and holds one of them at a time. A byte order
// mark, CRLF, blank lines and a missing last newline are of no consequence.
class TextSource {
 public:
  [[nodiscard]] static Result<TextSource> open(const std::filesystem::path& path, Framing framing);
  // From memory, for tests.
  [[nodiscard]] static TextSource of_text(std::string text, Framing framing);

  struct Record {
    std::string_view text;   // until the next call; not blank, unless it is cut
    std::uint64_t line = 1;  // on which it begins, from 1
    bool cut = false;        // the input ended within it, or before it, within an array
  };
  // Nothing at the end. Errors: io; usage for a record above 256 MiB and for gzip data that are not whole.
  [[nodiscard]] Result<std::optional<Record>> next();

 private:
  TextSource() = default;
  [[nodiscard]] Result<bool> fill();  // false at the end of the input
  [[nodiscard]] Result<std::optional<Record>> next_line();
  [[nodiscard]] Result<std::optional<Record>> next_element();
  Result<void> take_mark();

  std::string name_;
  std::optional<ByteSource> bytes_;  // none: all is in the buffer
  Framing framing_ = Framing::lines;
  std::string buffer_;  // [at_, buffer_.size()) is unread
  std::size_t at_ = 0;
  std::uint64_t line_ = 1;  // of buffer_[at_]
  bool begun_ = false;
  bool in_array_ = false;
};

}  // namespace dsbench::loadgen
