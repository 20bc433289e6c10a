#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/kernels/cpu/moe_rows.h"
#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/split_attention.h"
#include "kernelbench/kernels_cpu/tables.h"

// Attention: over a paged latent cache, over chosen entries of one, and causal over spelt-out keys and
// values; and the indexer and the choice of entries that go before.
namespace dsbench::kernelbench::cpu {
namespace {

constexpr float kLatentScale = 0.07216878364870323F;  // 192^-0.5

bool latent_widths_fit(const Problem& p) {
  // The kernel reads whole vectors of latents; what is too much must be the rotary part.
  return (p["kv_lora"] + 15) / 16 * 16 <= p["kv_lora"] + p["rope"];
}

class MlaDecode {
 public:
  static constexpr const char* kOp = "mla_decode";
  static bool supports(const Problem& p) { return p.dtype == "f32" && latent_widths_fit(p); }
  explicit MlaDecode(const Cell& cell)
      : cell_{cell},
        attention_{cell, cell.problem["queries"], cell.problem["heads"], cell.problem["kv_lora"],
                   cell.problem["kv_lora"] + cell.problem["rope"]} {}

  void run() {
    const Problem& p = cell_.problem;
    const std::int64_t batch = p["batch"];
    const std::int64_t queries = p["queries"];
    const std::int64_t heads = p["heads"];
    const std::int64_t width = p["kv_lora"] + p["rope"];
    const auto* lengths = cell_.input<std::int32_t>(3);
    // As many splits as make some units for every thread, none shorter than a key block.
    const std::int64_t units = std::int64_t{4} * cell_.pool->threads();
    std::int64_t total = 0;
    for (std::int64_t b = 0; b < batch; ++b) total += lengths[b];
    const std::int64_t share = std::max<std::int64_t>(512, total / units);
    attention_.begin();
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t length = lengths[b];
      // The first of them may stand before everything that is in the cache.
      const std::int64_t blind = std::clamp<std::int64_t>(queries - length, 0, queries);
      const std::int64_t row = (b * queries + blind) * heads;
      attention_.nothing(b * queries * heads, blind * heads);
      if (blind == queries) continue;
      kernels::AttentionArgs args;
      args.q = cell_.input<float>(0) + row * width;
      args.queries = static_cast<std::int32_t>(queries - blind);
      args.heads = static_cast<std::int32_t>(heads);
      args.kv_lora = static_cast<std::int32_t>(p["kv_lora"]);
      args.width = static_cast<std::int32_t>(width);
      args.first_position = static_cast<std::int32_t>(length - queries + blind);
      args.scale = kLatentScale;
      args.cache = cell_.input<float>(1);
      args.blocks = cell_.input<std::int32_t>(2) + b * cell_.in[2].shape[1];
      args.block_size = static_cast<std::int32_t>(p["block"]);
      // A part must not lie wholly beyond a query: with several queries the end stays in one piece.
      const std::int64_t splits = queries > 1 ? 1 : (length + share - 1) / share;
      attention_.add(args, length, row, splits);
    }
    attention_.run();
  }

 private:
  Cell cell_;
  SplitAttention attention_;
};

class SparseMla {
 public:
  static constexpr const char* kOp = "sparse_mla";
  static bool supports(const Problem& p) { return p.dtype == "f32" && latent_widths_fit(p); }
  explicit SparseMla(const Cell& cell)
      : cell_{cell},
        attention_{cell, 1, cell.problem["heads"], cell.problem["kv_lora"],
                   cell.problem["kv_lora"] + cell.problem["rope"]},
        ids_(static_cast<std::size_t>(cell.problem["batch"] * cell.problem["top_k"])) {}

  void run() {
    const Problem& p = cell_.problem;
    const std::int64_t heads = p["heads"];
    const std::int64_t top_k = p["top_k"];
    const std::int64_t width = p["kv_lora"] + p["rope"];
    const std::int64_t batch = p["batch"];
    const std::int64_t splits = std::max<std::int64_t>(1, 2 * cell_.pool->threads() / batch);
    attention_.begin();
    for (std::int64_t b = 0; b < batch; ++b) {
      // Blocks of one entry, without the holes.
      std::int32_t* mine = ids_.data() + b * top_k;
      std::int64_t count = 0;
      for (std::int64_t i = 0; i < top_k; ++i) {
        const std::int32_t id = cell_.input<std::int32_t>(2)[b * top_k + i];
        if (id >= 0) mine[count++] = id;
      }
      if (count == 0) {
        attention_.nothing(b * heads, heads);
        continue;
      }
      kernels::AttentionArgs args;
      args.q = cell_.input<float>(0) + b * heads * width;
      args.queries = 1;
      args.heads = static_cast<std::int32_t>(heads);
      args.kv_lora = static_cast<std::int32_t>(p["kv_lora"]);
      args.width = static_cast<std::int32_t>(width);
      args.first_position = static_cast<std::int32_t>(count - 1);
      args.scale = kLatentScale;
      args.cache = cell_.input<float>(1);
      args.blocks = mine;
      args.block_size = 1;
      attention_.add(args, count, b * heads, std::min(splits, (count + 255) / 256));
    }
    attention_.run();
  }

 private:
  Cell cell_;
  SplitAttention attention_;
  std::vector<std::int32_t> ids_;
};

class Indexer {
 public:
  static constexpr const char* kOp = "dsa_indexer";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit Indexer(const Cell& cell)
      : cell_{cell},
        padded_{(cell.problem["heads"] + kernels::kPanel - 1) / kernels::kPanel * kernels::kPanel} {
    q_.grow(cell.problem["batch"] * cell.problem["dim"] * padded_);
    weights_.grow(cell.problem["batch"] * padded_);
  }
  void run() {
    const Problem& p = cell_.problem;
    const std::int64_t batch = p["batch"];
    const std::int64_t heads = p["heads"];
    const std::int64_t dim = p["dim"];
    const std::int64_t context = p["context"];
    in_parts(*cell_.pool, batch, heads * dim, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) {
        float* q = q_.data() + b * dim * padded_;
        for (std::int64_t d = 0; d < dim; ++d) {
          for (std::int64_t h = 0; h < padded_; ++h) {
            q[d * padded_ + h] = h < heads ? cell_.input<float>(0)[(b * heads + h) * dim + d] : 0;
          }
        }
        for (std::int64_t h = 0; h < padded_; ++h) {
          weights_.data()[b * padded_ + h] = h < heads ? cell_.input<float>(1)[b * heads + h] : 0;
        }
      }
    });
    constexpr std::int64_t kPositions = 256;  // a unit of work
    const std::int64_t units = (context + kPositions - 1) / kPositions;
    cell_.pool->run(static_cast<int>(batch * units), [&](int unit, int) {
      const std::int64_t b = unit / units;
      const std::int64_t begin = unit % units * kPositions;
      const std::int64_t length = cell_.input<std::int32_t>(4)[b];
      if (begin >= length) return;
      cell_.table->indexer({.q = q_.data() + b * dim * padded_,
                            .weights = weights_.data() + b * padded_,
                            .heads = static_cast<std::int32_t>(heads),
                            .dim = static_cast<std::int32_t>(dim),
                            .k = cell_.input<float>(2) + b * context * dim,
                            .k_scale = cell_.input<float>(3) + b * context,
                            .begin = static_cast<std::int32_t>(begin),
                            .end = static_cast<std::int32_t>(std::min(length, begin + kPositions)),
                            .logits = cell_.output<float>(0) + b * context});
    });
  }

 private:
  Cell cell_;
  std::int64_t padded_;
  kernels::FloatBuffer q_;
  kernels::FloatBuffer weights_;
};

class TopK {
 public:
  static constexpr const char* kOp = "dsa_topk";
  static bool supports(const Problem&) { return true; }
  explicit TopK(const Cell& cell) : cell_{cell} {}
  void run() {
    const std::int64_t context = cell_.problem["context"];
    const std::int64_t top_k = cell_.problem["top_k"];
    in_parts(*cell_.pool, cell_.problem["rows"], 4 * context, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        kernels::top_k(cell_.input<float>(0) + row * context, cell_.input<std::int32_t>(1)[row], top_k,
                       cell_.output<std::int32_t>(0) + row * top_k);
      }
    });
  }

 private:
  Cell cell_;
};

// Query blocks × key blocks: scores and weighted values are products with panels, made of keys and values as
// they come.
class MlaPrefill {
 public:
  static constexpr const char* kOp = "mla_prefill";
  static bool supports(const Problem& p) { return p.dtype == "f32"; }
  explicit MlaPrefill(const Cell& cell)
      : cell_{cell},
        queries_{cell.problem["queries"]},
        context_{cell.problem["context"]},
        heads_{cell.problem["heads"]},
        qk_{cell.problem["qk"]},
        v_{cell.problem["v"]},
        blocks_{(context_ + kKeys - 1) / kKeys},
        v_panels_{(v_ + kernels::kPanel - 1) / kernels::kPanel} {
    keys_.grow(heads_ * blocks_ * kKeys * qk_);
    values_.grow(heads_ * blocks_ * kKeys * v_panels_ * kernels::kPanel);
    work_.resize(static_cast<std::size_t>(cell.pool->threads()));
    for (kernels::FloatBuffer& one : work_) one.grow(kQueries * (kKeyStride + query_stride() + sum_stride()));
  }

  void run() {
    cell_.pool->run(static_cast<int>(heads_ * blocks_),
                    [&](int unit, int) { pack(unit / blocks_, unit % blocks_); });
    const std::int64_t tiles = (queries_ + kQueries - 1) / kQueries;
    // The last queries see most: they go first.
    cell_.pool->run(static_cast<int>(heads_ * tiles), [&](int unit, int thread) {
      attend(unit % heads_, tiles - 1 - unit / heads_, work_[static_cast<std::size_t>(thread)].data());
    });
  }

 private:
  static constexpr std::int64_t kQueries = 96;
  static constexpr std::int64_t kKeys = 128;
  // Rows that lie a power of two apart would fight for the same cache lines.
  static constexpr std::int64_t kKeyStride = kKeys + 16;
  static constexpr std::int64_t kDiagonalRows = 24;
  [[nodiscard]] std::int64_t query_stride() const { return (qk_ + 15) / 16 * 16 + 16; }
  [[nodiscard]] std::int64_t sum_stride() const { return (v_ + 15) / 16 * 16 + 16; }

  float* packed_keys(std::int64_t head, std::int64_t block) {
    return keys_.data() + (head * blocks_ + block) * kKeys * qk_;
  }
  float* packed_values(std::int64_t head, std::int64_t block) {
    return values_.data() + (head * blocks_ + block) * kKeys * v_panels_ * kernels::kPanel;
  }

  // Keys as panels [kKeys/16, qk, 16], values as panels [v/16, kKeys, 16]; zeros beyond.
  void pack(std::int64_t head, std::int64_t block) {
    const std::int64_t first = block * kKeys;
    const std::int64_t count = std::min(kKeys, context_ - first);
    float* to = packed_keys(head, block);
    for (std::int64_t t0 = 0; t0 < kKeys; t0 += kernels::kPanel) {
      const std::int64_t there = std::clamp<std::int64_t>(count - t0, 0, kernels::kPanel);
      const float* rows[kernels::kPanel];
      for (std::int64_t t = 0; t < there; ++t)
        rows[t] = cell_.input<float>(1) + ((first + t0 + t) * heads_ + head) * qk_;
      cell_.table->lay_out_panel(rows, static_cast<std::int32_t>(there), static_cast<std::int32_t>(qk_), to);
      to += qk_ * kernels::kPanel;
    }
    to = packed_values(head, block);
    for (std::int64_t panel = 0; panel < v_panels_; ++panel) {
      const std::int64_t columns = std::min<std::int64_t>(kernels::kPanel, v_ - panel * kernels::kPanel);
      for (std::int64_t t = 0; t < kKeys; ++t, to += kernels::kPanel) {
        std::fill_n(to, kernels::kPanel, 0.0F);
        if (t >= count) continue;
        const float* from =
            cell_.input<float>(2) + ((first + t) * heads_ + head) * v_ + panel * kernels::kPanel;
        std::copy_n(from, columns, to);
      }
    }
  }

  void attend(std::int64_t head, std::int64_t tile, float* scores) {
    const std::int64_t q0 = tile * kQueries;
    const std::int64_t rows = std::min(kQueries, queries_ - q0);
    const std::int64_t before = context_ - queries_;  // keys that every query sees
    kernels::SoftmaxStep state[kQueries];
    float* queries = scores + kQueries * kKeyStride;
    float* sums = queries + kQueries * query_stride();
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(cell_.input<float>(0) + ((q0 + r) * heads_ + head) * qk_, qk_,
                  queries + r * query_stride());
    }
    for (std::int64_t block = 0; block * kKeys <= before + q0 + rows - 1; ++block) {
      const std::int64_t seen = before + q0 + 1 - block * kKeys;  // of this block, by the first query
      if (seen >= kKeys) {
        attend_block(head, block, 0, rows, kKeys, seen, queries, scores, sums, state);
        continue;
      }
      // On the diagonal few rows at a time, each with no more keys than its last one sees.
      for (std::int64_t r = 0; r < rows; r += kDiagonalRows) {
        const std::int64_t count = std::min(kDiagonalRows, rows - r);
        const std::int64_t keys = std::min(kKeys, seen + r + count - 1);
        if (keys > 0) attend_block(head, block, r, count, keys, seen + r, queries, scores, sums, state);
      }
    }
    float* o = cell_.output<float>(0) + (q0 * heads_ + head) * v_;
    for (std::int64_t r = 0; r < rows; ++r) {
      const float inverse = 1 / state[r].sum;
      for (std::int64_t i = 0; i < v_; ++i) o[r * heads_ * v_ + i] = sums[r * sum_stride() + i] * inverse;
    }
  }

  // `count` queries of the tile from r0 on with the first `keys` of a block, of which the first of them sees
  // `seen`.
  void attend_block(std::int64_t head, std::int64_t block, std::int64_t r0, std::int64_t count,
                    std::int64_t keys, std::int64_t seen, const float* queries, float* scores, float* sums,
                    kernels::SoftmaxStep* state) {
    kernels::GemmArgs args;
    args.a = queries + r0 * query_stride();
    args.lda = query_stride();
    args.m = static_cast<std::int32_t>(count);
    args.w = packed_keys(head, block);
    args.n = static_cast<std::int32_t>(keys);
    args.k = static_cast<std::int32_t>(qk_);
    args.panel_end = static_cast<std::int32_t>((keys + kernels::kPanel - 1) / kernels::kPanel);
    args.c = scores + r0 * kKeyStride;
    args.ldc = kKeyStride;
    cell_.table->gemm(args);
    for (std::int64_t r = r0; r < r0 + count; ++r) {
      kernels::SoftmaxStep& step = state[r];
      step.row = scores + r * kKeyStride;
      step.count = static_cast<std::int32_t>(keys);
      step.visible = static_cast<std::int32_t>(std::clamp<std::int64_t>(seen + r - r0, 0, keys));
      step.scale = 1 / std::sqrt(static_cast<float>(qk_));
    }
    cell_.table->softmax_steps(state + r0, static_cast<std::int32_t>(count));
    for (std::int64_t r = r0; block > 0 && r < r0 + count; ++r) {
      if (state[r].rescale == 1) continue;
      float* row = sums + r * sum_stride();
      for (std::int64_t i = 0; i < v_; ++i) row[i] *= state[r].rescale;
    }
    args.a = scores + r0 * kKeyStride;
    args.lda = kKeyStride;
    args.w = packed_values(head, block);
    args.n = static_cast<std::int32_t>(v_);
    args.k = static_cast<std::int32_t>(keys);
    args.w_depth = static_cast<std::int32_t>(kKeys);
    args.panel_end = static_cast<std::int32_t>(v_panels_);
    args.c = sums + r0 * sum_stride();
    args.ldc = sum_stride();
    args.add = block > 0;
    cell_.table->gemm(args);
  }

  Cell cell_;
  std::int64_t queries_;
  std::int64_t context_;
  std::int64_t heads_;
  std::int64_t qk_;
  std::int64_t v_;
  std::int64_t blocks_;
  std::int64_t v_panels_;
  kernels::FloatBuffer keys_;
  kernels::FloatBuffer values_;
  std::vector<kernels::FloatBuffer> work_;
};

}  // namespace

void add_attention(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<MlaDecode>::table("cpu_split"));
  kernels.push_back(Adapter<MlaPrefill>::table("cpu_tiles"));
  kernels.push_back(Adapter<Indexer>::table("cpu_tiles"));
  kernels.push_back(Adapter<TopK>::table("cpu_radix"));
  kernels.push_back(Adapter<SparseMla>::table("cpu_split"));
}

}  // namespace dsbench::kernelbench::cpu
