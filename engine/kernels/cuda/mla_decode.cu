#include "engine/kernels/cuda/mla_decode.h"

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_pieces.cuh"
#include "engine/kernels/cuda/mla_turn.cuh"
#include "engine/kernels/cuda/mla_workspace.h"
#include "engine/kernels/cuda/split_plan.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/warp_scan.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int block_threads = mla_threads;
constexpr int entry_threads = 8;                // that copy an entry, 128 bytes at a time, and make it bf16
constexpr int row_chunks = mla_width * 2 / 16;  // 72 pieces of 16 bytes in a row of the cache
constexpr int raw_chunks = mla_fp8_bytes / 16;  // of an entry of an FP8 cache

// Blocks of the requests before each one.
DSB_KERNEL(32, 1)
mla_first_blocks_kernel(const std::int32_t* lengths, int fixed_length, int requests, int* first) {
  simt::launch_next();
  prefix_of(first, requests,
            [&](int r) { return ceil_div(lengths != nullptr ? lengths[r] : fixed_length, mla_block); });
}

// The cache of one request.
template <bool kSparse, bool kFp8>
struct MlaContext {
  const MlaDecodeArgs& args;
  int request;
  int length;

  // What lies beyond the length is never read: it may be NaN, and 0 · NaN would reach the output.
  DSB_DEVICE void fetch(int kv_block, unsigned char* to) const {
    if constexpr (kFp8 && !kSparse)
      fetch_page(kv_block, to);
    else
      fetch_entries(kv_block, to);
  }

  // A page of an FP8 cache as it lies there.
  DSB_DEVICE void fetch_page(int kv_block, unsigned char* to) const {
    constexpr int page_bytes = mla_block * mla_fp8_bytes;
    const int left = (length - kv_block * mla_block) * mla_fp8_bytes;
    const unsigned char* const page = static_cast<const unsigned char*>(args.cache) +
                                      static_cast<long long>(page_at(kv_block)) * page_bytes;
    DSB_UNROLL
    for (int i = 0; i < page_bytes; i += block_threads * 16) {
      const int at = i + simt::thread() * 16;
      if (at < page_bytes) simt::copy_async(to + at, page + at, at < left);
    }
  }

  DSB_DEVICE void fetch_entries(int kv_block, unsigned char* to) const {
    constexpr int at_once = block_threads / entry_threads;
    static_assert(mla_block == 2 * at_once);
    fetch_entry(kv_block, simt::thread() / entry_threads, to);
    fetch_entry(kv_block, simt::thread() / entry_threads + at_once, to);
  }

  // Eight threads to an entry, which copy 128 bytes of it at a time, whole sectors of memory to all banks: an
  // entry of 656 bytes that begins in the middle of a sector has 16 less in its first turn.
  DSB_DEVICE void fetch_entry(int kv_block, int row, unsigned char* to) const {
    constexpr int entry_chunks = kFp8 ? raw_chunks : row_chunks;
    const int at = kv_block * mla_block + row;
    bool valid = at < length;
    long long from = 0;
    if (valid) {
      if constexpr (kSparse) {
        const int id = args.ids[static_cast<long long>(request) * args.top_k + at];
        valid = id >= 0;
        from = valid ? id : 0;
      } else {
        from = static_cast<long long>(page_at(kv_block)) * mla_block + row;
      }
    }
    const int first = simt::thread() % entry_threads - (kFp8 ? static_cast<int>(from % 2) : 0);
    const unsigned char* const entry =
        static_cast<const unsigned char*>(args.cache) + (from * entry_chunks + first) * 16;
    unsigned char* const place =
        to + (kFp8 ? (row * entry_chunks + first) * 16 : swizzled_offset(row, first, row_chunks));
    constexpr int last = ceil_div(entry_chunks, entry_threads) * entry_threads - entry_threads;
    if (!kFp8 || first >= 0) simt::copy_async(place, entry, valid);
    DSB_UNROLL
    for (int chunk = entry_threads; chunk < last; chunk += entry_threads)
      simt::copy_async(place + chunk * 16, entry + chunk * 16, valid);
    if (!kFp8 || last + first < entry_chunks) simt::copy_async(place + last * 16, entry + last * 16, valid);
  }
  [[nodiscard]] DSB_DEVICE int page_at(int kv_block) const {
    return args.block_table[static_cast<long long>(request) * args.max_blocks + kv_block];
  }
  [[nodiscard]] DSB_DEVICE int seen_by(int row) const {
    return kSparse ? length : length - args.queries + 1 + row / args.heads;
  }
  [[nodiscard]] DSB_DEVICE bool hole(int at) const {
    return kSparse && args.ids[static_cast<long long>(request) * args.top_k + at] < 0;
  }
};

template <bool kSparse, bool kFp8>
struct MlaCache {
  static constexpr int width = mla_width;
  static constexpr int raw_bytes = kFp8 ? mla_block * mla_fp8_bytes : 0;
  static constexpr float score_scale = 0.07216878364870322056f;  // 192^−0.5: the width before absorption
  static constexpr bool plain = true;
  const MlaDecodeArgs& args;

  [[nodiscard]] DSB_DEVICE MlaContext<kSparse, kFp8> of(int request) const {
    return {args, request, kSparse ? args.top_k : args.lengths[request]};
  }
  // A page of an FP8 cache to the tile of bf16. Entries that were not read are zeros, their scales too.
  static DSB_DEVICE void dequantise(unsigned char* kv, const unsigned char* raw) {
    constexpr int code_chunks = mla_latent / 16;
    static_assert(entry_threads * 16 == 128 && entry_threads == mla_rope * 2 / 16);  // a scale to each turn
    const int first = simt::thread() % entry_threads;
    DSB_NO_UNROLL
    for (int row0 = 0; row0 < mla_block; row0 += block_threads / entry_threads) {
      const int row = row0 + simt::thread() / entry_threads;
      const unsigned char* const entry = raw + row * mla_fp8_bytes;
      DSB_UNROLL
      for (int chunk = 0; chunk < code_chunks; chunk += entry_threads) {
        const float scale = *reinterpret_cast<const float*>(entry + mla_scales_at + chunk / 8 * 4);
        store_scaled(kv, simt::load16(entry + (chunk + first) * 16), scale, row, chunk + first, row_chunks);
      }
      simt::store16(kv + swizzled_offset(row, mla_latent * 2 / 16 + first, row_chunks),
                    simt::load16(entry + mla_rope_at + first * 16));
    }
  }
};

template <int kRowTiles, bool kSparse, bool kFp8>
DSB_KERNEL(block_threads, 1)
mla_decode_kernel(MlaDecodeArgs args, const int* first, MlaPartials outputs) {
  simt::wait_for_previous();
  simt::launch_next();
  attend_part<kRowTiles>(MlaCache<kSparse, kFp8>{args}, mla_rows(args), first, outputs);
}

// Joins the pieces of a row; a warp to a row. Rows of requests without cache get zeros; those in one piece
// are done already.
DSB_KERNEL(block_threads, 4)
mla_combine_kernel(MlaRows given, const int* first, MlaPartials outputs, int parts) {
  simt::wait_for_previous();
  const int lane = simt::thread() % 32;
  const int rows = given.queries * given.heads;
  const long long out_row =
      static_cast<long long>(simt::block_x()) * (block_threads / 32) + simt::thread() / 32;
  if (out_row >= static_cast<long long>(given.requests) * rows) return;
  const int request = static_cast<int>(out_row / rows);
  const int row = static_cast<int>(out_row % rows);
  const int per_part = part_blocks(first[given.requests], parts);
  const KvPiece range = parts_of(per_part, first[request], first[request + 1] - first[request]);
  const int pieces = range.end - range.begin;
  if (pieces == 1) return;

  float top = -simt::infinity();
  for (int i = lane; i < pieces; i += 32)
    top = simt::larger(
        top,
        outputs.partial_lse[static_cast<long long>(partial_slot(range.begin + i, request)) * rows + row]);
  top = largest_over(top, 32);
  const float base = top == -simt::infinity() ? 0.0f : top;
  float sum = 0;
  constexpr int runs = mla_latent / 128;
  float o[runs][4] = {};  // of each 128 columns the four from 4·lane on
  for (int i = 0; i < pieces; ++i) {
    const long long slot_row = static_cast<long long>(partial_slot(range.begin + i, request)) * rows + row;
    const float weight = simt::exp_e(outputs.partial_lse[slot_row] - base);
    sum += weight;
    DSB_UNROLL
    for (int run = 0; run < runs; ++run) {
      float v[4];
      load_vector(outputs.partial_o + slot_row * mla_latent + run * 128 + lane * 4, v);
      DSB_UNROLL
      for (int k = 0; k < 4; ++k) o[run][k] += weight * v[k];
    }
  }
  const float weights = given.sink == nullptr ? sum : sum + simt::exp_e(given.sink[row % given.heads] - base);
  const float inverse = sum > 0 ? simt::divide(1.0f, weights) : 0.0f;
  DSB_UNROLL
  for (int run = 0; run < runs; ++run) {
    DSB_UNROLL
    for (int k = 0; k < 4; ++k) o[run][k] *= inverse;
    const int rotary = run * 128 + lane * 4 - (mla_latent - mla_rope);
    DSB_UNROLL
    for (int k = 0; k < 4 && given.turn != nullptr && rotary >= 0; k += 2)
      turn_back(given.turn, request, (rotary + k) / 2, o[run][k], o[run][k + 1]);
    simt::store8(static_cast<Bf16*>(given.o) + out_row * mla_latent + run * 128 + lane * 4,
                 simt::to_bf16x2(o[run][0], o[run][1]), simt::to_bf16x2(o[run][2], o[run][3]));
  }
  if (lane == 0) given.lse[out_row] = sum > 0 ? base + simt::log_e(sum) : -simt::infinity();
}

template <bool kSparse, bool kFp8>
Status start(const MlaDecodeArgs& args, const MlaDecodePlan& plan, const int* first,
             const MlaPartials& outputs, void* stream) {
  return start_parts<MlaCache<kSparse, kFp8>>(
      plan, [](auto row_tiles) { return &mla_decode_kernel<decltype(row_tiles)::value, kSparse, kFp8>; },
      stream, args, first, outputs);
}

}  // namespace

Status mla_first_blocks(const MlaDecodeArgs& args, int* first, void* stream) {
  return launch(&mla_first_blocks_kernel, LaunchShape{{1, 1}, 32, 0}, stream,
                args.ids != nullptr ? nullptr : args.lengths, args.top_k, args.requests, first);
}

Status mla_combine(const MlaRows& given, const int* first, const MlaPartials& outputs, int parts,
                   void* stream) {
  const std::int64_t rows = static_cast<std::int64_t>(given.requests) * given.queries * given.heads;
  const LaunchShape shape{
      {static_cast<unsigned>(ceil_div<std::int64_t>(rows, block_threads / 32)), 1}, block_threads, 0, true};
  return launch(&mla_combine_kernel, shape, stream, given, first, outputs, parts);
}

Status mla_decode(const MlaDecodeArgs& args, void* stream) {
  if (args.requests == 0 || args.queries == 0 || args.heads == 0) return 0;
  const MlaDecodePlan plan = plan_mla_decode(args, device_shape());
  const MlaWorkspace at = mla_workspace(args, plan);
  const MlaPartials outputs = mla_partials(args, at);
  int* const first = static_cast<int*>(args.workspace);
  Status status = mla_first_blocks(args, first, stream);
  const bool sparse = args.ids != nullptr;
  const auto start_kernel = sparse ? (args.fp8_cache ? &start<true, true> : &start<true, false>)
                                   : (args.fp8_cache ? &start<false, true> : &start<false, false>);
  if (status == 0) status = start_kernel(args, plan, first, outputs, stream);
  return status != 0 ? status : mla_combine(args, first, outputs, plan.parts, stream);
}

}  // namespace dsbench::engine::kernels::cuda
