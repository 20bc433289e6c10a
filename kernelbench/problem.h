#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::kernelbench {

// One case: an op with its shapes, types and distributions. Written so that a reader recognises it:
//   mla_decode/batch=128/context=4096/heads=128/queries=1/bf16
struct Problem {
  std::string op;
  std::string label;                           // where the shape comes from, "v3 W_o"; may be empty
  std::string dtype;                           // one of the op's dtypes(), e.g. "bf16"
  std::map<std::string, std::int64_t> params;  // the op's numbers, all of them set
  std::map<std::string, std::string> words;    // routing, lengths, layout, …: the op's words, all set
  std::vector<std::int64_t> list;              // explicit lengths where words["lengths"] is "list"
  std::uint64_t seed = 1;
  bool adversarial = false;  // NaN in what must not be read, garbage in the tails, empty and odd sizes

  [[nodiscard]] std::int64_t operator[](std::string_view param) const;  // must exist
  [[nodiscard]] const std::string& word(std::string_view name) const;   // must exist
};

// op/param=value/…/word/…/dtype in the op's own order; what is at its default is left out.
[[nodiscard]] std::string name_of(const Problem& problem);
// What a kernel gets: {"op","dtype","params":{…},"words":{…},"list":[…],"seed"}.
[[nodiscard]] std::string to_json(const Problem& problem);
// Reads what to_json() wrote, or a file's entry; params and words that are left out get the op's defaults.
// Refuses an unknown op, param, word or dtype by name, with what would be accepted.
[[nodiscard]] Result<Problem> problem_from_json(std::string_view json);

}  // namespace dsbench::kernelbench
