#pragma once

#include <string_view>
#include <vector>

#include "core/result.h"
#include "kernelbench/problem.h"

namespace dsbench::kernelbench {

enum class Suite : int {
  quick,        // a few small cells of every op: seconds on a laptop
  correctness,  // every op, type, routing and layout at sizes where the oracle checks every row
  corner,       // empty, odd, one, NaN around: what breaks kernels
  standard,     // the default, about 60 cells of V3 and V2-Lite shapes
  full,         // the whole ladder
};

enum class Backend : int { cpu, cuda };

// The cases of a list for a backend: the CPU gets reduced sizes and the types its kernels have. Shapes come
// from profiles/model (v3, v2-lite) where a model has them, and from profiles/kernels/*.json.
[[nodiscard]] Result<std::vector<Problem>> suite_problems(Suite suite, Backend backend);
// A file of cases: {"schema": "dsbench.kernel-cases/1", "cases": [{…}]}.
[[nodiscard]] Result<std::vector<Problem>> problems_from_file(std::string_view path);

[[nodiscard]] std::string_view to_word(Suite suite);

}  // namespace dsbench::kernelbench
