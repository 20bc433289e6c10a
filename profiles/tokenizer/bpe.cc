#include "profiles/tokenizer/bpe.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "profiles/tokenizer/byte_level.h"

namespace dsbench::profiles {

Result<Bpe> Bpe::make(std::vector<std::pair<std::string, Id>> vocabulary,
                      const std::vector<std::pair<std::string, std::string>>& merges, bool ignore_merges) {
  Bpe bpe;
  bpe.ignore_merges_ = ignore_merges;
  std::unordered_map<std::string, Id> ids;
  ids.reserve(vocabulary.size());
  for (auto& [token, id] : vocabulary) {
    if (ignore_merges) bpe.whole_.emplace(token_to_bytes(token), id);
    ids.emplace(std::move(token), id);
  }
  for (int b = 0; b < 256; ++b) {
    const std::string& character = byte_to_character(static_cast<unsigned char>(b));
    const auto at = ids.find(character);
    if (at == ids.end()) {
      return fail(
          ErrorKind::usage,
          "the vocabulary has no token '{}' for the byte 0x{:02X}; accepted are byte-level vocabularies "
          "with all 256",
          character, b);
    }
    bpe.of_byte_.push_back(at->second);
  }
  bpe.merges_.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    for (const std::string& token : {left, right, left + right}) {
      if (!ids.contains(token))
        return fail(ErrorKind::usage,
                    "merge {} ('{}' and '{}') needs a token '{}', which the vocabulary lacks", rank, left,
                    right, token);
    }
    bpe.merges_.insert_or_assign(key(ids.at(left), ids.at(right)),
                                 Merge{static_cast<std::int32_t>(rank), ids.at(left + right)});
  }
  return bpe;
}

namespace {

// A symbol of a piece, in a list of those that are left.
struct Symbol {
  Bpe::Id id = 0;
  std::int32_t before = -1;
  std::int32_t after = -1;
  bool gone = false;
};

// A merge that was possible when it was noted: the lowest rank first, then the leftmost.
struct Candidate {
  std::int32_t rank = 0;
  std::int32_t left = 0;
  Bpe::Id id = 0;       // what the two become
  Bpe::Id left_id = 0;  // what they were, so that a stale note is known
  Bpe::Id right_id = 0;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

void Bpe::encode(std::string_view piece, std::vector<Id>& out) const {
  if (piece.empty()) return;
  if (ignore_merges_) {
    if (const auto at = whole_.find(std::string(piece)); at != whole_.end()) {
      out.push_back(at->second);
      return;
    }
  }
  if (piece.size() == 1) {
    out.push_back(of_byte_[static_cast<unsigned char>(piece[0])]);
    return;
  }
  const auto n = static_cast<std::int32_t>(piece.size());
  std::vector<Symbol> symbols(piece.size());
  for (std::int32_t i = 0; i < n; ++i) {
    symbols[static_cast<std::size_t>(i)] = {
        of_byte_[static_cast<unsigned char>(piece[static_cast<std::size_t>(i)])], i - 1,
        i + 1 < n ? i + 1 : -1, false};
  }
  std::vector<Candidate> storage;
  storage.reserve(piece.size());
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>{},
                                                                               std::move(storage));
  const auto note = [&](std::int32_t left, std::int32_t right) {
    if (left < 0 || right < 0) return;
    const Id a = symbols[static_cast<std::size_t>(left)].id;
    const Id b = symbols[static_cast<std::size_t>(right)].id;
    if (const auto at = merges_.find(key(a, b)); at != merges_.end())
      queue.push({at->second.rank, left, at->second.id, a, b});
  };
  for (std::int32_t i = 0; i + 1 < n; ++i) note(i, i + 1);
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<std::size_t>(c.left)];
    if (left.gone || left.id != c.left_id || left.after < 0) continue;
    Symbol& right = symbols[static_cast<std::size_t>(left.after)];
    if (right.id != c.right_id) continue;
    right.gone = true;
    left.id = c.id;
    left.after = right.after;
    if (left.after >= 0) symbols[static_cast<std::size_t>(left.after)].before = c.left;
    note(left.before, c.left);
    note(c.left, left.after);
  }
  for (std::int32_t i = 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].after)
    out.push_back(symbols[static_cast<std::size_t>(i)].id);
}

}  // namespace dsbench::profiles
