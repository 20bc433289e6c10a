#include "kernelbench/ops/dots.h"

namespace dsbench::kernelbench {
namespace {

template <int Lanes>
struct Vectors {
  typedef double Vec __attribute__((vector_size(Lanes * 8)));
  typedef double Unaligned __attribute__((vector_size(Lanes * 8), aligned(8), may_alias));
};

template <int Lanes>
__attribute__((always_inline)) inline void dots(const double* a, const double* w, long stride, long k,
                                                double* out) {
  using Vec = typename Vectors<Lanes>::Vec;
  using Unaligned = typename Vectors<Lanes>::Unaligned;
  Vec acc[kDots] = {};
  long i = 0;
  for (; i + Lanes <= k; i += Lanes) {
    const Vec av = *reinterpret_cast<const Unaligned*>(a + i);
#pragma GCC unroll 8
    for (int j = 0; j < kDots; ++j) acc[j] += av * *reinterpret_cast<const Unaligned*>(w + j * stride + i);
  }
#pragma GCC unroll 8
  for (int j = 0; j < kDots; ++j) {
    double sum = 0;
    for (int lane = 0; lane < Lanes; ++lane) sum += acc[j][lane];
    for (long t = i; t < k; ++t) sum += a[t] * w[j * stride + t];
    out[j] += sum;
  }
}

template <int Lanes>
__attribute__((always_inline)) inline void weighted(const double* weight, const double* v, long stride,
                                                    long count, long columns, double* out) {
  using Vec = typename Vectors<Lanes>::Vec;
  using Unaligned = typename Vectors<Lanes>::Unaligned;
  constexpr int kVectors = 8;
  long c = 0;
  for (; c + kVectors * Lanes <= columns; c += kVectors * Lanes) {
    Vec acc[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) acc[j] = *reinterpret_cast<const Unaligned*>(out + c + j * Lanes);
    for (long t = 0; t < count; ++t) {
      const double* row = v + t * stride + c;
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) {
        acc[j] += weight[t] * *reinterpret_cast<const Unaligned*>(row + j * Lanes);
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) *reinterpret_cast<Unaligned*>(out + c + j * Lanes) = acc[j];
  }
  for (long t = 0; t < count; ++t) {
    for (long at = c; at < columns; ++at) out[at] += weight[t] * v[t * stride + at];
  }
}

void weighted_baseline(const double* weight, const double* v, long stride, long count, long columns,
                       double* out) {
  weighted<2>(weight, v, stride, count, columns, out);
}

void dots_baseline(const double* a, const double* w, long stride, long k, double* out) {
  dots<2>(a, w, stride, k, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void dots_avx2(const double* a, const double* w, long stride, long k,
                                                   double* out) {
  dots<4>(a, w, stride, k, out);
}
__attribute__((target("avx512f,avx2,fma"))) void dots_avx512(const double* a, const double* w, long stride,
                                                             long k, double* out) {
  dots<8>(a, w, stride, k, out);
}
__attribute__((target("avx2,fma"))) void weighted_avx2(const double* weight, const double* v, long stride,
                                                       long count, long columns, double* out) {
  weighted<4>(weight, v, stride, count, columns, out);
}
__attribute__((target("avx512f,avx2,fma"))) void weighted_avx512(const double* weight, const double* v,
                                                                 long stride, long count, long columns,
                                                                 double* out) {
  weighted<8>(weight, v, stride, count, columns, out);
}
#endif

using Dots = void (*)(const double*, const double*, long, long, double*);

using Weighted = void (*)(const double*, const double*, long, long, long, double*);
struct Best {
  Dots dots = dots_baseline;
  Weighted weighted = weighted_baseline;
};

const Best& best() {
  static const Best chosen = [] {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return Best{dots_avx512, weighted_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      return Best{dots_avx2, weighted_avx2};
#endif
    return Best{};
  }();
  return chosen;
}

}  // namespace

void add_dots(const double* a, const double* w, long stride, long k, double* out) {
  best().dots(a, w, stride, k, out);
}

void add_weighted(const double* weight, const double* v, long stride, long count, long columns, double* out) {
  best().weighted(weight, v, stride, count, columns, out);
}

}  // namespace dsbench::kernelbench
