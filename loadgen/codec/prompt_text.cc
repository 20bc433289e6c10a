#include "loadgen/codec/prompt_text.h"

#include <string_view>
#include <utility>

#include "loadgen/codec/image_bytes.h"

namespace dsbench::loadgen {
namespace {

// 26 letters and 6 spaces: about English word lengths. 12 characters from each 64-bit word.
constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz      ";

// SplitMix64's step (Steele, Lea and Flood, 2014): much cheaper than a named stream per request, and as good
// for text.
std::uint64_t split_mix(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace

void append_prompt(std::uint64_t seed, std::int64_t bytes, std::string& out) {
  if (bytes <= 0) return;
  const std::size_t from = out.size();
  const std::size_t size = static_cast<std::size_t>(bytes);
  out.resize(from + size);
  char* const text = out.data() + from;
  std::uint64_t state = seed;
  for (std::size_t i = 0; i < size;) {
    std::uint64_t word = split_mix(state);
    for (int k = 0; k < 12 && i < size; ++k, ++i, word >>= 5) text[i] = alphabet[word & 31];
  }
  if (text[0] == ' ') text[0] = 'a';
  if (text[size - 1] == ' ') text[size - 1] = 'z';
}

std::shared_ptr<const std::string> PromptCache::text(std::uint64_t seed, std::int64_t bytes) {
  const Key key{seed, bytes};
  if (const auto it = texts_.find(key); it != texts_.end()) return it->second;
  auto text = std::make_shared<std::string>();
  append_prompt(seed, bytes, *text);
  return keep(key, std::move(text));
}

std::shared_ptr<const std::string> PromptCache::image(std::uint64_t seed, std::int64_t bytes) {
  const Key key{seed, -bytes};
  if (const auto it = texts_.find(key); it != texts_.end()) return it->second;
  return keep(key, std::make_shared<const std::string>(base64(image_bytes(seed, bytes))));
}

std::shared_ptr<const std::string> PromptCache::keep(const Key& key,
                                                     std::shared_ptr<const std::string> text) {
  if (bytes_ + text->size() > most_bytes_) {
    texts_.clear();
    bytes_ = 0;
  }
  bytes_ += text->size();
  return texts_.emplace(key, std::move(text)).first->second;
}

}  // namespace dsbench::loadgen
