#pragma once

#include <cstddef>
#include <span>

// ref/: plain, slow and obvious kernels, templates on the scalar. With double they are the oracle that every
// faster kernel is checked against; with float they show what rounding alone costs.
namespace dsbench::engine::kernels::ref {

// y[n] = Σ_k w[n,k]·x[k]; w is [n, k] row-major.
template <class T>
void matvec(std::span<const T> w, std::span<const T> x, std::span<T> y) {
  const std::size_t k = x.size();
  for (std::size_t n = 0; n < y.size(); ++n) {
    T sum = 0;
    for (std::size_t i = 0; i < k; ++i) sum += w[n * k + i] * x[i];
    y[n] = sum;
  }
}

// c[m,n] = Σ_k a[m,k]·w[n,k]; all row-major.
template <class T>
void matmul(std::span<const T> a, std::span<const T> w, std::span<T> c, std::size_t m, std::size_t n,
            std::size_t k) {
  for (std::size_t row = 0; row < m; ++row)
    matvec<T>(w.first(n * k), a.subspan(row * k, k), c.subspan(row * n, n));
}

}  // namespace dsbench::engine::kernels::ref
