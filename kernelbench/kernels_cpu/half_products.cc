#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/expert_rows.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

// Products in bf16 arithmetic, and of e4m3 with block scales.
namespace dsbench::kernelbench::cpu {
namespace {

// A weight [n, k] of the problem's type in panels, from row `first` of the operand on.
class HalfWeight {
 public:
  // `scale` [⌈n/128⌉, k/128] of e4m3, else null.
  HalfWeight(const dsb_tensor& w, const float* scale, std::int64_t first, std::int32_t n, std::int32_t k)
      : n_{n}, scale_{scale} {
    const std::int64_t words = (k + 1) / 2;
    const std::int64_t panels = (n + kernels::kPanel - 1) / kernels::kPanel;
    const std::int64_t code = scale != nullptr ? 1 : 2;  // bytes
    data_.grow(panels * words * kernels::kPanel * 2 * code);
    data_.fill(0);
    const auto* from = static_cast<const std::uint8_t*>(w.data) + first * k * code;
    for (std::int64_t row = 0; row < n; ++row) {
      std::uint8_t* panel = data_.data() + row / kernels::kPanel * words * kernels::kPanel * 2 * code +
                            row % kernels::kPanel * 2 * code;
      for (std::int64_t i = 0; i < k; ++i) {
        std::memcpy(panel + (i / 2 * kernels::kPanel * 2 + i % 2) * code, from + (row * k + i) * code,
                    static_cast<std::size_t>(code));
      }
    }
  }

  [[nodiscard]] std::int32_t panels() const { return (n_ + kernels::kPanel - 1) / kernels::kPanel; }
  [[nodiscard]] kernels::HalfGemmArgs times(const kernels::HalfRows& rows, std::uint16_t* c) const {
    return {.rows = rows,
            .w = data_.data(),
            .w_scale = scale_,
            .n = n_,
            .panel_end = panels(),
            .c = c,
            .ldc = n_};
  }

 private:
  std::int32_t n_;
  const float* scale_;
  kernels::AlignedBuffer<std::uint8_t> data_;
};

// Some products, each of rows of its own: all rows are laid out, then all panels go by, shared out among
// threads.
class HalfProducts {
 public:
  void clear() { products_.clear(); }
  // `a` is at its first row.
  void add(const HalfWeight& w, const void* a, const float* a_scale, std::int32_t m, std::int32_t k,
           std::uint16_t* c) {
    products_.push_back({&w, a, a_scale, m, k, c});
  }

  void run(const Cell& cell) {
    std::int64_t words = 0;
    std::int64_t scales = 0;
    for (Product& p : products_) {
      p.height = cell.table->half_tile_height(p.m);
      const std::int64_t rows = (p.m + p.height - 1) / p.height * p.height;
      p.first_word = words;
      p.first_scale = scales;
      words += rows * ((p.k + 1) / 2);
      scales += p.a_scale != nullptr ? rows * (p.k / 128) : 0;
    }
    words_.grow(words);
    scales_.grow(scales);
    layouts_.clear();
    units_.clear();
    for (const Product& p : products_) {
      const kernels::HalfRows rows{.m = p.m,
                                   .k = p.k,
                                   .height = p.height,
                                   .words = words_.data() + p.first_word,
                                   .scale = scales_.data() + p.first_scale};
      const int threads = cell.pool->threads();
      const std::int32_t tiles = rows.tiles();
      for (int part = 0; part < std::min(tiles, 4 * threads); ++part) {
        const int parts = std::min(tiles, 4 * threads);
        layouts_.push_back({.a = p.a,
                            .lda = p.k,
                            .a_scale = p.a_scale,
                            .to = rows,
                            .tile_begin = tiles * part / parts,
                            .tile_end = tiles * (part + 1) / parts});
      }
      const int panels = p.w->panels();
      // Runs of panels long enough to stream; many rows are worth more parts.
      const int parts = std::min(panels, p.m > 16 && products_.size() == 1 ? 4 * threads : threads);
      for (int part = 0; part < parts; ++part) {
        kernels::HalfGemmArgs mine = p.w->times(rows, p.c);
        mine.panel_begin = panels * part / parts;
        mine.panel_end = panels * (part + 1) / parts;
        units_.push_back(mine);
      }
    }
    if (words < 1 << 13) {
      for (const kernels::HalfLayoutArgs& args : layouts_) cell.table->lay_out_half(args);
    } else {
      cell.pool->run(static_cast<int>(layouts_.size()), [&](int unit, int) {
        cell.table->lay_out_half(layouts_[static_cast<std::size_t>(unit)]);
      });
    }
    cell.pool->run(static_cast<int>(units_.size()),
                   [&](int unit, int) { cell.table->gemm_half(units_[static_cast<std::size_t>(unit)]); });
  }

 private:
  struct Product {
    const HalfWeight* w = nullptr;
    const void* a = nullptr;
    const float* a_scale = nullptr;
    std::int32_t m = 0;
    std::int32_t k = 0;
    std::uint16_t* c = nullptr;
    std::int32_t height = 0;
    std::int64_t first_word = 0;
    std::int64_t first_scale = 0;
  };
  std::vector<Product> products_;
  std::vector<kernels::HalfLayoutArgs> layouts_;
  std::vector<kernels::HalfGemmArgs> units_;
  kernels::AlignedBuffer<std::uint32_t> words_;
  kernels::FloatBuffer scales_;
};

// `kFp8`: operands a, a_scale, w, w_scale; else a, w.
template <bool kFp8>
class HalfGemm {
 public:
  static constexpr const char* kOp = kFp8 ? "fp8_gemm" : "gemm";
  static bool supports(const Problem& p) { return p.dtype == (kFp8 ? "fp8" : "bf16"); }
  explicit HalfGemm(const Cell& cell)
      : cell_{cell},
        m_{static_cast<std::int32_t>(cell.problem["m"])},
        k_{static_cast<std::int32_t>(cell.problem["k"])},
        w_{cell.in[kFp8 ? 2 : 1], kFp8 ? cell.input<float>(3) : nullptr, 0,
           static_cast<std::int32_t>(cell.problem["n"]), k_} {
    products_.add(w_, cell_.in[0].data, kFp8 ? cell_.input<float>(1) : nullptr, m_, k_,
                  cell_.output<std::uint16_t>(0));
  }
  void run() { products_.run(cell_); }

 private:
  Cell cell_;
  std::int32_t m_;
  std::int32_t k_;
  HalfWeight w_;
  HalfProducts products_;
};

class HalfGroupedGemm {
 public:
  static constexpr const char* kOp = "moe_grouped_gemm";
  static bool supports(const Problem& p) { return p.dtype == "bf16" || p.dtype == "fp8"; }
  explicit HalfGroupedGemm(const Cell& cell) : cell_{cell}, fp8_{cell.problem.dtype == "fp8"} {
    const auto n = static_cast<std::int32_t>(cell.problem["n"]);
    const auto k = static_cast<std::int32_t>(cell.problem["k"]);
    const std::int64_t scales = std::int64_t{(n + 127) / 128} * (k / 128);
    for (std::int64_t e = 0; e < cell.problem["experts"]; ++e) {
      w_.emplace_back(cell.in[fp8_ ? 2 : 1], fp8_ ? cell.input<float>(3) + e * scales : nullptr, e * n, n, k);
    }
  }

  void run() {
    // Planned anew each time: how many rows each expert gets is an input.
    const auto n = cell_.problem["n"];
    const auto k = static_cast<std::int32_t>(cell_.problem["k"]);
    products_.clear();
    each_expert(cell_, cell_.input<std::int32_t>(fp8_ ? 4 : 2),
                [&](std::size_t e, std::int64_t first, std::int32_t rows) {
                  products_.add(
                      w_[e], static_cast<const std::uint8_t*>(cell_.in[0].data) + first * k * (fp8_ ? 1 : 2),
                      fp8_ ? cell_.input<float>(1) + first * (k / 128) : nullptr, rows, k,
                      cell_.output<std::uint16_t>(0) + first * n);
                });
    products_.run(cell_);
  }

 private:
  Cell cell_;
  bool fp8_;
  std::vector<HalfWeight> w_;
  HalfProducts products_;
};

}  // namespace

void add_half_products(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<HalfGemm<false>>::table("cpu_pairs"));
  kernels.push_back(Adapter<HalfGemm<true>>::table("cpu_pairs"));
  kernels.push_back(Adapter<HalfGroupedGemm>::table("cpu_pairs"));
}

}  // namespace dsbench::kernelbench::cpu
