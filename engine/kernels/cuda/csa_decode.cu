#include "engine/kernels/cuda/csa_decode.h"

#include "engine/kernels/cuda/csa_entries.cuh"
#include "engine/kernels/cuda/csa_steps.h"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_pieces.cuh"
#include "engine/kernels/cuda/warp_scan.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

static_assert(csa_width == mla_latent, "the pieces' output is a whole entry");

constexpr int row_chunks = csa_width * 2 / 16;
constexpr int data_chunks = csa_data_bytes / 16;
constexpr int row_threads = mla_threads / mla_block;  // that fetch a row, and make it bf16

DSB_KERNEL(32, 1)
csa_first_blocks_kernel(CsaDecodeArgs args, int* first) {
  simt::launch_next();
  prefix_of(first, args.requests, [&](int r) { return ceil_div(csa_list(args, r).count, mla_block); });
}

template <bool kFp8>
struct CsaContext {
  const CsaDecodeArgs& args;
  int request;
  CsaList list;

  [[nodiscard]] DSB_DEVICE int seen_by(int /*row*/) const { return list.count; }
  [[nodiscard]] DSB_DEVICE bool hole(int at) const { return at >= list.recent && named(at) < 0; }

  DSB_DEVICE void fetch(int kv_block, unsigned char* to) const {
    const int row = simt::thread() / row_threads;
    const Place place = place_of(kv_block * mla_block + row);
    const int first = simt::thread() % row_threads;
    if constexpr (kFp8) {
      DSB_UNROLL_4
      for (int chunk = first; chunk < data_chunks; chunk += row_threads)
        simt::copy_async(to + (row * data_chunks + chunk) * 16, place.data + chunk * 16, place.there);
    } else {
      // Of the two rows that eight lanes copy at once the odd one begins with its other half of eight chunks:
      // so they meet all banks.
      static_assert(row_threads == 4);
      DSB_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int chunk = first ^ ((row + half) % 2 * 4);
        DSB_UNROLL_4
        for (int eight = 0; eight < row_chunks; eight += 8)
          simt::copy_async(to + swizzled_offset(row, chunk, row_chunks) + eight * 16,
                           place.data + (chunk + eight) * 16, place.there);
      }
    }
    if (kFp8 && simt::thread() % row_threads == 0)
      simt::copy_async8(to + mla_block * csa_data_bytes + row * csa_scale_bytes, place.scales, place.there);
  }

 private:
  // Where an entry lies. What nobody sees is never read: it may be NaN, and 0 · NaN would reach the output.
  struct Place {
    const unsigned char* data;
    const unsigned char* scales;  // fp8
    bool there;
  };
  [[nodiscard]] DSB_DEVICE int named(int at) const {
    return args.ids[static_cast<long long>(request) * args.listed + at - list.recent];
  }
  [[nodiscard]] DSB_DEVICE Place place_of(int at) const {
    const bool near = at < list.recent;
    const int id = near ? at : at < list.count ? named(at) : -1;
    const int entries = near ? args.window_entries : args.page_entries;
    const auto* const pages = static_cast<const unsigned char*>(near ? args.window : args.compressed);
    const bool there = id >= 0;
    if constexpr (!kFp8) {
      const long long row = (near ? static_cast<long long>(request) * entries : 0) + (there ? id : 0);
      return {pages + row * (row_chunks * 16), nullptr, there};
    }
    const int page = near ? request : there ? id / entries : 0;
    const int slot = near ? at : there ? id % entries : 0;
    const unsigned char* const begin = pages + page * csa_page_bytes(entries);
    return {begin + slot * csa_data_bytes, begin + entries * csa_data_bytes + slot * csa_scale_bytes, there};
  }
};

template <bool kFp8>
struct CsaCache {
  static constexpr int width = csa_width;
  static constexpr int raw_bytes = kFp8 ? mla_block * (csa_data_bytes + csa_scale_bytes) : 0;
  static constexpr float score_scale = 0.04419417382415922028f;  // 512^−0.5
  static constexpr bool plain = false;
  const CsaDecodeArgs& args;

  [[nodiscard]] DSB_DEVICE CsaContext<kFp8> of(int request) const {
    return {args, request, csa_list(args, request)};
  }

  // Entries that were not read are zeros.
  static DSB_DEVICE void dequantise(unsigned char* kv, const unsigned char* raw) {
    const int row = simt::thread() / row_threads;
    const int first = simt::thread() % row_threads;
    const unsigned char* const data = raw + row * csa_data_bytes;
    const unsigned char* const scales = raw + mla_block * csa_data_bytes + row * csa_scale_bytes;
    static_assert(row_threads * 16 == csa_tile);  // so a turn has a scale
    DSB_UNROLL_4
    for (int turn = 0; turn < csa_codes / csa_tile; ++turn) {
      const int chunk = turn * row_threads + first;
      store_scaled(kv, simt::load16(data + chunk * 16), csa_scale(scales[turn]), row, chunk, row_chunks);
    }
    // A whole row's by eight lanes, which so meet all banks on either side.
    constexpr int rope_chunks = csa_rope * 2 / 16;
    DSB_NO_UNROLL
    for (int c = simt::thread(); c < mla_block * rope_chunks; c += mla_threads) {
      const int to = c / rope_chunks;
      const int chunk = c % rope_chunks;
      simt::store16(kv + swizzled_offset(to, csa_codes * 2 / 16 + chunk, row_chunks),
                    simt::load16(raw + to * csa_data_bytes + csa_codes + chunk * 16));
    }
  }
};

template <int kRowTiles, bool kFp8>
DSB_KERNEL(mla_threads, 1)
csa_decode_kernel(CsaDecodeArgs args, MlaRows rows, const int* first, MlaPartials outputs) {
  simt::wait_for_previous();
  simt::launch_next();
  attend_part<kRowTiles>(CsaCache<kFp8>{args}, rows, first, outputs);
}

template <bool kFp8>
Status start(const CsaDecodeArgs& args, const MlaDecodePlan& plan, const int* first,
             const MlaPartials& outputs, void* stream) {
  return start_parts<CsaCache<kFp8>>(
      plan, [](auto row_tiles) { return &csa_decode_kernel<decltype(row_tiles)::value, kFp8>; }, stream, args,
      csa_rows(args), first, outputs);
}

}  // namespace

Status csa_first_blocks(const CsaDecodeArgs& args, int* first, void* stream) {
  return launch(&csa_first_blocks_kernel, LaunchShape{{1, 1}, 32, 0}, stream, args, first);
}

std::size_t csa_decode_workspace_bytes(const CsaDecodeArgs& args) {
  return mla_decode_workspace_bytes(csa_shape(args));
}

Status csa_decode(const CsaDecodeArgs& args, void* stream) {
  if (args.requests == 0 || args.heads == 0) return 0;
  const MlaDecodeArgs shape = csa_shape(args);
  const MlaDecodePlan plan = plan_mla_decode(shape, device_shape());
  const MlaPartials outputs = mla_partials(shape, mla_workspace(shape, plan));
  int* const first = static_cast<int*>(args.workspace);
  Status status = csa_first_blocks(args, first, stream);
  if (status == 0)
    status = args.fp8_cache ? start<true>(args, plan, first, outputs, stream)
                            : start<false>(args, plan, first, outputs, stream);
  return status != 0 ? status : mla_combine(csa_rows(args), first, outputs, plan.parts, stream);
}

}  // namespace dsbench::engine::kernels::cuda
