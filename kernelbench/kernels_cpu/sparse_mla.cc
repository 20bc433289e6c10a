#include <algorithm>
#include <vector>

#include "kernelbench/kernels_cpu/float_rows.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split_attention.h"
#include "kernelbench/kernels_cpu/tables.h"

// Attention to chosen entries of a latent cache, in f32 or of FP8.
namespace dsbench::kernelbench::cpu {
namespace {

constexpr std::int64_t kGroup = 128;  // codes of a scale

class SparseMla {
 public:
  static constexpr const char* kOp = "sparse_mla";
  static bool supports(const Problem& p) {
    return (p.dtype == "f32" && latent_widths_fit(p)) || (p.dtype == "fp8" && p["kv_lora"] % kGroup == 0);
  }
  explicit SparseMla(const Cell& cell)
      : cell_{cell},
        fp8_{cell.problem.dtype == "fp8"},
        kv_lora_{cell.problem["kv_lora"]},
        rope_{cell.problem["rope"]},
        rows_{cell, cell.problem["batch"] * cell.problem["heads"], kv_lora_ + rope_, kv_lora_},
        attention_{cell, 1, cell.problem["heads"], kv_lora_, kv_lora_ + rope_, rows_.o(), fp8_} {}

  void run() {
    const Problem& p = cell_.problem;
    const std::int64_t heads = p["heads"];
    const std::int64_t top_k = p["top_k"];
    const std::int64_t width = kv_lora_ + rope_;
    const std::int64_t batch = p["batch"];
    const std::int64_t entry_bytes = fp8_ ? kv_lora_ + kv_lora_ / kGroup * 4 + 2 * rope_ : 4 * width;
    const auto* const cache = static_cast<const std::uint8_t*>(cell_.in[1].data);
    const float* const q = rows_.q();
    entries_.clear();
    entries_.reserve(static_cast<std::size_t>(batch * top_k));  // they must not move
    attention_.begin();
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::size_t first = entries_.size();
      append_named(cell_.input<std::int32_t>(2) + b * top_k, top_k, entries_,
                   [&](std::int64_t id) { return cache + id * entry_bytes; });
      const auto count = static_cast<std::int64_t>(entries_.size() - first);
      if (count == 0) {
        attention_.nothing(b * heads, heads);
        continue;
      }
      kernels::AttentionArgs args;
      args.q = q + b * heads * width;
      args.queries = 1;
      args.heads = static_cast<std::int32_t>(heads);
      args.kv_lora = static_cast<std::int32_t>(kv_lora_);
      args.width = static_cast<std::int32_t>(width);
      args.first_position = static_cast<std::int32_t>(count - 1);
      args.scale = kLatentScale;
      args.entries = entries_.data() + first;
      if (fp8_) {
        args.widen = widen;
        args.widen_context = this;
        args.slot_bytes = entry_bytes;
      }
      attention_.add(args, count, b * heads, splits_of(batch, count, cell_.pool->threads()));
    }
    attention_.run();
    rows_.finish();
  }

 private:
  static void widen(const void* context, const void* entry, float* y) {
    const auto& self = *static_cast<const SparseMla*>(context);
    const auto* const codes = static_cast<const std::uint8_t*>(entry);
    const auto* const scales = reinterpret_cast<const float*>(codes + self.kv_lora_);
    const std::int64_t groups = self.kv_lora_ / kGroup;
    for (std::int64_t g = 0; g < groups; ++g)
      self.cell_.table->widen_e4m3_rounded(codes + g * kGroup, scales[g], kGroup, y + g * kGroup);
    self.cell_.table->widen(reinterpret_cast<const std::uint16_t*>(scales + groups),
                            static_cast<std::int32_t>(self.rope_), y + self.kv_lora_);
  }

  Cell cell_;
  bool fp8_;
  std::int64_t kv_lora_;
  std::int64_t rope_;
  FloatRows rows_;
  SplitAttention attention_;
  std::vector<const void*> entries_;
};

}  // namespace

void add_sparse_mla(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<SparseMla>::table("cpu_split"));
}

}  // namespace dsbench::kernelbench::cpu
