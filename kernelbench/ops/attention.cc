#include "kernelbench/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernelbench/ops/dots.h"

namespace dsbench::kernelbench {

void attend(const AttentionKeys& keys, std::span<AttentionRow> rows) {
  constexpr std::int64_t kBlock = 64;  // a multiple of kDots
  std::int64_t most = 0;
  for (const AttentionRow& row : rows) most = std::max(most, row.visible);
  std::vector<double> block(static_cast<std::size_t>(kBlock * keys.width));
  std::vector<double> values(keys.values ? static_cast<std::size_t>(kBlock * keys.v_width) : 0);
  std::vector<std::vector<double>> weights(rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    weights[r].assign(static_cast<std::size_t>((most + kBlock - 1) / kBlock * kBlock), 0);
  }
  for (std::int64_t begin = 0; begin < most; begin += kBlock) {
    const std::int64_t end = std::min(most, begin + kBlock);
    std::ranges::fill(block, 0.0);
    keys.keys(begin, end, block.data());
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::int64_t t = begin; t < std::min(rows[r].visible, end); t += kDots) {
        add_dots(rows[r].q.data(), block.data() + (t - begin) * keys.width, keys.width, keys.width,
                 weights[r].data() + t);
      }
    }
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    AttentionRow& row = rows[r];
    row.o.assign(static_cast<std::size_t>(keys.v_width), 0);
    row.lse = -std::numeric_limits<double>::infinity();
    if (row.visible <= 0) continue;
    const std::span<double> mine(weights[r].data(), static_cast<std::size_t>(row.visible));
    const double largest = *std::ranges::max_element(mine) * keys.scale;
    double sum = 0;
    for (double& w : mine) {
      w = std::exp(w * keys.scale - largest);
      sum += w;
    }
    for (double& w : mine) w /= sum;
    row.lse = largest + std::log(sum);
  }
  for (std::int64_t begin = 0; begin < most; begin += kBlock) {
    const std::int64_t end = std::min(most, begin + kBlock);
    if (keys.values) {
      keys.values(begin, end, values.data());
    } else {
      keys.keys(begin, end, block.data());
    }
    const double* from = keys.values ? values.data() : block.data();
    const std::int64_t stride = keys.values ? keys.v_width : keys.width;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::int64_t count = std::min(rows[r].visible, end) - begin;
      if (count > 0) {
        add_weighted(weights[r].data() + begin, from, stride, count, keys.v_width, rows[r].o.data());
      }
    }
  }
}

Gates attention_gates(Dtype type, std::int64_t visible, std::int64_t width) {
  if (type == Dtype::bf16) {
    return {.global_diff = 5e-6, .row_diff = 5e-5, .abs = 8e-4, .rel = 2.01 / 128, .rms = 0};
  }
  // f32: two sums in sequence, of `width` and of `visible` terms (see f32_sum_gates), and about 8 roundings
  // in each exponential, all of them relative errors of weights.
  const double terms = std::sqrt(static_cast<double>(width)) + std::sqrt(static_cast<double>(visible)) + 16;
  return f32_sum_gates(terms * terms);
}

Gates lse_gates(Dtype type) {
  const double any = std::numeric_limits<double>::infinity();  // a diff of single numbers says nothing more
  if (type == Dtype::bf16)
    return {.global_diff = any, .row_diff = any, .abs = 1e-6, .rel = 8.01 / 65536, .rms = 0};
  // Scores err by some 10 roundings of about 1, sums of exponentials by less.
  return {.global_diff = any, .row_diff = any, .abs = 64 * kUnitF32, .rel = 16 * kUnitF32, .rms = 0};
}

}  // namespace dsbench::kernelbench
