#pragma once

#include <cmath>
#include <cstddef>
#include <span>

namespace dsbench::engine::kernels::ref {

// y = x / sqrt(mean(x²) + eps) · weight. x and y may be the same.
template <class T>
void rms_norm(std::span<const T> x, std::span<const T> weight, T eps, std::span<T> y) {
  T squares = 0;
  for (const T v : x) squares += v * v;
  const T inverse = T(1) / std::sqrt(squares / static_cast<T>(x.size()) + eps);
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * inverse * weight[i];
}

template <class T>
T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

// √ln(1 + e^x); above 0 as x + ln(1 + e^-x), which cannot overflow.
template <class T>
T sqrt_softplus(T x) {
  return std::sqrt(x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)));
}

// In place. An entry of minus infinity gets weight 0; at least one entry must be finite.
template <class T>
void softmax(std::span<T> x) {
  T largest = x[0];
  for (const T v : x) largest = v > largest ? v : largest;
  T sum = 0;
  for (T& v : x) {
    v = std::exp(v - largest);
    sum += v;
  }
  for (T& v : x) v /= sum;
}

// y = silu(gate) · up, silu(g) = g·sigmoid(g).
template <class T>
void swiglu(std::span<const T> gate, std::span<const T> up, std::span<T> y) {
  for (std::size_t i = 0; i < gate.size(); ++i) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

// Turns the pairs (x[2i], x[2i+1]) by position·frequencies[i]: the interleaved layout that MLA uses. The
// angle is always taken in double, because a float has no digits left for position 100,000.
template <class T>
void rope_interleaved(std::span<T> x, std::span<const double> frequencies, double position,
                      double amplitude) {
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const T c = static_cast<T>(std::cos(position * frequencies[i]) * amplitude);
    const T s = static_cast<T>(std::sin(position * frequencies[i]) * amplitude);
    const T a = x[2 * i];
    const T b = x[2 * i + 1];
    x[2 * i] = a * c - b * s;
    x[2 * i + 1] = a * s + b * c;
  }
}

}  // namespace dsbench::engine::kernels::ref
