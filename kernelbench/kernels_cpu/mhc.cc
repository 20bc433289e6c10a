#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

// Hyper-connections (see kernelbench/ops/mhc.cc): a product with 24 columns and sums of rows.
namespace dsbench::kernelbench::cpu {
namespace {

constexpr std::int64_t kStreams = 4;
constexpr std::int64_t kMixes = kStreams * (2 + kStreams);
constexpr float kEps = 1e-6F;
constexpr int kSinkhornRounds = 20;
constexpr std::int64_t kTile = 8;  // tokens that share a reading of fn, and stay in the cache for the second pass

float sigmoid(float v) {
  return 1 / (1 + std::exp(-v));
}

// Rows, then columns, in turns; the first rows are a softmax.
void balance(float* comb) {
  for (std::int64_t r = 0; r < kStreams; ++r) {
    float* const row = comb + r * kStreams;
    const float top = *std::max_element(row, row + kStreams);
    float sum = 0;
    for (std::int64_t c = 0; c < kStreams; ++c) sum += row[c] = std::exp(row[c] - top);
    for (std::int64_t c = 0; c < kStreams; ++c) row[c] = row[c] / sum + kEps;
  }
  for (int round = 0; round < kSinkhornRounds; ++round) {
    for (std::int64_t r = 0; round > 0 && r < kStreams; ++r) {
      float sum = kEps;
      for (std::int64_t c = 0; c < kStreams; ++c) sum += comb[r * kStreams + c];
      for (std::int64_t c = 0; c < kStreams; ++c) comb[r * kStreams + c] /= sum;
    }
    for (std::int64_t c = 0; c < kStreams; ++c) {
      float sum = kEps;
      for (std::int64_t r = 0; r < kStreams; ++r) sum += comb[r * kStreams + c];
      for (std::int64_t r = 0; r < kStreams; ++r) comb[r * kStreams + c] /= sum;
    }
  }
}

// In eight sums, so that the compiler may take them side by side.
float squares(const float* x, std::int64_t n) {
  std::array<float, 8> part{};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t k = 0; k < 8; ++k)
      part[k] += x[i + static_cast<std::int64_t>(k)] * x[i + static_cast<std::int64_t>(k)];
  }
  float sum = 0;
  for (; i < n; ++i) sum += x[i] * x[i];
  for (const float p : part) sum += p;
  return sum;
}

class MhcPre {
 public:
  static constexpr const char* kOp = "mhc_pre";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit MhcPre(const Cell& cell)
      : cell_{cell},
        tokens_{cell.problem["tokens"]},
        hidden_{cell.problem["hidden"]},
        fn_(std::span(cell.input<float>(1), static_cast<std::size_t>(kMixes * kStreams * hidden_)),
            static_cast<std::int32_t>(kMixes), static_cast<std::int32_t>(kStreams * hidden_),
            engine::kernels::WeightType::fp32),
        mixes_(static_cast<std::size_t>(tokens_ * kMixes)) {}
  void run() {
    const std::int64_t tiles = (tokens_ + kTile - 1) / kTile;
    in_parts(*cell_.pool, tiles, kTile * kStreams * hidden_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t tile = begin; tile < end; ++tile)
        run_tile(tile * kTile, std::min(tokens_, (tile + 1) * kTile));
    });
  }

 private:
  void run_tile(std::int64_t begin, std::int64_t end) {
    const std::int64_t wide = kStreams * hidden_;
    const float* const x = cell_.input<float>(0) + begin * wide;
    cell_.table->gemm(
        fn_.times(x, wide, static_cast<std::int32_t>(end - begin), mixes_.data() + begin * kMixes, kMixes));
    const float* const scale = cell_.input<float>(2);
    const float* const base = cell_.input<float>(3);
    for (std::int64_t t = begin; t < end; ++t) {
      const float* const streams = cell_.input<float>(0) + t * wide;
      float* const mix = mixes_.data() + t * kMixes;
      const float inverse = 1 / std::sqrt(squares(streams, wide) / static_cast<float>(wide) + kEps);
      for (std::int64_t i = 0; i < kMixes; ++i)
        mix[i] = mix[i] * inverse * scale[std::min<std::int64_t>(i / kStreams, 2)] + base[i];
      std::array<float, kStreams> pre{};
      std::array<const float*, kStreams> rows{};
      for (std::int64_t s = 0; s < kStreams; ++s) {
        pre[static_cast<std::size_t>(s)] = sigmoid(mix[s]) + kEps;
        rows[static_cast<std::size_t>(s)] = streams + s * hidden_;
        cell_.output<float>(1)[t * kStreams + s] = 2 * sigmoid(mix[kStreams + s]);
      }
      float* const comb = cell_.output<float>(2) + t * kStreams * kStreams;
      std::copy_n(mix + 2 * kStreams, kStreams * kStreams, comb);
      balance(comb);
      cell_.table->combine(rows.data(), pre.data(), kStreams, static_cast<std::int32_t>(hidden_),
                           cell_.output<float>(0) + t * hidden_);
    }
  }

  Cell cell_;
  std::int64_t tokens_;
  std::int64_t hidden_;
  engine::kernels::cpu::PackedMatrix fn_;
  std::vector<float> mixes_;
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
