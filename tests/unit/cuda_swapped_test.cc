// Every tile of gemm_swapped over the emulation, whatever the planner would choose: tails, rings that come
// round several times, parts, and nothing written beside c.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <tuple>
#include <vector>

#include "engine/kernels/cuda/emulation/simt_host.h"
#include "engine/kernels/cuda/gemm_swapped.h"

namespace dsbench::engine::kernels::cuda {
namespace {

constexpr int slab = 128;
constexpr std::uint8_t nan_code = 0x7f;
constexpr std::uint16_t untouched = 0x1234;

// TMA wants operands on 16 bytes.
template <class T>
struct Array {
  explicit Array(std::size_t items, T value = {})
      : size{items}, data(static_cast<T*>(std::aligned_alloc(256, (items * sizeof(T) + 511) / 256 * 256))) {
    std::fill_n(data.get(), items, value);
  }
  T& operator[](std::size_t i) { return data[static_cast<std::ptrdiff_t>(i)]; }
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::size_t size;
  std::unique_ptr<T[], Free> data;
};

struct Case {
  Rows kind;
  std::vector<int> rows;  // of each group
  int room;               // masked: of each group
  int n;
  int k;
  int c_row;
  int splits;
};

class Product {
 public:
  explicit Product(Case c)
      : case_{std::move(c)},
        groups_{std::ssize(case_.rows)},
        slabs_{case_.k / slab},
        first_(case_.rows.size() + 1),
        a_(0),
        a_scale_(0),
        w_(0),
        w_scale_(0) {
    for (std::size_t g = 0; g < case_.rows.size(); ++g)
      first_[g + 1] = first_[g] + (case_.kind == Rows::masked ? case_.room : case_.rows[g]);
    std::mt19937 random{7};
    const auto all = static_cast<std::size_t>(first_.back());
    const auto k = static_cast<std::size_t>(case_.k);
    const auto scales = static_cast<std::size_t>(slabs_);
    a_ = Array<std::uint8_t>(all * k, nan_code);  // what no group has
    a_scale_ = Array<float>(all * scales, std::numeric_limits<float>::quiet_NaN());
    w_ = Array<std::uint8_t>(case_.rows.size() * static_cast<std::size_t>(case_.n) * k);
    w_scale_ = Array<float>(case_.rows.size() * static_cast<std::size_t>(w_blocks()) * scales);
    const auto code = [&] { return static_cast<std::uint8_t>(random() % 2 * 0x80 + random() % 0x50); };
    const auto scale = [&] { return 0.25F + static_cast<float>(random() % 64) / 16; };
    for (std::size_t g = 0; g < case_.rows.size(); ++g) {
      for (int r = first_[g]; r < first_[g] + case_.rows[g]; ++r) {
        for (int i = 0; i < case_.k; ++i) a_[at(r, case_.k, i)] = code();
        for (int i = 0; i < slabs_; ++i) a_scale_[at(r, slabs_, i)] = scale();
      }
    }
    for (std::size_t i = 0; i < w_.size; ++i) w_[i] = code();
    for (std::size_t i = 0; i < w_scale_.size; ++i) w_scale_[i] = scale();
  }

  [[nodiscard]] Array<std::uint16_t> run(int columns, int rows, unsigned grid) {
    Array<std::uint16_t> c(
        static_cast<std::size_t>(first_.back() + 1) * static_cast<std::size_t>(case_.c_row), untouched);
    const int all = first_.back();
    Array<float> partial(static_cast<std::size_t>(case_.splits) * static_cast<std::size_t>(all) *
                             static_cast<std::size_t>(case_.n),
                         std::numeric_limits<float>::quiet_NaN());
    GemmPlan plan;
    plan.tile_columns = columns;
    plan.tile_rows = rows;
    plan.splits = case_.splits;
    plan.grid = grid;
    SwappedGemm gemm;
    EXPECT_EQ(
        prepare_gemm_swapped_by(plan, gemm,
                                {.a = a_.data.get(),
                                 .a_scale = a_scale_.data.get(),
                                 .w = w_.data.get(),
                                 .w_scale = w_scale_.data.get(),
                                 .c = c.data.get(),
                                 .partial = partial.data.get(),
                                 .type = Element::e4m3,
                                 .rows_kind = case_.kind,
                                 .table = case_.kind == Rows::contiguous ? first_.data() : case_.rows.data(),
                                 .groups = static_cast<int>(groups_),
                                 .rows = case_.kind == Rows::masked ? case_.room : all,
                                 .n = case_.n,
                                 .k = case_.k,
                                 .c_row = case_.c_row}),
        0);
    EXPECT_EQ(gemm_swapped(gemm, nullptr), 0);
    return c;
  }

  void check(Array<std::uint16_t>& c) {
    for (std::size_t g = 0; g < case_.rows.size(); ++g) {
      for (int r = first_[g]; r < first_[g + 1] + (g + 1 == case_.rows.size() ? 1 : 0); ++r) {
        for (int column = 0; column < case_.c_row; ++column) {
          const std::uint16_t got = c[at(r, case_.c_row, column)];
          if (r >= first_[g] + case_.rows[g] || column >= case_.n) {
            ASSERT_EQ(got, untouched) << "group " << g << " row " << r - first_[g] << " column " << column;
          } else {
            expect_near(g, r, column, simt::from_bf16(got));
          }
        }
      }
    }
  }

 private:
  static std::size_t at(int row, int width, int i) {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(width) + static_cast<std::size_t>(i);
  }
  [[nodiscard]] int w_blocks() const { return (case_.n + slab - 1) / slab; }
  void expect_near(std::size_t g, int row, int column, float got) {
    const float* const value = simt::detail::e4m3_table();
    const int w_row = static_cast<int>(g) * case_.n + column;
    const int w_block = static_cast<int>(g) * w_blocks() + column / slab;
    double want = 0;
    double size = 0;
    for (int i = 0; i < case_.k; ++i) {
      const double term = double{value[a_[at(row, case_.k, i)]]} * double{value[w_[at(w_row, case_.k, i)]]} *
                          double{a_scale_[at(row, slabs_, i / slab)]} *
                          double{w_scale_[at(w_block, slabs_, i / slab)]};
      want += term;
      size += term * term;
    }
    ASSERT_NEAR(got, want, std::fabs(want) / 256 + 1e-5 * std::sqrt(size))
        << "group " << g << " row " << row - first_[g] << " column " << column;
  }

  Case case_;
  std::ptrdiff_t groups_;
  int slabs_;
  std::vector<int> first_;
  Array<std::uint8_t> a_;
  Array<float> a_scale_;
  Array<std::uint8_t> w_;
  Array<float> w_scale_;
};

class Swapped : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  void expect_right(const Case& c, unsigned grid) {
    SCOPED_TRACE(fmt::format("n={} k={} splits={}", c.n, c.k, c.splits));
    Product product(c);
    simt::set_order(simt::Order::forward);
    Array<std::uint16_t> forward = product.run(columns, rows, grid);
    product.check(forward);
    simt::set_order(simt::Order::backward);
    Array<std::uint16_t> backward = product.run(columns, rows, grid);
    simt::set_order(simt::Order::forward);
    EXPECT_TRUE(std::equal(forward.data.get(), forward.data.get() + forward.size, backward.data.get()))
        << "depends on the order of warps";
  }
  const int columns = std::get<0>(GetParam());
  const int rows = std::get<1>(GetParam());
};

TEST_P(Swapped, TilesThatAreNotWhole) {
  const int n = 2 * columns - 5;
  expect_right({Rows::same, {rows + 3}, 0, n, 3 * slab, n, 1}, 1);
  expect_right({Rows::same, {std::max(1, rows / 2 - 1)}, 0, columns + 24, slab, columns + 40, 1}, 3);
  expect_right({Rows::same, {rows}, 0, columns + 21, slab, columns + 24, 1}, 3);
}

TEST_P(Swapped, StagesComeRoundThreeTimes) {
  const int slabs = 3 * SwappedRoom{columns, rows}.stages() / 2 + 1;
  expect_right({Rows::same, {rows}, 0, 2 * columns, slabs * slab, 2 * columns, 1}, 1);
}

TEST_P(Swapped, PartsAddUp) {
  const int n = columns + 7;
  expect_right({Rows::same, {rows - 3}, 0, n, 5 * slab, n + 1, 3}, 4);
  expect_right({Rows::same, {rows}, 0, columns, 8 * slab, columns, 8}, 3);
}

TEST_P(Swapped, GroupsOfAnySize) {
  const int n = columns + 8;
  expect_right({Rows::contiguous, {0, 1, rows, 0, rows + 2, 3, 0}, 0, n, 2 * slab, n, 1}, 2);
  expect_right({Rows::masked, {rows + 1, 0, 2, rows}, rows + 2, n, 2 * slab, n, 1}, 3);
  expect_right({Rows::masked, {0, 0}, 4, n, slab, n, 1}, 1);
}

INSTANTIATE_TEST_SUITE_P(Tiles, Swapped,
                         testing::Values(std::tuple{64, 8}, std::tuple{64, 16}, std::tuple{64, 32},
                                         std::tuple{64, 64}, std::tuple{128, 8}, std::tuple{128, 16},
                                         std::tuple{128, 32}, std::tuple{128, 64}, std::tuple{128, 128}),
                         [](const auto& tile) {
                           return fmt::format("{}x{}", std::get<0>(tile.param), std::get<1>(tile.param));
                         });

}  // namespace
}  // namespace dsbench::engine::kernels::cuda
