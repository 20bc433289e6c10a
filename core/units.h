#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace dsbench {

// Every duration and every point of time is a count of nanoseconds. Points of time are measured from the
// start of the run (the recorder's epoch) in load generation, and from the clock's own epoch elsewhere.
using Nanos = std::chrono::nanoseconds;

[[nodiscard]] constexpr double to_seconds(Nanos d) {
  return static_cast<double>(d.count()) * 1e-9;
}
[[nodiscard]] constexpr double to_millis(Nanos d) {
  return static_cast<double>(d.count()) * 1e-6;
}
// Rounds to the nearest nanosecond.
[[nodiscard]] constexpr Nanos from_seconds(double s) {
  return Nanos{static_cast<std::int64_t>(s * 1e9 + (s < 0 ? -0.5 : 0.5))};
}

// Events per second.
class Rate {
 public:
  constexpr Rate() = default;
  [[nodiscard]] static constexpr Rate per_second(double v) { return Rate{v}; }
  [[nodiscard]] constexpr double per_second() const { return v_; }
  friend constexpr auto operator<=>(Rate, Rate) = default;
  friend constexpr Rate operator*(Rate r, double k) { return Rate{r.v_ * k}; }
  friend constexpr Rate operator*(double k, Rate r) { return Rate{r.v_ * k}; }
  friend constexpr Rate operator/(Rate r, double k) { return Rate{r.v_ / k}; }
  friend constexpr double operator/(Rate a, Rate b) { return a.v_ / b.v_; }

 private:
  constexpr explicit Rate(double v) : v_{v} {}
  double v_ = 0;
};

// A number of tokens.
class Tokens {
 public:
  constexpr Tokens() = default;
  constexpr explicit Tokens(std::int64_t n) : n_{n} {}
  [[nodiscard]] constexpr std::int64_t count() const { return n_; }
  friend constexpr auto operator<=>(Tokens, Tokens) = default;
  friend constexpr Tokens operator+(Tokens a, Tokens b) { return Tokens{a.n_ + b.n_}; }
  friend constexpr Tokens operator-(Tokens a, Tokens b) { return Tokens{a.n_ - b.n_}; }
  constexpr Tokens& operator+=(Tokens b) {
    n_ += b.n_;
    return *this;
  }

 private:
  std::int64_t n_ = 0;
};

// A size in bytes.
class Bytes {
 public:
  constexpr Bytes() = default;
  constexpr explicit Bytes(std::int64_t n) : n_{n} {}
  [[nodiscard]] constexpr std::int64_t count() const { return n_; }
  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return Bytes{a.n_ + b.n_}; }
  friend constexpr Bytes operator*(Bytes a, std::int64_t k) { return Bytes{a.n_ * k}; }
  constexpr Bytes& operator+=(Bytes b) {
    n_ += b.n_;
    return *this;
  }

 private:
  std::int64_t n_ = 0;
};

inline namespace literals {
consteval Rate operator""_rps(unsigned long long v) {
  return Rate::per_second(static_cast<double>(v));
}
consteval Rate operator""_rps(long double v) {
  return Rate::per_second(static_cast<double>(v));
}
consteval Tokens operator""_tok(unsigned long long v) {
  return Tokens{static_cast<std::int64_t>(v)};
}
}  // namespace literals

}  // namespace dsbench
