#include <algorithm>
#include <array>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

// Hyper-connections (see kernelbench/ops/mhc.cc): a product with 24 columns and sums of rows.
namespace dsbench::kernelbench::cpu {
namespace {

using kernels::kStreams;

class MhcPre {
 public:
  static constexpr const char* kOp = "mhc_pre";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit MhcPre(const Cell& cell)
      : cell_{cell}, tokens_{cell.problem["tokens"]}, hidden_{cell.problem["hidden"]} {
    const std::int64_t wide = kStreams * hidden_;
    fn_.grow((wide + kBlock - 1) / kBlock * kBlock * kernels::kMixes);
    fn_.fill(0);
    for (std::int64_t i = 0; i < kernels::kMixes; ++i) {
      for (std::int64_t k = 0; k < wide; k += kBlock) {
        std::copy_n(cell.input<float>(1) + i * wide + k, std::min(kBlock, wide - k),
                    fn_.data() + k * kernels::kMixes + i * kBlock);
      }
    }
  }
  void run() {
    const std::int64_t tiles = (tokens_ + kTile - 1) / kTile;
    in_parts(*cell_.pool, tiles, kTile * kStreams * hidden_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t tile = begin; tile < end; ++tile)
        run_tile(tile * kTile, std::min(tokens_, (tile + 1) * kTile));
    });
  }

 private:
  static constexpr std::int64_t kBlock = kernels::kMixBlock;
  static constexpr std::int64_t kTile = kernels::kMixTokens;

  void run_tile(std::int64_t begin, std::int64_t end) {
    const std::int64_t wide = kStreams * hidden_;
    const float* const x = cell_.input<float>(0) + begin * wide;
    std::array<float, kTile * kStreams> pre{};
    cell_.table->mix_streams({.x = x,
                              .next = end + kTile <= tokens_ ? x + kTile * wide : x,
                              .tokens = static_cast<std::int32_t>(end - begin),
                              .depth = static_cast<std::int32_t>(wide),
                              .fn = fn_.data(),
                              .scale = cell_.input<float>(2),
                              .base = cell_.input<float>(3),
                              .pre = pre.data(),
                              .post = cell_.output<float>(1) + begin * kStreams,
                              .comb = cell_.output<float>(2) + begin * kStreams * kStreams});
    for (std::int64_t t = begin; t < end; ++t) {
      std::array<const float*, kStreams> rows{};
      for (std::int64_t s = 0; s < kStreams; ++s)
        rows[static_cast<std::size_t>(s)] = x + ((t - begin) * kStreams + s) * hidden_;
      cell_.table->combine(rows.data(), pre.data() + (t - begin) * kStreams, kStreams,
                           static_cast<std::int32_t>(hidden_), cell_.output<float>(0) + t * hidden_);
    }
  }

  Cell cell_;
  std::int64_t tokens_;
  std::int64_t hidden_;
  kernels::FloatBuffer fn_;
};

class MhcPost {
 public:
  static constexpr const char* kOp = "mhc_post";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit MhcPost(const Cell& cell)
      : cell_{cell}, tokens_{cell.problem["tokens"]}, hidden_{cell.problem["hidden"]} {}
  void run() {
    in_parts(*cell_.pool, tokens_, 2 * kStreams * hidden_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        std::array<const float*, kStreams + 1> rows{};
        std::array<float, kStreams + 1> factors{};
        rows[kStreams] = cell_.input<float>(1) + t * hidden_;
        for (std::int64_t m = 0; m < kStreams; ++m)
          rows[static_cast<std::size_t>(m)] = cell_.input<float>(0) + (t * kStreams + m) * hidden_;
        for (std::int64_t n = 0; n < kStreams; ++n) {
          factors[kStreams] = cell_.input<float>(2)[t * kStreams + n];
          for (std::int64_t m = 0; m < kStreams; ++m)
            factors[static_cast<std::size_t>(m)] = cell_.input<float>(3)[(t * kStreams + m) * kStreams + n];
          cell_.table->combine(rows.data(), factors.data(), kStreams + 1, static_cast<std::int32_t>(hidden_),
                               cell_.output<float>(0) + (t * kStreams + n) * hidden_);
        }
      }
    });
  }

 private:
  Cell cell_;
  std::int64_t tokens_;
  std::int64_t hidden_;
};

}  // namespace

void add_mhc(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<MhcPre>::table("cpu_rows"));
  kernels.push_back(Adapter<MhcPost>::table("cpu_rows"));
}

}  // namespace dsbench::kernelbench::cpu
