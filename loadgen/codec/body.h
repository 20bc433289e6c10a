#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dsbench::loadgen {

// A request body: pieces end to end. What is small is written into one buffer; what is large and the same for
// many requests (a shared prefix of a million tokens) is text that all of them share and nobody copies.
class Body {
 public:
  // Keeps the memory.
  void clear();
  // Own text, to be appended to at will.
  [[nodiscard]] std::string& text() { return text_; }
  // What is appended to text() from now on comes after `shared`.
  void append(std::shared_ptr<const std::string> shared);

  [[nodiscard]] std::size_t size() const { return text_.size() + shared_bytes_; }
  // All of it is one piece: the usual case, and the fast one.
  [[nodiscard]] bool contiguous() const { return shared_.empty(); }

  // Up to `most` bytes from `offset` on, without copying: shorter where a piece ends, empty at the end.
  [[nodiscard]] std::string_view at(std::size_t offset, std::size_t most = std::string_view::npos) const;
  // A copy, for tests and for single requests.
  [[nodiscard]] std::string str() const;

 private:
  struct Shared {
    std::size_t text_at = 0;  // bytes of own text before it
    std::size_t begin = 0;    // its place in the whole
    std::shared_ptr<const std::string> bytes;
  };
  std::string text_;
  std::vector<Shared> shared_;
  std::size_t shared_bytes_ = 0;
};

}  // namespace dsbench::loadgen
