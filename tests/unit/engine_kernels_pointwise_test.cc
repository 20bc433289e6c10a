// What goes number by number or row by row, against double, and instruction sets against each other.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"
#include "engine/kernels/ref/pointwise.h"
#include "tests/unit/engine_kernels_draws.h"

namespace dsbench::engine::kernels {
namespace {

using testing::draw;
using testing::kEps;
using testing::tables;
using testing::wide;

TEST(Pointwise, MatchDouble) {
  for (const cpu::KernelTable* table : tables()) {
    for (const std::size_t n :
         {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{33}, std::size_t{257}}) {
      const auto x = draw("x", n, -20, 20);
      const auto u = draw("u", n);
      std::vector<double> y(n);
      std::vector<float> z(n);
      ref::rms_norm<double>(wide(x), wide(u), 1e-6, y);
      table->rms_norm(x.data(), u.data(), 1e-6F, static_cast<std::int32_t>(n), z.data());
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_NEAR(z[i], y[i], 8 * kEps * std::abs(y[i]) + 1e-12) << table->name;
      ref::swiglu<double>(wide(x), wide(u), y);
      z = x;
      table->swiglu(z.data(), u.data(), static_cast<std::int32_t>(n));
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_NEAR(z[i], y[i], 16 * kEps * std::abs(y[i])) << table->name << " x " << x[i];
      y = wide(x);
      ref::softmax(std::span<double>(y));
      z = x;
      table->softmax(z.data(), static_cast<std::int32_t>(n));
      for (std::size_t i = 0; i < n; ++i) ASSERT_NEAR(z[i], y[i], 64 * kEps * y[i]) << table->name;
      z = x;
      table->sigmoid(z.data(), static_cast<std::int32_t>(n));
      for (std::size_t i = 0; i < n; ++i) {
        const double s = ref::sigmoid(static_cast<double>(x[i]));
        ASSERT_NEAR(z[i], s, 8 * kEps * s) << table->name << " x " << x[i];
      }
    }
  }
}

TEST(Pointwise, ExtremesStayFinite) {
  for (const cpu::KernelTable* table : tables()) {
    std::vector<float> x{-1e30F, -200, -88, 0, 88, 200, 1e30F};
    table->sigmoid(x.data(), 7);
    EXPECT_LT(x[0], 1e-37F);
    EXPECT_EQ(x[3], 0.5F);
    EXPECT_EQ(x[6], 1.0F);
    for (const float v : x) EXPECT_TRUE(std::isfinite(v)) << table->name;
  }
}

TEST(Tables, FusedOnesAgreeBitForBit) {
  std::vector<const cpu::KernelTable*> fused;
  for (const cpu::KernelTable* t : tables()) {
    if (std::string_view(t->name) != "baseline") fused.push_back(t);
  }
  if (fused.size() < 2) GTEST_SKIP() << "this processor runs fewer than two fused tables";
  const auto a = draw("bits_a", 9 * 50);
  const cpu::PackedMatrix w(draw("bits_w", 37 * 50), 37, 50);
  std::vector<std::vector<float>> out(fused.size());
  for (std::size_t i = 0; i < fused.size(); ++i) {
    out[i].resize(9 * 37);
    fused[i]->gemm(w.times(a.data(), 50, 9, out[i].data(), 37));
    std::vector<float> more = draw("bits_x", 333, -10, 10);
    fused[i]->softmax(more.data(), 333);
    out[i].insert(out[i].end(), more.begin(), more.end());
    more = draw("bits_x", 333, -10, 10);
    fused[i]->swiglu(more.data(), a.data(), 333);
    fused[i]->rms_norm(more.data(), a.data(), 1e-6F, 333, more.data());
    out[i].insert(out[i].end(), more.begin(), more.end());
  }
  for (std::size_t i = 1; i < fused.size(); ++i) {
    EXPECT_EQ(std::memcmp(out[0].data(), out[i].data(), out[0].size() * sizeof(float)), 0) << fused[i]->name;
  }
}

}  // namespace
}  // namespace dsbench::engine::kernels
