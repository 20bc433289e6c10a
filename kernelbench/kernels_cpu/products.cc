#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/expert_rows.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

namespace dsbench::kernelbench::cpu {
namespace {

using engine::kernels::WeightType;

// A weight [n, k] of the problem's type in panels.
kernels::PackedMatrix pack(const dsb_tensor& w, std::int64_t first, std::int32_t n, std::int32_t k) {
  const std::size_t count = static_cast<std::size_t>(n) * static_cast<std::size_t>(k);
  if (w.dtype == DSB_F32) {
    return {std::span(static_cast<const float*>(w.data) + first, count), n, k, WeightType::fp32};
  }
  const auto* bits = static_cast<const std::uint16_t*>(w.data) + first;
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = kernels::from_bf16(bits[i]);
  return {values, n, k, WeightType::bf16};
}

// All panels of a product, shared out. Few rows: parts are runs of panels, so that each thread streams its
// own part of the weight.
void multiply(const Cell& cell, const kernels::GemmArgs& whole) {
  const int panels = whole.panel_end - whole.panel_begin;
  in_parts(*cell.pool, panels, std::int64_t{whole.k} * 16 * whole.m,
           [&](std::int64_t begin, std::int64_t end) {
             kernels::GemmArgs part = whole;
             part.panel_begin = whole.panel_begin + static_cast<int>(begin);
             part.panel_end = whole.panel_begin + static_cast<int>(end);
             cell.table->gemm(part);
           });
}

class Gemm {
 public:
  static constexpr const char* kOp = "gemm";
  static bool supports(const Problem& p) { return p.dtype == "f32" || p.dtype == "f32.bf16"; }
  explicit Gemm(const Cell& cell)
      : cell_{cell},
        m_{static_cast<std::int32_t>(cell.problem["m"])},
        n_{static_cast<std::int32_t>(cell.problem["n"])},
        k_{static_cast<std::int32_t>(cell.problem["k"])},
        w_{pack(cell.in[1], 0, n_, k_)} {}
  void run() { multiply(cell_, w_.times(cell_.input<float>(0), k_, m_, cell_.output<float>(0), n_)); }

 private:
  Cell cell_;
  std::int32_t m_;
  std::int32_t n_;
  std::int32_t k_;
  kernels::PackedMatrix w_;
};

// Weights that are int8 already, in the panels of PackedMatrix.
class Int8Gemm {
 public:
  static constexpr const char* kOp = "int8_gemm";
  static bool supports(const Problem& p) { return p["k"] <= kernels::kLongestInt8Row; }
  explicit Int8Gemm(const Cell& cell)
      : cell_{cell},
        m_{static_cast<std::int32_t>(cell.problem["m"])},
        n_{static_cast<std::int32_t>(cell.problem["n"])},
        k_{static_cast<std::int32_t>(cell.problem["k"])},
        quads_{(k_ + 3) / 4} {
    const std::int64_t panels = (n_ + kernels::kPanel - 1) / kernels::kPanel;
    w_.grow(panels * quads_ * kernels::kPanel * 4);
    w_.fill(128);
    w_scale_.grow(panels * kernels::kPanel);
    w_scale_.fill(0);
    const auto* w = cell_.input<std::int8_t>(2);
    for (std::int64_t row = 0; row < n_; ++row) {
      std::uint8_t* panel =
          w_.data() + row / kernels::kPanel * quads_ * kernels::kPanel * 4 + row % kernels::kPanel * 4;
      for (std::int64_t i = 0; i < k_; ++i) {
        panel[i / 4 * kernels::kPanel * 4 + i % 4] = static_cast<std::uint8_t>(w[row * k_ + i] + 128);
      }
      w_scale_.data()[row] = cell_.input<float>(3)[row];
    }
    sums_.grow(m_);
    if (k_ % 4 != 0) padded_.grow(std::int64_t{m_} * quads_ * 4);
  }

  void run() {
    const auto* a = cell_.input<std::int8_t>(0);
    const std::int64_t stride = std::int64_t{quads_} * 4;
    in_parts(*cell_.pool, m_, k_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        std::int32_t sum = 0;
        for (std::int64_t i = 0; i < k_; ++i) sum += a[row * k_ + i];
        sums_.data()[row] = sum;
        if (k_ % 4 == 0) continue;
        std::int8_t* to = padded_.data() + row * stride;
        std::memcpy(to, a + row * k_, static_cast<std::size_t>(k_));
        std::memset(to + k_, 0, static_cast<std::size_t>(stride - k_));
      }
    });
    kernels::GemmArgs args;
    args.q = {.values = k_ % 4 == 0 ? a : padded_.data(),
              .stride = stride,
              .scale = cell_.input<float>(1),
              .sum = sums_.data()};
    args.m = m_;
    args.type = WeightType::int8;
    args.w = w_.data();
    args.w_scale = w_scale_.data();
    args.n = n_;
    args.k = k_;
    args.panel_end = (n_ + kernels::kPanel - 1) / kernels::kPanel;
    args.c = cell_.output<float>(0);
    args.ldc = n_;
    multiply(cell_, args);
  }

 private:
  Cell cell_;
  std::int32_t m_;
  std::int32_t n_;
  std::int32_t k_;
  std::int32_t quads_;
  kernels::AlignedBuffer<std::uint8_t> w_;
  kernels::FloatBuffer w_scale_;
  kernels::AlignedBuffer<std::int32_t> sums_;
  kernels::AlignedBuffer<std::int8_t> padded_;
};

// Products of many weights, shared out as (weight, run of panels).
class ManyProducts {
 public:
  void add(const kernels::GemmArgs& args, int threads) {
    const int panels = args.panel_end;
    // Enough for every thread to find work, runs long enough to stream.
    const int parts = std::min(panels, threads);
    for (int part = 0; part < parts; ++part) {
      kernels::GemmArgs mine = args;
      mine.panel_begin = panels * part / parts;
      mine.panel_end = panels * (part + 1) / parts;
      units_.push_back(mine);
    }
  }
  void clear() { units_.clear(); }
  void run(const Cell& cell) const {
    cell.pool->run(static_cast<int>(units_.size()),
                   [&](int unit, int) { cell.table->gemm(units_[static_cast<std::size_t>(unit)]); });
  }

 private:
  std::vector<kernels::GemmArgs> units_;
};

class GroupedGemm {
 public:
  static constexpr const char* kOp = "moe_grouped_gemm";
  static bool supports(const Problem& p) { return p.dtype == "f32" || p.dtype == "f32.bf16"; }
  explicit GroupedGemm(const Cell& cell) : cell_{cell} {
    const auto n = static_cast<std::int32_t>(cell.problem["n"]);
    const auto k = static_cast<std::int32_t>(cell.problem["k"]);
    for (std::int64_t e = 0; e < cell.problem["experts"]; ++e)
      w_.push_back(pack(cell.in[1], e * n * k, n, k));
  }

  void run() {
    // Planned anew each time: how many rows each expert gets is an input.
    const std::int64_t n = cell_.problem["n"];
    const std::int64_t k = cell_.problem["k"];
    products_.clear();
    each_expert(
        cell_, cell_.input<std::int32_t>(2), [&](std::size_t e, std::int64_t first, std::int32_t rows) {
          products_.add(
              w_[e].times(cell_.input<float>(0) + first * k, k, rows, cell_.output<float>(0) + first * n, n),
              cell_.pool->threads());
        });
    products_.run(cell_);
  }

 private:
  Cell cell_;
  std::vector<kernels::PackedMatrix> w_;
  ManyProducts products_;
};

class Absorb {
 public:
  static constexpr const char* kOp = "mla_absorb";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit Absorb(const Cell& cell) : cell_{cell} {
    const std::int64_t heads = cell.problem["heads"];
    const auto in = static_cast<std::int32_t>(cell.problem["in"]);
    const auto out = static_cast<std::int32_t>(cell.problem["out"]);
    const auto tokens = static_cast<std::int32_t>(cell.problem["tokens"]);
    for (std::int64_t h = 0; h < heads; ++h) w_.push_back(pack(cell.in[1], h * in * out, out, in));
    for (std::int64_t h = 0; h < heads; ++h) {
      products_.add(w_[static_cast<std::size_t>(h)].times(cell.input<float>(0) + h * in, heads * in, tokens,
                                                          cell.output<float>(0) + h * out, heads * out),
                    1);
    }
  }
  void run() { products_.run(cell_); }

 private:
  Cell cell_;
  std::vector<kernels::PackedMatrix> w_;
  ManyProducts products_;
};

}  // namespace

void add_products(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<Gemm>::table("cpu_panels"));
  kernels.push_back(Adapter<Int8Gemm>::table("cpu_panels"));
  kernels.push_back(Adapter<GroupedGemm>::table("cpu_panels"));
  kernels.push_back(Adapter<Absorb>::table("cpu_panels"));
}

}  // namespace dsbench::kernelbench::cpu
