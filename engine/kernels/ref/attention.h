#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/kernels/ref/linear.h"
#include "engine/kernels/ref/pointwise.h"

namespace dsbench::engine::kernels::ref {

// Multi-head latent attention over one whole sequence, causal. Letters: s positions, h heads.
template <class T>
struct MlaProblem {
  std::size_t s = 0;
  std::size_t h = 0;
  std::size_t kv_lora = 0;
  std::size_t nope = 0;
  std::size_t rope = 0;
  std::size_t v = 0;
  T scale = 1;
  std::span<const T> q;       // [s, h, nope + rope], rotary part already turned
  std::span<const T> latent;  // [s, kv_lora], normalised
  std::span<const T> k_pe;    // [s, rope], turned
  std::span<const T> w_kvb;   // [h·(nope + v), kv_lora]; per head first the key rows, then the value rows
};

// Plain form: keys and values of every head are decompressed, then it is ordinary attention. Returns [s, h,
// v].
template <class T>
std::vector<T> mla_plain(const MlaProblem<T>& p) {
  std::vector<T> out(p.s * p.h * p.v);
  std::vector<T> kv(p.s * (p.nope + p.v));
  for (std::size_t head = 0; head < p.h; ++head) {
    const std::size_t rows = p.nope + p.v;
    matmul<T>(p.latent, p.w_kvb.subspan(head * rows * p.kv_lora, rows * p.kv_lora), kv, p.s, rows, p.kv_lora);
    for (std::size_t i = 0; i < p.s; ++i) {
      const std::span<const T> q = p.q.subspan((i * p.h + head) * (p.nope + p.rope), p.nope + p.rope);
      std::vector<T> weights(i + 1);
      for (std::size_t t = 0; t <= i; ++t) {
        T score = 0;
        for (std::size_t d = 0; d < p.nope; ++d) score += q[d] * kv[t * rows + d];
        for (std::size_t d = 0; d < p.rope; ++d) score += q[p.nope + d] * p.k_pe[t * p.rope + d];
        weights[t] = score * p.scale;
      }
      softmax(std::span<T>(weights));
      for (std::size_t d = 0; d < p.v; ++d) {
        T sum = 0;
        for (std::size_t t = 0; t <= i; ++t) sum += weights[t] * kv[t * rows + p.nope + d];
        out[(i * p.h + head) * p.v + d] = sum;
      }
    }
  }
  return out;
}

// Absorbed form: the key half of w_kvb moves to the query, the value half to the output, and every head
// attends to the same latent rows. Equal to mla_plain but for rounding; this is the form that a paged latent
// cache allows. Returns [s, h, v].
template <class T>
std::vector<T> mla_absorbed(const MlaProblem<T>& p) {
  std::vector<T> out(p.s * p.h * p.v);
  for (std::size_t head = 0; head < p.h; ++head) {
    const std::size_t rows = p.nope + p.v;
    const std::span<const T> w = p.w_kvb.subspan(head * rows * p.kv_lora, rows * p.kv_lora);
    for (std::size_t i = 0; i < p.s; ++i) {
      const std::span<const T> q = p.q.subspan((i * p.h + head) * (p.nope + p.rope), p.nope + p.rope);
      std::vector<T> absorbed(p.kv_lora);
      for (std::size_t c = 0; c < p.kv_lora; ++c) {
        for (std::size_t d = 0; d < p.nope; ++d) absorbed[c] += q[d] * w[d * p.kv_lora + c];
      }
      std::vector<T> weights(i + 1);
      for (std::size_t t = 0; t <= i; ++t) {
        T score = 0;
        for (std::size_t c = 0; c < p.kv_lora; ++c) score += absorbed[c] * p.latent[t * p.kv_lora + c];
        for (std::size_t d = 0; d < p.rope; ++d) score += q[p.nope + d] * p.k_pe[t * p.rope + d];
        weights[t] = score * p.scale;
      }
      softmax(std::span<T>(weights));
      std::vector<T> mixed(p.kv_lora);
      for (std::size_t t = 0; t <= i; ++t) {
        for (std::size_t c = 0; c < p.kv_lora; ++c) mixed[c] += weights[t] * p.latent[t * p.kv_lora + c];
      }
      matvec<T>(w.subspan(p.nope * p.kv_lora), mixed, std::span<T>(out).subspan((i * p.h + head) * p.v, p.v));
    }
  }
  return out;
}

}  // namespace dsbench::engine::kernels::ref
