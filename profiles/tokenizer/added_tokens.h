#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

namespace dsbench::profiles {

// Tokens that are found in a text before anything else is done with it: at each place the longest that stands
// there, from left to right.
class AddedTokens {
 public:
  void add(std::string_view content, std::int32_t id);
  [[nodiscard]] bool empty() const { return nodes_.size() == 1; }

  // A part of a text: an added token, or what lies between two (id −1).
  struct Part {
    std::string_view text;
    std::int32_t id = -1;
  };
  void split(std::string_view text, std::vector<Part>& out) const;

 private:
  struct Node {
    std::map<unsigned char, std::size_t> next;
    std::int32_t id = -1;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);  // a trie; the first is its root
};

}  // namespace dsbench::profiles
