#include <algorithm>
#include <cmath>
#include <vector>

#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

namespace dsbench::kernelbench::cpu {
namespace {

// A thread to a group of tokens, a row of kv at a time, all columns beside each other.
class KvCompress {
 public:
  static constexpr const char* kOp = "kv_compress";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit KvCompress(const Cell& cell)
      : cell_{cell},
        ratio_{cell.problem["ratio"]},
        dim_{cell.problem["dim"]},
        rope_{cell.problem["rope"]},
        halves_{cell.problem.word("overlap") == "yes" ? 2 : 1},
        groups_{cell.problem["tokens"] / ratio_} {}

  void run() {
    in_parts(*cell_.pool, groups_, halves_ * ratio_ * dim_, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> work(static_cast<std::size_t>(3 * dim_));
      for (std::int64_t group = begin; group < end; ++group) entry(group, work.data());
    });
  }

 private:
  // f(row of kv, row of gate, row of bias) for all rows of an entry.
  template <class F>
  void each_row(std::int64_t group, const F& f) const {
    const std::int64_t width = halves_ * dim_;
    for (std::int64_t half = group > 0 ? 0 : halves_ - 1; half < halves_; ++half) {
      const std::int64_t first = (group - (halves_ - 1 - half)) * ratio_;
      for (std::int64_t r = 0; r < ratio_; ++r) {
        const std::int64_t at = (first + r) * width + half * dim_;
        f(cell_.input<float>(0) + at, cell_.input<float>(1) + at,
          cell_.input<float>(2) + r * width + half * dim_);
      }
    }
  }

  void entry(std::int64_t group, float* work) const {
    const std::int64_t n = dim_;
    float* const out = cell_.output<float>(0) + group * n;
    float* const largest = work;
    float* const sums = work + n;
    float* const weights = work + 2 * n;
    std::fill_n(largest, n, -3.4e38F);
    std::fill_n(sums, n, 0.0F);
    std::fill_n(out, n, 0.0F);
    each_row(group, [&](const float*, const float* gate, const float* bias) {
      for (std::int64_t i = 0; i < n; ++i) largest[i] = std::max(largest[i], gate[i] + bias[i]);
    });
    each_row(group, [&](const float* kv, const float* gate, const float* bias) {
      // e^x of what is not above 0 is σ/(1 − σ), to the same digits: the table has a vectorised σ.
      for (std::int64_t i = 0; i < n; ++i) weights[i] = gate[i] + bias[i] - largest[i];
      cell_.table->sigmoid(weights, static_cast<std::int32_t>(n));
      for (std::int64_t i = 0; i < n; ++i) {
        const float weight = weights[i] / (1 - weights[i]);
        sums[i] += weight;
        out[i] += weight * kv[i];
      }
    });
    for (std::int64_t i = 0; i < n; ++i) out[i] /= sums[i];
    cell_.table->rms_norm(out, cell_.input<float>(3), 1e-6F, static_cast<std::int32_t>(n), out);
    const float* const cosines = cell_.input<float>(4) + group * rope_;
    const float* const sines = cosines + rope_ / 2;
    float* const rotary = out + n - rope_;
    for (std::int64_t i = 0; i < rope_ / 2; ++i) {
      const float x = rotary[2 * i];
      const float y = rotary[2 * i + 1];
      rotary[2 * i] = x * cosines[i] - y * sines[i];
      rotary[2 * i + 1] = x * sines[i] + y * cosines[i];
    }
  }

  Cell cell_;
  std::int64_t ratio_;
  std::int64_t dim_;
  std::int64_t rope_;
  std::int64_t halves_;
  std::int64_t groups_;
};

}  // namespace

void add_compress(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<KvCompress>::table("cpu_rows"));
}

}  // namespace dsbench::kernelbench::cpu
