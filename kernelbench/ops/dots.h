#pragma once

namespace dsbench::kernelbench {

// Eight rows at a time: out[j] += Σ_i a[i]·w[j·stride + i], in float64, on the widest vectors there are.
inline constexpr int kDots = 8;
void add_dots(const double* a, const double* w, long stride, long k, double* out);

// out[c] += Σ_t weight[t]·v[t·stride + c] for c in [0, columns).
void add_weighted(const double* weight, const double* v, long stride, long count, long columns, double* out);

}  // namespace dsbench::kernelbench
