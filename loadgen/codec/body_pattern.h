#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::loadgen {

// Bytes to be found in a body that comes in pieces; nothing is kept but how much matches so far.
class BodySearch {
 public:
  explicit BodySearch(std::string_view wanted);
  void restart() { matched_ = 0; }
  void feed(std::string_view bytes);
  [[nodiscard]] bool found() const { return matched_ == wanted_.size(); }

 private:
  std::string wanted_;
  std::vector<std::size_t> fallback_;  // Knuth, Morris and Pratt's: for each prefix its longest own end
  std::size_t matched_ = 0;
};

// A regular expression of Perl's syntax.
class BodyPattern {
 public:
  // Errors: usage, with what is wrong and where.
  [[nodiscard]] static Result<BodyPattern> compile(const std::string& expression);
  // False also when the search would take for ever on this text.
  [[nodiscard]] bool matches(std::string_view text) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace dsbench::loadgen
