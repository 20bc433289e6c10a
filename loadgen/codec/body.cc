#include "loadgen/codec/body.h"

#include <algorithm>
#include <utility>

namespace dsbench::loadgen {

void Body::clear() {
  text_.clear();
  shared_.clear();
  shared_bytes_ = 0;
}

void Body::append(std::shared_ptr<const std::string> shared) {
  const std::size_t size = shared->size();
  shared_.push_back({text_.size(), text_.size() + shared_bytes_, std::move(shared)});
  shared_bytes_ += size;
}

std::string_view Body::at(std::size_t offset, std::size_t most) const {
  // The last shared piece that begins at or before the offset; own text lies before the first and between
  // them.
  const auto after = std::upper_bound(shared_.begin(), shared_.end(), offset,
                                      [](std::size_t o, const Shared& s) { return o < s.begin; });
  std::size_t before = 0;  // shared bytes before the own text that the offset may lie in
  if (after != shared_.begin()) {
    const Shared& s = *(after - 1);
    if (offset < s.begin + s.bytes->size()) return std::string_view{*s.bytes}.substr(offset - s.begin, most);
    before = s.begin - s.text_at + s.bytes->size();
  }
  const std::size_t from = offset - before;
  const std::size_t end = after == shared_.end() ? text_.size() : after->text_at;
  if (from >= end) return {};
  return std::string_view{text_}.substr(from, std::min(most, end - from));
}

std::string Body::str() const {
  std::string whole;
  whole.reserve(size());
  while (whole.size() < size()) whole += at(whole.size());
  return whole;
}

}  // namespace dsbench::loadgen
