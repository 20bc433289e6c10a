#pragma once

#include <cstdint>

#include "engine/kernels/kv_type.h"
#include "engine/kernels/weight_type.h"

// The vectorised kernels, built several times for different instruction sets and chosen when the program
// runs.
//
// Every output element is reduced in one fixed order that depends on its own operands only: not on how many
// rows are computed beside it, not on which thread does it, not on how a prompt was cut into chunks. So
// batched equals one by one, and preempted equals never preempted, bit for bit. Lanes hold different output
// elements and the reduction runs in sequence, or over 16 partial sums that are folded as one fixed tree. The
// AVX2 and AVX-512 builds agree bit for bit as well; the baseline build has no fused multiply-add and rounds
// differently. With bf16 weights a product is, bit for bit, the fp32 product with the rounded weights; with
// int8 weights its sums are whole numbers, so that no order matters and all builds agree.
namespace dsbench::engine::kernels::cpu {

inline constexpr std::int32_t kPanel =
    16;  // columns of a packed weight panel, and the unit that row counts are padded to

// Rows of activations in int8: x ≈ value · scale, with |value| ≤ 127.
struct QuantisedRows {
  const std::int8_t* values = nullptr;  // [·, stride], zeros from k up to a multiple of 4
  std::int64_t stride = 0;              // a multiple of 4
  const float* scale = nullptr;         // [·]
  const std::int32_t* sum = nullptr;    // [·]: Σ values
};

// The longest row of an int8 product: 255·127·k must fit into an int32.
inline constexpr std::int32_t kLongestInt8Row = 65536;

// How the rows of a lie. Laying them out takes a tenth of a product with few columns: who multiplies the same rows more
// than once does it once, and rows a known way apart do without.
enum class RowLayout {
  rows,    // [·, lda]
  tiles,   // as lay_out_rows() does
  scores,  // kScoreStride apart, and readable up to a whole tile
};
inline constexpr std::int32_t kScoreStride = 144;  // not a power of two: such rows fight for the same cache lines

// c[m,n] = Σ_k a[row(m),k]·w[n,k] for the panels [panel_begin, panel_end) of n.
struct GemmArgs {
  const float* a = nullptr;  // [·, k]; of fp32 and bf16 weights
  std::int64_t lda = 0;
  QuantisedRows q;                     // of int8 weights, in place of a
  const std::int32_t* rows = nullptr;  // [m], which row of a; null: row m
  std::int32_t m = 0;
  WeightType type = WeightType::fp32;
  const void* w = nullptr;         // packed (see packed_matrix.h)
  const float* w_scale = nullptr;  // [n up to a whole panel]; of int8 weights
  std::int32_t n = 0;
  std::int32_t k = 0;
  std::int32_t w_depth = 0;  // steps of k that a panel holds, where they are more than k; not of int8 weights
  std::int32_t panel_begin = 0;
  std::int32_t panel_end = 0;
  float* c = nullptr;  // [m, n]
  std::int64_t ldc = 0;
  bool add = false;  // c += instead of c =; not of int8 weights
  RowLayout layout = RowLayout::rows;  // others with fp32 weights only
};

// Rows of bf16 or e4m3 as products with half-width weights take them: tiles of `height` rows, words of two steps of k
// beside each other, the even step in the low half, codes of e4m3 made bf16; zeros in the place of rows beyond m.
struct HalfRows {
  std::int32_t m = 0;
  std::int32_t k = 0;
  std::int32_t height = 0;         // KernelTable::half_tile_height(m)
  std::uint32_t* words = nullptr;  // [tiles, (k+1)/2, height]
  float* scale = nullptr;          // of e4m3: [tiles, k/128, height]

  [[nodiscard]] std::int32_t tiles() const { return (m + height - 1) / height; }
};

// Lays out the tiles [tile_begin, tile_end).
struct HalfLayoutArgs {
  const void* a = nullptr;  // [m, lda]: bf16, or e4m3 where there are scales
  std::int64_t lda = 0;
  const float* a_scale = nullptr;  // [m, k/128]
  HalfRows to;
  std::int32_t tile_begin = 0;
  std::int32_t tile_end = 0;
};

// c[m,n] = Σ_k a·w in bf16, summed in fp32, for the panels [panel_begin, panel_end) of n. With scales a and w are e4m3
// and k is a multiple of 128: c = Σ_blocks (Σ_128 a·w)·a_scale·w_scale.
struct HalfGemmArgs {
  HalfRows rows;
  const void* w = nullptr;         // bf16 as PackedMatrix; e4m3 [panel, k/2, 16, 2] bytes
  const float* w_scale = nullptr;  // [⌈n/128⌉, k/128]
  std::int32_t n = 0;
  std::int32_t panel_begin = 0;
  std::int32_t panel_end = 0;
  std::uint16_t* c = nullptr;  // [m, ldc]
  std::int64_t ldc = 0;
};

// Entries of an FP8 cache for queries in bf16: codes of e4m3, each worth code · scale to the nearest bf16, and the rest
// of an entry's numbers in bf16.
struct CodedEntries {
  std::int32_t codes = 0;    // from an entry's first byte on; a multiple of `group`
  std::int32_t group = 0;    // codes that share a scale; a multiple of 64
  std::int32_t rest_at = 0;  // bytes
  // Gives the scales of an entry, codes/group ≤ kMostScales of them.
  void (*scales)(const void* context, const void* entry, float* to) = nullptr;
  const void* context = nullptr;
};
inline constexpr std::int32_t kMostScales = 32;

// Absorbed latent attention of consecutive queries of one sequence over its paged cache (one layer).
struct AttentionArgs {
  const float* q = nullptr;  // [queries, heads, width]: the absorbed query, then the turned rotary part
  float* out = nullptr;      // [queries, heads, kv_lora]
  std::int32_t queries = 0;
  std::int32_t heads = 0;
  std::int32_t kv_lora = 0;
  std::int32_t width = 0;  // kv_lora + rope: floats per cache slot
  std::int32_t first_position =
      0;  // query i stands at first_position + i and sees the positions up to its own
  float scale = 1;
  const void* cache = nullptr;           // [block, slot]; 64 bytes behind its end must be readable
  const std::int32_t* blocks = nullptr;  // block table of the sequence
  std::int32_t block_size = 0;
  float* scratch = nullptr;    // attention_scratch() floats
  float* lse = nullptr;        // [queries, heads]: ln Σ e^score of what was seen; null: not wanted
  std::int32_t positions = 0;  // of the block table; > 0: no more than these are there, whoever may see more
  // An entry of the cache. fp32: `width` floats, and the rest need not be set; else as kv_layout.h has it.
  KvType kv_type = KvType::fp32;
  std::int64_t slot_bytes = 0;
  std::int32_t scales_at = 0;
  std::int32_t rope_at = 0;
  // Where entries stand one by one, in place of a cache and a block table; or null.
  const void* const* entries = nullptr;
  // Or entries of codes, for queries in bf16, which stand in half_q in place of q; slot_bytes are what is read of an
  // entry. Scratch as for fp8. Where the processor multiplies bf16, products are of bf16, weights rounded to it too, and
  // sums are fp32; else all is fp32.
  const CodedEntries* coded = nullptr;
  const std::uint16_t* half_q = nullptr;  // [queries, heads, width]
};

// Indexer of sparse attention: logits of the positions [begin, end) of one sequence (one query),
// k_scale[s]·Σ_h weights[h]·relu(q[h]·k[s]).
struct IndexerArgs {
  const float* q = nullptr;        // [dim, heads up to a whole panel], turned over, zeros beyond heads
  const float* weights = nullptr;  // [heads up to a whole panel], zeros beyond
  std::int32_t heads = 0;
  std::int32_t dim = 0;
  const float* k = nullptr;        // [·, dim]
  const float* k_scale = nullptr;  // [·]
  std::int32_t begin = 0;
  std::int32_t end = 0;
  float* logits = nullptr;  // [·]
};

// Turns the pairs of `heads` rows [heads, width] by one position's angles: y = (a·cos − b·sin, a·sin + b·cos).
struct RopeArgs {
  const float* x = nullptr;
  std::int32_t heads = 0;
  std::int32_t width = 0;        // even, at most kMaxRope
  const float* turns = nullptr;  // [width]: cosines of the pairs, then their sines
  bool halves = false;           // pairs (i, i + width/2); else (2i, 2i + 1)
  float* y = nullptr;
};
inline constexpr std::int32_t kMaxRope = 512;

// A row of scores joins a softmax that goes over blocks of keys.
struct SoftmaxStep {
  float* row = nullptr;  // [count]: scores in, weights e^(scale·score − largest) out, zeros from visible on
  std::int32_t count = 0;
  std::int32_t visible = 0;  // ≤ count
  float scale = 1;
  float largest = -3.4e38F;  // so far; and, after the step, with this block
  float sum = 0;             // of the weights so far
  float rescale = 1;         // out: what sums over earlier blocks are to be multiplied with
  float* mixed = nullptr;    // [columns]: such sums, which it multiplies; or null
  std::int32_t columns = 0;
};

// Hyper-connections (DeepSeek-V4): a token is four streams, one after the other, and has 24 mixes of them.
inline constexpr std::int32_t kStreams = 4;
inline constexpr std::int32_t kMixes = kStreams * (2 + kStreams);
inline constexpr std::int32_t kMixTokens = 8;   // that share a reading of fn, and stay in the second-level cache
inline constexpr std::int32_t kMixBlock = 256;  // steps of k for which all columns stay in the first-level cache

// mix = x/√(mean x² + 1e-6)·fnᵀ·scale + base; pre = σ + 1e-6 of the first four, post = 2σ of the next, comb = the other
// 16 balanced as docs/kernels.md has it.
struct MixArgs {
  const float* x = nullptr;     // [tokens, depth]
  const float* next = nullptr;  // the tokens after these, asked for towards the end; or x
  std::int32_t tokens = 0;      // at most kMixTokens
  std::int32_t depth = 0;       // of a token: all four streams
  const float* fn = nullptr;    // [⌈depth/kMixBlock⌉, 24, kMixBlock], zeros beyond depth
  const float* scale = nullptr;  // [3]: of pre, post and comb
  const float* base = nullptr;   // [24]
  float* pre = nullptr;          // [tokens, 4]
  float* post = nullptr;         // [tokens, 4]
  float* comb = nullptr;         // [tokens, 4, 4]
};

// Rows join sums of values that each column weights by a softmax of its own, of gate + bias.
struct GatedRows {
  const float* const* values = nullptr;  // [count] rows of n
  const float* const* gates = nullptr;
  const float* const* biases = nullptr;
  std::int32_t count = 0;  // at most kMostGated
  std::int32_t n = 0;
  std::int64_t ahead = 0;    // bytes from a row of values or gates to what is asked for beside it
  bool first = false;        // of an entry: what stands in the sums is not read
  float* largest = nullptr;  // [n up to a panel] each: the largest gate + bias so far,
  float* sums = nullptr;     // Σ e^(gate + bias − largest),
  float* mixed = nullptr;    // and that of its products with the values
};
inline constexpr std::int32_t kMostGated = 8;

struct KernelTable {
  const char* name;  // "avx512bf16", "avx512vnni", "avx512", "avx2", "baseline"
  void (*gemm)(const GemmArgs& args);
  void (*attention)(const AttentionArgs& args);
  // y = x / sqrt(mean(x²) + eps) · weight; x and y may be the same.
  void (*rms_norm)(const float* x, const float* weight, float eps, std::int32_t n, float* y);
  // gate = silu(gate) · up.
  void (*swiglu)(float* gate, const float* up, std::int32_t n);
  void (*sigmoid)(float* x, std::int32_t n);
  void (*softmax)(float* x, std::int32_t n);
  // x[n] ≈ q · the scale that comes back: the largest magnitude becomes 127; zeros up to a multiple of 4.
  float (*quantise)(const float* x, std::int32_t n, std::int8_t* q, std::int32_t* sum);
  // sum = x + residual, y = rms_norm(sum).
  void (*add_rms_norm)(const float* x, const float* residual, const float* weight, float eps, std::int32_t n,
                       float* sum, float* y);
  // y = silu(gate) · up.
  void (*swiglu_to)(const float* gate, const float* up, std::int32_t n, float* y);
  // y = Σ_j weights[j] · rows[j][0, n).
  void (*combine)(const float* const* rows, const float* weights, std::int32_t count, std::int32_t n,
                  float* y);
  // n values with one scale, max(largest magnitude, 1e-4)/448: the e4m3 codes nearest to x / scale.
  float (*quantise_e4m3)(const float* x, std::int32_t n, std::uint8_t* codes);
  void (*indexer)(const IndexerArgs& args);
  void (*softmax_steps)(SoftmaxStep* steps, std::int32_t count);  // rows of their own
  // y = x, from bf16.
  void (*widen)(const std::uint16_t* x, std::int32_t n, float* y);
  // y = x to the nearest bf16, ties to even.
  void (*narrow)(const float* x, std::int32_t n, std::uint16_t* y);
  // An entry of a cache (see AttentionArgs) as kv_lora + rope floats: what attention computes with.
  void (*widen_entry)(const AttentionArgs& args, const void* entry, float* y);
  // `count` ≤ 16 rows as a panel of fp32 weights, [depth, 16]; zeros in the place of rows that are not there.
  void (*lay_out_panel)(const float* const* rows, std::int32_t count, std::int32_t depth, float* to);
  // Products in bf16 and e4m3: how many rows a tile has, rows laid out in tiles, tiles times panels.
  std::int32_t (*half_tile_height)(std::int32_t m);
  void (*lay_out_half)(const HalfLayoutArgs& args);
  void (*gemm_half)(const HalfGemmArgs& args);
  // Groups of 128 values of x, or of silu(x)·up where up is given, from bf16: codes and scales as quantise_e4m3's.
  void (*quantise_groups)(const std::uint16_t* x, const std::uint16_t* up, std::int32_t groups, std::uint8_t* codes,
                          float* scales);
  void (*rope)(const RopeArgs& args);
  // Scores of groups of experts, `size` values each, a multiple of 16: the largest plus, where `two`, the second.
  void (*group_scores)(const float* x, std::int32_t groups, std::int32_t size, bool two, float* scores);
  // The k largest of x[n], n a multiple of 16, largest first; the lowest index wins a tie. x is masked where taken.
  void (*take_largest)(float* x, std::int32_t n, std::int32_t k, std::int32_t* ids);
  void (*mix_streams)(const MixArgs& args);
  void (*add_gated)(const GatedRows& rows);
  // Codes · scale to the nearest bf16, as floats; n a multiple of 16.
  void (*widen_e4m3_rounded)(const std::uint8_t* codes, float scale, std::int32_t n, float* y);
  // Rows [m, lda] as [⌈m/row_tile_height()⌉, k, row_tile_height()], zeros beyond m.
  std::int32_t (*row_tile_height)();
  void (*lay_out_rows)(const float* a, std::int64_t lda, std::int32_t m, std::int32_t k, float* to);
};

// Floats of scratch for attention, however long the context.
[[nodiscard]] std::int64_t attention_scratch(std::int32_t queries, std::int32_t heads, std::int32_t width,
                                             KvType kv_type = KvType::fp32);

// The fastest that this processor runs.
[[nodiscard]] const KernelTable& kernels();

// All that this processor runs, fastest first: for tests. Ends with null.
[[nodiscard]] const KernelTable* const* all_kernels();

}  // namespace dsbench::engine::kernels::cpu
