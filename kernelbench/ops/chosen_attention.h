#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernelbench/op.h"
#include "kernelbench/ops/attention.h"

namespace dsbench::kernelbench {

// Attention of one query a request to a list of entries, each key and value in one: q [batch, heads, width],
// o [batch, heads, v_width], lse [batch, heads].
struct ChosenAttention {
  std::int64_t batch = 0;
  std::int64_t heads = 0;
  std::int64_t width = 0;
  std::int64_t v_width = 0;
  std::int64_t most = 0;  // entries of a request
  double scale = 1;
  // What the query of a request sees, as numbers of entries.
  std::function<std::vector<std::int64_t>(std::int64_t request)> entries;
  // The entry of that number.
  std::function<void(std::int64_t entry, double* to)> decode;
  // What becomes of o behind the softmax; none: it stays.
  std::function<void(std::int64_t request, std::int64_t head, AttentionRow& row)> finish = {};
};

// o and lse against float64: all rows where the budget allows that, else some and the first and last head of
// each request.
[[nodiscard]] CheckResult check_chosen(const ChosenAttention& attention, const Problem& p,
                                       const HostTensor& q, std::span<const HostTensor> out,
                                       double budget_flops);

}  // namespace dsbench::kernelbench
