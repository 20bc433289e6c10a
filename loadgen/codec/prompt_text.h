#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "loadgen/codec/token_scale.h"

namespace dsbench::loadgen {

// Appends `bytes` printable ASCII bytes that need no escape in JSON: small letters and single or repeated
// spaces, with a letter at both ends. A function of `seed` alone. To a byte tokeniser that is as many tokens;
// to others about a quarter.
void append_prompt(std::uint64_t seed, std::int64_t bytes, std::string& out);

// Long texts that come again (shared prefixes, documents, images), built once. Not thread-safe: one for each
// issuer.
class PromptCache {
 public:
  // From this length on a text is worth sharing instead of writing it anew.
  static constexpr std::int64_t worth_sharing = 16'384;

  explicit PromptCache(std::size_t most_bytes = std::size_t{256} << 20) : most_bytes_{most_bytes} {}

  // What prompts are measured by from now on.
  void set_scale(const TokenScale& scale) { scale_ = scale; }
  [[nodiscard]] const TokenScale& scale() const { return scale_; }

  // The text of append_prompt(seed, bytes). Beyond `most_bytes` of kept texts all are forgotten first: what
  // is still in a Body lives on.
  [[nodiscard]] std::shared_ptr<const std::string> text(std::uint64_t seed, std::int64_t bytes);
  // The base64 of image_bytes(seed, bytes).
  [[nodiscard]] std::shared_ptr<const std::string> image(std::uint64_t seed, std::int64_t bytes);

 private:
  struct Key {
    std::uint64_t seed;
    std::int64_t bytes;  // below nought: of an image
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Hash {
    std::size_t operator()(const Key& k) const noexcept {
      return static_cast<std::size_t>((k.seed ^ static_cast<std::uint64_t>(k.bytes)) * 0x9E3779B97F4A7C15ULL);
    }
  };
  std::shared_ptr<const std::string> keep(const Key& key, std::shared_ptr<const std::string> text);

  TokenScale scale_;
  std::size_t most_bytes_;
  std::size_t bytes_ = 0;
  std::unordered_map<Key, std::shared_ptr<const std::string>, Hash> texts_;
};

}  // namespace dsbench::loadgen
