#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernelbench/ops/compare.h"

namespace dsbench::kernelbench {

// One row of attention in float64: o = softmax(scale·q·keys)·values over the first `visible` keys; when there
// are none, o = 0 and lse = −∞.
struct AttentionRow {
  std::int64_t visible = 0;
  std::vector<double> q = {};
  std::vector<double> o = {};
  double lse = 0;
};

struct AttentionKeys {
  std::int64_t width = 0;    // of q and of keys
  std::int64_t v_width = 0;  // of values
  double scale = 1;
  // Gives keys [begin, end) as [·, width].
  std::function<void(std::int64_t begin, std::int64_t end, double* to)> keys;
  // Values as [·, v_width]; none: the first v_width of each key.
  std::function<void(std::int64_t begin, std::int64_t end, double* to)> values = {};
};

// All rows over the same keys.
void attend(const AttentionKeys& keys, std::span<AttentionRow> rows);

// Gates of o, and of lse, for results of `type` over `visible` keys of `width`.
[[nodiscard]] Gates attention_gates(Dtype type, std::int64_t visible, std::int64_t width);
[[nodiscard]] Gates lse_gates(Dtype type);

}  // namespace dsbench::kernelbench
