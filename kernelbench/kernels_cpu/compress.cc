#include <algorithm>
#include <vector>

#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/tables.h"

namespace dsbench::kernelbench::cpu {
namespace {

// A thread to a group of tokens, a few rows of kv at a time, all columns beside each other.
class KvCompress {
 public:
  static constexpr const char* kOp = "kv_compress";
  static bool supports(const Problem& p) { return p.dtype == "f32" && p["rope"] <= kernels::kMaxRope; }
  explicit KvCompress(const Cell& cell)
      : cell_{cell},
        ratio_{cell.problem["ratio"]},
        dim_{cell.problem["dim"]},
        rope_{cell.problem["rope"]},
        halves_{cell.problem.word("overlap") == "yes" ? 2 : 1},
        groups_{cell.problem["tokens"] / ratio_} {}

  void run() {
    in_parts(*cell_.pool, groups_, halves_ * ratio_ * dim_, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t padded = (dim_ + kernels::kPanel - 1) / kernels::kPanel * kernels::kPanel;
      std::vector<float> work(static_cast<std::size_t>(3 * padded));
      for (std::int64_t group = begin; group < end; ++group) entry(group, padded, work.data());
    });
  }

 private:
  // Rows of an entry: those of the group before it, if there is one and they count, then its own.
  [[nodiscard]] std::int64_t rows_of(std::int64_t group) const { return (group > 0 ? halves_ : 1) * ratio_; }

  void entry(std::int64_t group, std::int64_t padded, float* work) const {
    const std::int64_t width = halves_ * dim_;
    const std::int64_t count = rows_of(group);
    const float* values[kernels::kMostGated];
    const float* gates[kernels::kMostGated];
    const float* biases[kernels::kMostGated];
    for (std::int64_t r0 = 0; r0 < count; r0 += kernels::kMostGated) {
      const std::int64_t some = std::min<std::int64_t>(kernels::kMostGated, count - r0);
      for (std::int64_t i = 0; i < some; ++i) {
        const std::int64_t row = r0 + i + halves_ * ratio_ - count;  // of all that an entry may have
        const std::int64_t half = row / ratio_;
        const std::int64_t token = (group - (halves_ - 1)) * ratio_ + row;
        values[i] = cell_.input<float>(0) + token * width + half * dim_;
        gates[i] = cell_.input<float>(1) + token * width + half * dim_;
        biases[i] = cell_.input<float>(2) + row % ratio_ * width + half * dim_;
      }
      cell_.table->add_gated({.values = values,
                              .gates = gates,
                              .biases = biases,
                              .count = static_cast<std::int32_t>(some),
                              .n = static_cast<std::int32_t>(dim_),
                              .ahead = std::min<std::int64_t>(ratio_, kernels::kMostGated) * width * 4,
                              .first = r0 == 0,
                              .largest = work,
                              .sums = work + padded,
                              .mixed = work + 2 * padded});
    }
    float* const out = cell_.output<float>(0) + group * dim_;
    const float* const sums = work + padded;
    const float* const mixed = work + 2 * padded;
    for (std::int64_t i = 0; i < dim_; ++i) out[i] = mixed[i] / sums[i];
    cell_.table->rms_norm(out, cell_.input<float>(3), 1e-6F, static_cast<std::int32_t>(dim_), out);
    float* const rotary = out + dim_ - rope_;
    cell_.table->rope({.x = rotary,
                       .heads = 1,
                       .width = static_cast<std::int32_t>(rope_),
                       .turns = cell_.input<float>(4) + group * rope_,
                       .y = rotary});
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
