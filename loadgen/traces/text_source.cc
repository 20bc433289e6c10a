#include "loadgen/traces/text_source.h"

#include <algorithm>
#include <utility>

namespace dsbench::loadgen {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
constexpr std::size_t most_record_bytes = std::size_t{256} << 20;

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Where a JSON value that begins here ends; fed piece by piece.
class ValueEnd {
 public:
  // True when `c` is the value's last byte, or (of a number or a word) the first after it.
  [[nodiscard]] bool at_end(char c) {
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
        return depth_ == 0;
      }
      return false;
    }
    if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      if (depth_ == 0) return bare_end_ = true;
      return --depth_ == 0;
    } else if (depth_ == 0 && (c == ',' || is_blank(c))) {
      return bare_end_ = true;
    }
    return false;
  }
  [[nodiscard]] bool bare_end() const { return bare_end_; }

 private:
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false, bare_end_ = false;
};

}  // namespace

Result<TextSource> TextSource::open(const std::filesystem::path& path, Framing framing) {
  TextSource source;
  source.name_ = path.string();
  source.framing_ = framing;
  DSBENCH_TRY(source.bytes_, ByteSource::open(path));
  return source;
}

TextSource TextSource::of_text(std::string text, Framing framing) {
  TextSource source;
  source.name_ = "text";
  source.framing_ = framing;
  source.buffer_ = std::move(text);
  return source;
}

Result<bool> TextSource::fill() {
  if (!bytes_) return false;
  if (at_ > 0) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  if (buffer_.size() > most_record_bytes) {
    return fail(ErrorKind::usage,
                "{}: what begins on line {} goes on for more than {} MiB; accepted: records of at most that. "
                "Is it a trace? An export of "
                "many spans in one object must be divided, one object a line",
                name_, line_, most_record_bytes >> 20);
  }
  const std::size_t had = buffer_.size();
  buffer_.resize(had + chunk_bytes);
  const auto got = bytes_->read(buffer_.data() + had, chunk_bytes);
  if (!got) return fail(got.error().kind, "{}; it was read to line {}", got.error().message, line_);
  buffer_.resize(had + *got);
  return *got > 0;
}

Result<void> TextSource::take_mark() {
  begun_ = true;
  while (buffer_.size() - at_ < 3) {
    DSBENCH_TRY(const bool more, fill());
    if (!more) break;
  }
  if (std::string_view{buffer_}.substr(at_).starts_with("\xEF\xBB\xBF")) at_ += 3;
  return {};
}

Result<std::optional<TextSource::Record>> TextSource::next() {
  if (!begun_) DSBENCH_CHECK(take_mark());
  return framing_ == Framing::lines ? next_line() : next_element();
}

Result<std::optional<TextSource::Record>> TextSource::next_line() {
  std::size_t searched = 0;
  for (;;) {
    const std::size_t end = buffer_.find('\n', at_ + searched);
    std::string_view text;
    bool last = false;
    if (end == std::string::npos) {
      searched = buffer_.size() - at_;
      DSBENCH_TRY(const bool more, fill());
      if (more) continue;
      if (at_ == buffer_.size()) return std::optional<Record>{};
      text = std::string_view{buffer_}.substr(at_);
      at_ = buffer_.size();
      last = true;
    } else {
      text = std::string_view{buffer_}.substr(at_, end - at_);
      at_ = end + 1;
    }
    searched = 0;
    const std::uint64_t line = line_++;
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    if (!text.empty()) return Record{text, line, false};
    if (last) return std::optional<Record>{};
  }
}

Result<std::optional<TextSource::Record>> TextSource::next_element() {
  // To the first byte of a value.
  for (;;) {
    if (at_ == buffer_.size()) {
      DSBENCH_TRY(const bool more, fill());
      if (!more) {
        // An array that was cut between two elements looks whole but for its end.
        if (std::exchange(in_array_, false)) return Record{{}, line_, true};
        return std::optional<Record>{};
      }
    }
    const char c = buffer_[at_];
    if (c == '\n') ++line_;
    if (c == '[' && !in_array_) {
      in_array_ = true;
    } else if (c == ']' && in_array_) {
      in_array_ = false;  // another array may follow
    } else if (!is_blank(c) && c != ',') {
      break;
    }
    ++at_;
  }
  ValueEnd value;
  std::size_t size = 0;
  const std::uint64_t line = line_;
  std::uint64_t lines = 0;
  for (;; ++size) {
    if (at_ + size == buffer_.size()) {
      DSBENCH_TRY(const bool more, fill());
      if (!more) {
        const Record record{std::string_view{buffer_}.substr(at_), line, true};
        at_ = buffer_.size();
        in_array_ = false;
        return record;
      }
    }
    const char c = buffer_[at_ + size];
    if (value.at_end(c)) break;
    if (c == '\n') ++lines;
  }
  // A stray closing bracket would not move us on.
  if (!value.bare_end() || size == 0) ++size;
  const Record record{std::string_view{buffer_}.substr(at_, size), line, false};
  at_ += size;
  line_ += lines;
  return record;
}

}  // namespace dsbench::loadgen
