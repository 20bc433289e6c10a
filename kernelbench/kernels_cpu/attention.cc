#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/kernels/cpu/moe_rows.h"
#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/latent_rows.h"
#include "kernelbench/kernels_cpu/split.h"
#include "kernelbench/kernels_cpu/split_attention.h"
#include "kernelbench/kernels_cpu/tables.h"

// Attention: over a paged latent cache, and causal over spelt-out keys and values; and the indexer and the
// choice of entries that go before sparse attention.
namespace dsbench::kernelbench::cpu {
namespace {

class MlaDecode {
 public:
  static constexpr const char* kOp = "mla_decode";
  static bool supports(const Problem& p) { return LatentRows::supports(p); }
  explicit MlaDecode(const Cell& cell)
      : cell_{cell},
        latent_{cell, cell.problem["batch"] * cell.problem["queries"] * cell.problem["heads"]},
        attention_{cell,
                   cell.problem["queries"],
                   cell.problem["heads"],
                   latent_.kv_lora(),
                   latent_.width(),
                   latent_.o(),
                   latent_.fp8()} {}

  void run() {
    const Problem& p = cell_.problem;
    const std::int64_t batch = p["batch"];
    const std::int64_t queries = p["queries"];
    const std::int64_t heads = p["heads"];
    const auto* lengths = cell_.input<std::int32_t>(3);
    // As many splits as make some units for every thread (more where they are uneven), none shorter than some
    // key blocks: each lays its queries out, and has results that are to be joined.
    const std::int64_t units = std::int64_t{batch > 1 ? 4 : 2} * cell_.pool->threads();
    std::int64_t total = 0;
    for (std::int64_t b = 0; b < batch; ++b) total += lengths[b];
    const std::int64_t share = std::max<std::int64_t>(512, total / units);
    attention_.begin();
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t length = lengths[b];
      // The first of them may stand before everything that is in the cache.
      const std::int64_t blind = std::clamp<std::int64_t>(queries - length, 0, queries);
      const std::int64_t first = b * queries * heads;
      const std::int64_t row = first + blind * heads;
      attention_.nothing(first, blind * heads);
      for (std::int64_t r = first; r < row; ++r) latent_.finish(r);
      if (blind == queries) continue;
      kernels::AttentionArgs args = latent_.args(row);
      args.queries = static_cast<std::int32_t>(queries - blind);
      args.first_position = static_cast<std::int32_t>(length - queries + blind);
      args.cache = cell_.in[1].data;
      args.blocks = cell_.input<std::int32_t>(2) + b * cell_.in[2].shape[1];
      args.block_size = static_cast<std::int32_t>(p["block"]);
      // A part must not lie wholly beyond a query: with several queries the end stays in one piece.
      const std::int64_t splits = queries > 1 ? 1 : (length + share - 1) / share;
      attention_.add(args, length, row, splits);
    }
    attention_.run([this](std::int64_t row) { latent_.finish(row); });
  }

 private:
  Cell cell_;
  LatentRows latent_;
  SplitAttention attention_;
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
// they come. Queries are laid out once for all keys, and scores are used where they stand.
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
        v_panels_{(v_ + kernels::kPanel - 1) / kernels::kPanel},
        by_heads_{heads_ >= 4 * cell.pool->threads()},
        // Whole tiles, as queries are laid out in them: eight rows where the processor has AVX-512, elsewhere
        // a few more.
        diagonal_rows_{(8 + cell.table->row_tile_height() - 1) / cell.table->row_tile_height() *
                       cell.table->row_tile_height()} {
    const std::int64_t sets = by_heads_ ? cell.pool->threads() : heads_;
    keys_.grow(sets * blocks_ * kKeys * qk_);
    values_.grow(sets * blocks_ * kKeys * v_panels_ * kernels::kPanel);
    work_.resize(static_cast<std::size_t>(cell.pool->threads()));
    ahead_.resize(work_.size());
    for (kernels::FloatBuffer& one : work_) one.grow(kQueries * (kernels::kScoreStride + qk_ + sum_stride()));
  }

  void run() {
    const std::int64_t tiles = (queries_ + kQueries - 1) / kQueries;
    if (by_heads_) {
      // A thread takes a head, lays its keys and values out for itself and finds them in its cache.
      cell_.pool->run(static_cast<int>(heads_), [&](int head, int thread) {
        for (std::int64_t block = 0; block < blocks_; ++block) pack(head, thread, block);
        // Meanwhile a share of another head's keys and values comes with each tile: most likely that head is
        // its next.
        const std::int64_t next = head + cell_.pool->threads();
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
          const auto share = [&](std::int64_t part) { return context_ * part / tiles; };
          ahead_[static_cast<std::size_t>(thread)] = {next, share(tile), next < heads_ ? share(tile + 1) : 0};
          attend(head, thread, tile, work_[static_cast<std::size_t>(thread)].data(),
                 &ahead_[static_cast<std::size_t>(thread)]);
        }
      });
      return;
    }
    cell_.pool->run(static_cast<int>(heads_ * blocks_),
                    [&](int unit, int) { pack(unit / blocks_, unit / blocks_, unit % blocks_); });
    // The last queries see most: they go first.
    cell_.pool->run(static_cast<int>(heads_ * tiles), [&](int unit, int thread) {
      const std::int64_t head = unit % heads_;
      attend(head, head, tiles - 1 - unit / heads_, work_[static_cast<std::size_t>(thread)].data(), nullptr);
    });
  }

 private:
  static constexpr std::int64_t kQueries = 96;  // a multiple of every height of tiles
  static constexpr std::int64_t kKeys = 128;
  static_assert(kKeys <= kernels::kScoreStride);
  // Rows that lie a power of two apart would fight for the same cache lines.
  [[nodiscard]] std::int64_t sum_stride() const { return (v_ + 15) / 16 * 16 + 16; }

  // Of a head, in the set of buffers that it has.
  float* packed_keys(std::int64_t set, std::int64_t block) {
    return keys_.data() + (set * blocks_ + block) * kKeys * qk_;
  }
  float* packed_values(std::int64_t set, std::int64_t block) {
    return values_.data() + (set * blocks_ + block) * kKeys * v_panels_ * kernels::kPanel;
  }
  [[nodiscard]] const float* key(std::int64_t head, std::int64_t at) const {
    return cell_.input<float>(1) + (at * heads_ + head) * qk_;
  }
  [[nodiscard]] const float* value(std::int64_t head, std::int64_t at) const {
    return cell_.input<float>(2) + (at * heads_ + head) * v_;
  }
  // A head's rows lie far apart, and the processor does not guess where the next one is.
  void ask_for(std::int64_t head, std::int64_t first) const {
    for (std::int64_t at = first; at < std::min(first + kernels::kPanel, context_); ++at) {
      for (std::int64_t i = 0; i < qk_; i += 16) __builtin_prefetch(key(head, at) + i);
      for (std::int64_t i = 0; i < v_; i += 16) __builtin_prefetch(value(head, at) + i);
    }
  }

  // Rows of a head that are asked for some at a time.
  struct Ahead {
    std::int64_t head = 0;
    std::int64_t row = 0;
    std::int64_t end = 0;
  };
  void ask_for_some(Ahead& ahead, std::int64_t rows) const {
    for (const std::int64_t end = std::min(ahead.row + rows, ahead.end); ahead.row < end; ++ahead.row) {
      for (std::int64_t i = 0; i < qk_; i += 16) __builtin_prefetch(key(ahead.head, ahead.row) + i);
      for (std::int64_t i = 0; i < v_; i += 16) __builtin_prefetch(value(ahead.head, ahead.row) + i);
    }
  }

  // Outputs of some queries of this tile, and the queries of the next.
  void ask_for_tile(std::int64_t head, std::int64_t begin, std::int64_t end) const {
    for (std::int64_t q = begin; q < end; ++q) {
      for (std::int64_t i = 0; i < v_; i += 16)
        __builtin_prefetch(cell_.output<float>(0) + (q * heads_ + head) * v_ + i);
      if (q + kQueries >= queries_) continue;
      for (std::int64_t i = 0; i < qk_; i += 16)
        __builtin_prefetch(cell_.input<float>(0) + ((q + kQueries) * heads_ + head) * qk_ + i);
    }
  }

  // Keys as panels [kKeys/16, qk, 16], values as panels [v/16, kKeys, 16]; zeros beyond.
  void pack(std::int64_t head, std::int64_t set, std::int64_t block) {
    const std::int64_t first = block * kKeys;
    const std::int64_t count = std::min(kKeys, context_ - first);
    if (block == 0 || !by_heads_) ask_for(head, first);
    for (std::int64_t t0 = 0; t0 < kKeys; t0 += kernels::kPanel) {
      const std::int64_t there = std::clamp<std::int64_t>(count - t0, 0, kernels::kPanel);
      if (by_heads_ || t0 + kernels::kPanel < kKeys) ask_for(head, first + t0 + kernels::kPanel);
      const float* rows[kernels::kPanel];
      for (std::int64_t t = 0; t < there; ++t) rows[t] = key(head, first + t0 + t);
      cell_.table->lay_out_panel(rows, static_cast<std::int32_t>(there), static_cast<std::int32_t>(qk_),
                                 packed_keys(set, block) + t0 * qk_);
      for (std::int64_t panel = 0; panel < v_panels_; ++panel) {
        const std::int64_t columns = std::min<std::int64_t>(kernels::kPanel, v_ - panel * kernels::kPanel);
        float* to = packed_values(set, block) + (panel * kKeys + t0) * kernels::kPanel;
        for (std::int64_t t = 0; t < kernels::kPanel; ++t, to += kernels::kPanel) {
          if (t >= there || columns < kernels::kPanel) std::fill_n(to, kernels::kPanel, 0.0F);
          if (t >= there) continue;
          const float* const from = value(head, first + t0 + t) + panel * kernels::kPanel;
          if (columns == kernels::kPanel) {
            std::memcpy(to, from, sizeof(float) * kernels::kPanel);  // a size that the compiler knows
          } else {
            std::copy_n(from, columns, to);
          }
        }
      }
    }
  }

  void attend(std::int64_t head, std::int64_t set, std::int64_t tile, float* scores, Ahead* ahead) {
    const std::int64_t q0 = tile * kQueries;
    const std::int64_t rows = std::min(kQueries, queries_ - q0);
    const std::int64_t before = context_ - queries_;  // keys that every query sees
    kernels::SoftmaxStep state[kQueries];
    float* queries = scores + kQueries * kernels::kScoreStride;
    float* sums = queries + kQueries * qk_;
    cell_.table->lay_out_rows(cell_.input<float>(0) + (q0 * heads_ + head) * qk_, heads_ * qk_,
                              static_cast<std::int32_t>(rows), static_cast<std::int32_t>(qk_), queries);
    for (std::int64_t r = 0; r < rows; ++r) {
      state[r].mixed = sums + r * sum_stride();
      state[r].row = scores + r * kernels::kScoreStride;
      state[r].scale = 1 / std::sqrt(static_cast<float>(qk_));
    }
    for (std::int64_t block = 0; block * kKeys <= before + q0 + rows - 1; ++block) {
      const std::int64_t seen = before + q0 + 1 - block * kKeys;  // of this block, by the first query
      if (seen >= kKeys) {
        attend_block(set, block, 0, rows, kKeys, seen, queries, scores, sums, state);
        continue;
      }
      // On the diagonal few rows at a time, each with no more keys than its last one sees.
      for (std::int64_t r = 0; r < rows; r += diagonal_rows_) {
        const std::int64_t count = std::min(diagonal_rows_, rows - r);
        const std::int64_t keys = std::min(kKeys, seen + r + count - 1);
        if (ahead != nullptr) {
          ask_for_some(*ahead, diagonal_rows_);
          ask_for_tile(head, q0 + r, std::min(q0 + r + diagonal_rows_, queries_));
        }
        if (keys > 0) attend_block(set, block, r, count, keys, seen + r, queries, scores, sums, state);
      }
    }
    float* o = cell_.output<float>(0) + (q0 * heads_ + head) * v_;
    for (std::int64_t r = 0; r < rows; ++r) {
      const float inverse = 1 / state[r].sum;
      const float* const row = sums + r * sum_stride();
      cell_.table->combine(&row, &inverse, 1, static_cast<std::int32_t>(v_), o + r * heads_ * v_);
    }
  }

  // `count` queries of the tile from r0 on with the first `keys` of a block, of which the first of them sees
  // `seen`.
  void attend_block(std::int64_t set, std::int64_t block, std::int64_t r0, std::int64_t count,
                    std::int64_t keys, std::int64_t seen, const float* queries, float* scores, float* sums,
                    kernels::SoftmaxStep* state) {
    kernels::GemmArgs args;
    args.a = queries + r0 * qk_;
    args.layout = kernels::RowLayout::tiles;
    args.m = static_cast<std::int32_t>(count);
    args.w = packed_keys(set, block);
    args.n = static_cast<std::int32_t>(keys);
    args.k = static_cast<std::int32_t>(qk_);
    args.panel_end = static_cast<std::int32_t>((keys + kernels::kPanel - 1) / kernels::kPanel);
    args.c = scores + r0 * kernels::kScoreStride;
    args.ldc = kernels::kScoreStride;
    cell_.table->gemm(args);
    for (std::int64_t r = r0; r < r0 + count; ++r) {
      kernels::SoftmaxStep& step = state[r];
      step.count = static_cast<std::int32_t>(keys);
      step.visible = static_cast<std::int32_t>(std::clamp<std::int64_t>(seen + r - r0, 0, keys));
      step.columns = static_cast<std::int32_t>(block > 0 ? v_ : 0);  // before that there are no sums
    }
    cell_.table->softmax_steps(state + r0, static_cast<std::int32_t>(count));
    args.a = scores + r0 * kernels::kScoreStride;
    args.layout = kernels::RowLayout::scores;
    args.w = packed_values(set, block);
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
  bool by_heads_;
  std::int64_t
      diagonal_rows_;  // that are attended to together where not all of them see a whole block of keys
  kernels::FloatBuffer keys_;
  kernels::FloatBuffer values_;
  std::vector<kernels::FloatBuffer> work_;
  std::vector<Ahead> ahead_;  // of each thread
};

}  // namespace

void add_attention(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<MlaDecode>::table("cpu_split"));
  kernels.push_back(Adapter<MlaPrefill>::table("cpu_tiles"));
  kernels.push_back(Adapter<Indexer>::table("cpu_tiles"));
  kernels.push_back(Adapter<TopK>::table("cpu_radix"));
}

}  // namespace dsbench::kernelbench::cpu
