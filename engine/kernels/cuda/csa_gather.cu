#include "engine/kernels/cuda/csa_gather.h"

#include "engine/kernels/cuda/csa_entries.cuh"
#include "engine/kernels/cuda/csa_steps.h"
#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_bring_named.cuh"
#include "engine/kernels/cuda/mla_fp8.cuh"
#include "engine/kernels/cuda/mla_named.cuh"
#include "engine/kernels/cuda/mla_seesaw.cuh"
#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/mla_workspace.h"
#include "engine/kernels/cuda/swizzle.h"

namespace dsbench::engine::kernels::cuda {

namespace {

static_assert(csa_width == mla_latent, "the output is a whole entry");

constexpr int csa_boxes = csa_width / box_columns;

// Where an entry of an FP8 cache lies; null where there is none.
struct CsaEntry {
  const unsigned char* data;
  const unsigned char* scales;
};

// A quarter of a page, 16 entries, as a warpgroup holds it (see CacheQuarter): eight threads to an entry,
// which take 128 bytes of it at a time.
struct CsaQuarter {
  static constexpr int entry_threads = 8;
  static constexpr int code_chunks = csa_codes / 16;
  static constexpr int turns = ceil_div(code_chunks, entry_threads);
  static constexpr int turns_of_scale = csa_tile / 16;  // chunks that share one
  static_assert(group_threads / entry_threads == mla_block / 4 && csa_rope * 2 / 16 == entry_threads);

  Bytes16 codes[turns];
  Bytes16 rope;
  std::uint32_t scales[csa_scale_bytes / 4];

  DSB_DEVICE static bool has(int turn, int thread) {
    return turn * entry_threads + thread % entry_threads < code_chunks;
  }
  DSB_DEVICE void load_codes(int turn, const CsaEntry& entry, int thread) {
    codes[turn] = {};
    if (entry.data != nullptr && has(turn, thread))
      codes[turn] =
          simt::load16(simt::in_global(entry.data) + (turn * entry_threads + thread % entry_threads) * 16);
  }
  // Once all codes that they belong to are done with.
  DSB_DEVICE void load_rest(const CsaEntry& entry, int thread) {
    rope = {};
    scales[0] = scales[1] = 0;
    if (entry.data == nullptr) return;
    rope = simt::load16(simt::in_global(entry.data) + csa_codes + thread % entry_threads * 16);
    simt::load8(simt::in_global(entry.scales), scales[0], scales[1]);
  }
  DSB_DEVICE void load(const CsaEntry& entry, int thread) {
    DSB_UNROLL
    for (int turn = 0; turn < turns; ++turn) load_codes(turn, entry, thread);
    load_rest(entry, thread);
  }
  [[nodiscard]] DSB_DEVICE float scale(int turn, int thread) const {
    static_assert(entry_threads / turns_of_scale == 2);
    const int at = turn % 2 * 2 + thread % entry_threads / turns_of_scale;  // of four in a word
    return csa_scale(scales[turn / 2] >> (at * 8) & 255u);
  }
};

// As exchange_quarter of mla_widen.cuh: what is done with takes what comes there next.
DSB_DEVICE void exchange_quarter(CsaQuarter& quarter, unsigned char* page, int row0, const CsaEntry& ahead,
                                 int thread) {
  const int row = row0 + thread / CsaQuarter::entry_threads;
  const int chunk = thread % CsaQuarter::entry_threads;
  // Of eight lanes that store at once those from the fifth on begin with their second piece: so they meet all
  // banks.
  const int turned = chunk / 4;
  DSB_UNROLL
  for (int turn = 0; turn < CsaQuarter::turns; ++turn) {
    const Bytes16& codes = quarter.codes[turn];
    const Bytes16 in =
        turned == 0 ? codes : Bytes16{{codes.word[2], codes.word[3], codes.word[0], codes.word[1]}};
    Bytes16 wide[2];
    widen_codes(in, quarter.scale(turn, thread), wide);
    quarter.load_codes(turn, ahead, thread);
    if (!CsaQuarter::has(turn, thread)) continue;
    unsigned char* const box = page + (turn * 2 + turned) * box_bytes;
    DSB_UNROLL
    for (int h = 0; h < 2; ++h)
      simt::store16(box + swizzled_offset(row, chunk % 4 * 2 + (h ^ turned), 8), wide[h]);
  }
  simt::store16(page + (csa_boxes - 1) * box_bytes + swizzled_offset(row, chunk, 8), quarter.rope);
  quarter.load_rest(ahead, thread);
}

// What a request sees: an id names an entry of the window, which this bit says, or one that is kept.
constexpr int near_bit = 1 << 30;

template <bool kFp8>
struct CsaContext {
  const CsaDecodeArgs& args;
  int request;
  CsaList list;

  [[nodiscard]] DSB_DEVICE int id_at(int at) const {
    if (at < list.recent) return near_bit | at;
    return at < list.count ? args.ids[static_cast<long long>(request) * args.listed + at - list.recent] : -1;
  }
  [[nodiscard]] DSB_DEVICE const unsigned char* entry(int id) const {
    const bool near = (id & near_bit) != 0;
    const auto* const rows = static_cast<const unsigned char*>(near ? args.window : args.compressed);
    const long long row = near ? static_cast<long long>(request) * args.window_entries + (id & ~near_bit)
                               : static_cast<long long>(id);
    return rows + row * (csa_width * 2);
  }
  [[nodiscard]] DSB_DEVICE CsaEntry packed(int id) const {
    const bool near = (id & near_bit) != 0;
    const int entries = near ? args.window_entries : args.page_entries;
    const int page = near ? request : id / entries;
    const int slot = near ? id & ~near_bit : id % entries;
    const unsigned char* const begin =
        static_cast<const unsigned char*>(near ? args.window : args.compressed) +
        page * csa_page_bytes(entries);
    return {begin + slot * csa_data_bytes, begin + entries * csa_data_bytes + slot * csa_scale_bytes};
  }
  [[nodiscard]] DSB_DEVICE CsaEntry entries(const PageIds& ids, int quarter, int thread) const {
    const int id = ids.of(quarter / 2, quarter % 2 * (mla_block / 4) + thread / CsaQuarter::entry_threads);
    return id >= 0 ? packed(id) : CsaEntry{nullptr, nullptr};
  }
  // Scales lie elsewhere: the 16 bytes that they are in.
  DSB_DEVICE void prefetch(int id) const {
    const CsaEntry at = packed(id);
    simt::prefetch(at.data, csa_data_bytes);
    simt::prefetch(at.scales - reinterpret_cast<std::uintptr_t>(at.scales) % 16, 16);
  }
};

template <bool kFp8>
struct CsaNamed {
  static constexpr int boxes = csa_boxes;
  static constexpr float score_scale = 0.04419417382415922028f;  // 512^−0.5
  static constexpr bool plain = false;
  static constexpr bool by_threads = !kFp8;
  static constexpr bool named = true;
  static constexpr bool leaves_tail = false;
  static constexpr int fetching = kFp8 ? 88 : 72;
  static constexpr int attending = kFp8 ? 208 : 216;
  using Quarter = CsaQuarter;

  const CsaDecodeArgs& args;

  DSB_DEVICE static constexpr int arrivals(int part) { return named_arrivals<kFp8>(part); }
  [[nodiscard]] DSB_DEVICE MlaRows rows() const { return csa_rows(args); }
  [[nodiscard]] DSB_DEVICE CsaContext<kFp8> of(int request) const {
    return {args, request, csa_list(args, request)};
  }
};

template <bool kFp8>
using Room = SeesawRoom<CsaNamed<kFp8>>;

// block_x is the part of all lists, block_y the tile of rows.
template <bool kFp8>
DSB_KERNEL(block_threads, 1)
csa_gather_kernel(const DSB_GRID_CONSTANT TensorMap q_map, const DSB_GRID_CONSTANT CsaDecodeArgs args,
                  const int* first, MlaPartials partials) {
  if (simt::thread() == 0) simt::prefetch_map(q_map);
  const CsaNamed<kFp8> cache{args};
  seesaw_part(cache, csa_rows(args), first, partials, [&](const Room<kFp8>& room) {
    if constexpr (kFp8)
      widen_named(cache, first, q_map, room);
    else
      gather_named(cache, first, q_map, room);
  });
}

}  // namespace

std::size_t csa_gather_workspace_bytes(const CsaDecodeArgs& args) {
  const MlaDecodeArgs shape = csa_shape(args);
  return mla_workspace(shape, plan_mla_decode(shape, device_shape(), tile_rows)).bytes;
}

Status prepare_csa_gather(GatherCsa& csa, const CsaDecodeArgs& args) {
  csa.args = args;
  csa.plan = plan_mla_decode(csa_shape(args), device_shape(), tile_rows);
  const std::int64_t rows = static_cast<std::int64_t>(args.requests) * args.heads;
  if (rows == 0) return 0;  // no tensor map is of nothing
  return make_tensor_map(csa.q, args.q, static_cast<std::uint64_t>(rows), csa_width * 2, tile_rows);
}

Status csa_gather(const GatherCsa& csa, void* stream) {
  const CsaDecodeArgs& args = csa.args;
  if (args.requests == 0 || args.heads == 0) return 0;
  const MlaDecodeArgs shape = csa_shape(args);
  const MlaPartials partials = mla_partials(shape, mla_workspace(shape, csa.plan));
  int* const first = static_cast<int*>(args.workspace);
  Status status = csa_first_blocks(args, first, stream);
  if (status != 0) return status;
  const LaunchShape launched{
      {static_cast<unsigned>(csa.plan.parts), static_cast<unsigned>(csa.plan.row_blocks)},
      block_threads,
      args.fp8_cache ? Room<true>::bytes : Room<false>::bytes,
      true};
  const int* const known = first;
  status = launch(args.fp8_cache ? &csa_gather_kernel<true> : &csa_gather_kernel<false>, launched, stream,
                  csa.q, args, known, partials);
  return status != 0 ? status : mla_combine(csa_rows(args), known, partials, csa.plan.parts, stream);
}

}  // namespace dsbench::engine::kernels::cuda
