#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "profiles/tokenizer/pattern.h"

namespace dsbench::profiles {

// One cut of a pre-tokeniser: every piece is cut at the matches of a pattern.
struct Cut {
  enum class Keep : std::uint8_t {
    isolated,  // a match is a piece of its own, and so is what lies between two
    removed,   // a match is dropped
  };
  Pattern pattern;
  Keep keep = Keep::isolated;
  bool invert = false;  // what lies between the matches is what is meant
};

// Cuts a text into the pieces that byte-pair encoding must not look beyond.
[[nodiscard]] Result<std::vector<std::string_view>> cut_text(const std::vector<Cut>& cuts,
                                                             std::string_view text);

}  // namespace dsbench::profiles
