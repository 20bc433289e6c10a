#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/split_attention.h"
#include "kernelbench/kernels_cpu/tables.h"

// DeepSeek-V4's attention: the window and the named entries are parts of one softmax, whose sink comes in
// when they are joined.
namespace dsbench::kernelbench::cpu {
namespace {

constexpr std::int64_t kWidth = 512;
constexpr std::int64_t kRope = 64;
constexpr float kScale = 0.04419417382415922F;  // 512^-0.5

class CsaDecode {
 public:
  static constexpr const char* kOp = "csa_decode";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit CsaDecode(const Cell& cell)
      : cell_{cell},
        attention_{cell, 1, cell.problem["heads"], kWidth, kWidth},
        listed_{cell.in[3].shape[1]},
        windows_(static_cast<std::size_t>(cell.problem["batch"])),
        rows_(static_cast<std::size_t>(cell.problem["batch"] * listed_)) {
    std::iota(windows_.begin(), windows_.end(), 0);
  }

  void run() {
    const Problem& p = cell_.problem;
    const std::int64_t heads = p["heads"];
    const std::int64_t batch = p["batch"];
    const std::int64_t splits = std::max<std::int64_t>(1, std::int64_t{2} * cell_.pool->threads() / batch);
    attention_.begin();
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t length = cell_.input<std::int32_t>(4)[b];
      const std::int64_t recent = std::min(length, p["window"]);
      if (recent == 0) {
        attention_.nothing(b * heads, heads);
        continue;
      }
      kernels::AttentionArgs args;
      args.q = cell_.input<float>(0) + b * heads * kWidth;
      args.queries = 1;
      args.heads = static_cast<std::int32_t>(heads);
      args.kv_lora = kWidth;
      args.width = kWidth;
      args.scale = kScale;
      args.cache = cell_.input<float>(1);
      args.blocks = windows_.data() + b;
      args.block_size = static_cast<std::int32_t>(p["window"]);
      args.first_position = static_cast<std::int32_t>(recent - 1);
      attention_.add(args, recent, b * heads, 1);
      // Blocks of one entry, without the holes.
      const std::int32_t* const ids = cell_.input<std::int32_t>(3) + b * listed_;
      std::int32_t* const mine = rows_.data() + b * listed_;
      const std::int32_t* const end = std::copy_if(ids, ids + std::min(listed_, length / p["ratio"]), mine,
                                                   [](std::int32_t id) { return id >= 0; });
      const std::int64_t count = end - mine;
      if (count == 0) continue;
      args.cache = cell_.input<float>(2);
      args.blocks = mine;
      args.block_size = 1;
      args.first_position = static_cast<std::int32_t>(count - 1);
      attention_.also(args, count, std::min(splits, (count + 191) / 192));
    }
    attention_.run();
    in_parts(*cell_.pool, batch * heads, kWidth, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) finish(row / heads, row % heads);
    });
  }

 private:
  // The sink takes its share, and the rotary numbers are turned back.
  void finish(std::int64_t request, std::int64_t head) {
    const std::int64_t row = request * cell_.problem["heads"] + head;
    float* const o = cell_.output<float>(0) + row * kWidth;
    const float share = 1 / (1 + std::exp(cell_.input<float>(5)[head] - cell_.output<float>(1)[row]));
    for (std::int64_t i = 0; i < kWidth; ++i) o[i] *= share;
    const float* const cosines = cell_.input<float>(6) + request * kRope;
    const float* const sines = cosines + kRope / 2;
    float* const rotary = o + kWidth - kRope;
    for (std::int64_t i = 0; i < kRope / 2; ++i) {
      const float x = rotary[2 * i];
      const float y = rotary[2 * i + 1];
      rotary[2 * i] = x * cosines[i] + y * sines[i];
      rotary[2 * i + 1] = y * cosines[i] - x * sines[i];
    }
  }

  Cell cell_;
  SplitAttention attention_;
  std::int64_t listed_;
  std::vector<std::int32_t> windows_;
  std::vector<std::int32_t> rows_;
};

}  // namespace

void add_csa(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<CsaDecode>::table("cpu_split"));
}

}  // namespace dsbench::kernelbench::cpu
