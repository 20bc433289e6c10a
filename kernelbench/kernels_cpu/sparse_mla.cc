#include <vector>

#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/latent_rows.h"
#include "kernelbench/kernels_cpu/split_attention.h"
#include "kernelbench/kernels_cpu/tables.h"

// Attention to chosen entries of a latent cache, in f32 or of FP8.
namespace dsbench::kernelbench::cpu {
namespace {

class SparseMla {
 public:
  static constexpr const char* kOp = "sparse_mla";
  static bool supports(const Problem& p) { return LatentRows::supports(p); }
  explicit SparseMla(const Cell& cell)
      : cell_{cell},
        latent_{cell, cell.problem["batch"] * cell.problem["heads"]},
        attention_{cell,         1, cell.problem["heads"], latent_.kv_lora(), latent_.width(), latent_.o(),
                   latent_.fp8()} {}

  void run() {
    const Problem& p = cell_.problem;
    const std::int64_t heads = p["heads"];
    const std::int64_t top_k = p["top_k"];
    const std::int64_t batch = p["batch"];
    const auto* const cache = static_cast<const std::uint8_t*>(cell_.in[1].data);
    entries_.clear();
    entries_.reserve(static_cast<std::size_t>(batch * top_k));  // they must not move
    attention_.begin();
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::size_t first = entries_.size();
      append_named(cell_.input<std::int32_t>(2) + b * top_k, top_k, entries_,
                   [&](std::int64_t id) { return cache + id * latent_.entry_bytes(); });
      const auto count = static_cast<std::int64_t>(entries_.size() - first);
      if (count == 0) {
        attention_.nothing(b * heads, heads);
        for (std::int64_t row = b * heads; row < (b + 1) * heads; ++row) latent_.finish(row);
        continue;
      }
      kernels::AttentionArgs args = latent_.args(b * heads);
      args.queries = 1;
      args.first_position = static_cast<std::int32_t>(count - 1);
      args.entries = entries_.data() + first;
      attention_.add(args, count, b * heads, splits_of(batch, count, cell_.pool->threads()));
    }
    attention_.run([this](std::int64_t row) { latent_.finish(row); });
  }

 private:
  Cell cell_;
  LatentRows latent_;
  SplitAttention attention_;
  std::vector<const void*> entries_;
};

}  // namespace

void add_sparse_mla(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<SparseMla>::table("cpu_split"));
}

}  // namespace dsbench::kernelbench::cpu
