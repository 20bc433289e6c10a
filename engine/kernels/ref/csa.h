#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/kernels/ref/pointwise.h"

namespace dsbench::engine::kernels::ref {

// DeepSeek-V4's attention of one query to what it sees, however that was chosen. Letters: h heads, n entries.
template <class T>
struct CsaProblem {
  std::size_t h = 0;
  std::size_t n = 0;
  std::size_t width = 0;
  T scale = 1;
  std::span<const T> q;              // [h, width]
  std::span<const T> entries;        // [n, width], key and value in one
  std::span<const T> sink;           // [h]
  std::span<const double> angles{};  // of the pairs that o ends with, as its query was turned
};

// The sink is one more entry, whose score is its own and whose value is nothing. Returns [h, width].
template <class T>
std::vector<T> csa_plain(const CsaProblem<T>& p) {
  std::vector<T> out(p.h * p.width);
  std::vector<T> weights(p.n + 1);
  for (std::size_t head = 0; head < p.h; ++head) {
    const std::span<T> o = std::span(out).subspan(head * p.width, p.width);
    for (std::size_t t = 0; t < p.n; ++t) {
      weights[t] = 0;
      for (std::size_t d = 0; d < p.width; ++d)
        weights[t] += p.q[head * p.width + d] * p.entries[t * p.width + d] * p.scale;
    }
    weights[p.n] = p.sink[head];
    softmax(std::span<T>(weights));
    for (std::size_t t = 0; t < p.n; ++t) {
      for (std::size_t d = 0; d < p.width; ++d) o[d] += weights[t] * p.entries[t * p.width + d];
    }
    rope_interleaved(o.last(2 * p.angles.size()), p.angles, -1, 1);
  }
  return out;
}

}  // namespace dsbench::engine::kernels::ref
