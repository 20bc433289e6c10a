#include "profiles/tokenizer/pre_tokenizer.h"

namespace dsbench::profiles {
namespace {

Result<void> cut_piece(const Cut& cut, std::string_view piece, std::vector<std::string_view>& out) {
  DSBENCH_TRY(const std::vector<Pattern::Range> matches, cut.pattern.matches(piece));
  const auto add = [&](std::size_t begin, std::size_t end, bool match) {
    if (begin == end) return;
    if (cut.keep == Cut::Keep::removed && match != cut.invert) return;
    out.push_back(piece.substr(begin, end - begin));
  };
  std::size_t at = 0;
  for (const auto& [begin, end] : matches) {
    add(at, begin, false);
    add(begin, end, true);
    at = end;
  }
  add(at, piece.size(), false);
  return {};
}

}  // namespace

Result<std::vector<std::string_view>> cut_text(const std::vector<Cut>& cuts, std::string_view text) {
  std::vector<std::string_view> pieces;
  if (!text.empty()) pieces.push_back(text);
  std::vector<std::string_view> next;
  for (const Cut& cut : cuts) {
    next.clear();
    for (const std::string_view piece : pieces) DSBENCH_CHECK(cut_piece(cut, piece, next));
    pieces.swap(next);
  }
  return pieces;
}

}  // namespace dsbench::profiles
