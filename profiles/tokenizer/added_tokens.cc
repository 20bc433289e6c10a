#include "profiles/tokenizer/added_tokens.h"

namespace dsbench::profiles {

void AddedTokens::add(std::string_view content, std::int32_t id) {
  std::size_t node = 0;
  for (const char c : content) {
    const auto [at, fresh] = nodes_[node].next.try_emplace(static_cast<unsigned char>(c), nodes_.size());
    const std::size_t child = at->second;
    if (fresh) nodes_.emplace_back();
    node = child;
  }
  if (node != 0) nodes_[node].id = id;
}

void AddedTokens::split(std::string_view text, std::vector<Part>& out) const {
  std::size_t plain = 0;  // where the text begins that is no added token
  for (std::size_t at = 0; at < text.size();) {
    std::size_t node = 0;
    std::size_t length = 0;  // of the longest token here
    std::int32_t id = -1;
    for (std::size_t i = at; i < text.size(); ++i) {
      const auto child = nodes_[node].next.find(static_cast<unsigned char>(text[i]));
      if (child == nodes_[node].next.end()) break;
      node = child->second;
      if (nodes_[node].id >= 0) {
        id = nodes_[node].id;
        length = i + 1 - at;
      }
    }
    if (length == 0) {
      ++at;
      continue;
    }
    if (at > plain) out.push_back({text.substr(plain, at - plain), -1});
    out.push_back({text.substr(at, length), id});
    at += length;
    plain = at;
  }
  if (plain < text.size()) out.push_back({text.substr(plain), -1});
}

}  // namespace dsbench::profiles
