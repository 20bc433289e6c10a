#include "engine/kernels/cuda/mla_gather.h"

#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_named.cuh"
#include "engine/kernels/cuda/mla_seesaw.cuh"
#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/mla_widen.cuh"
#include "engine/kernels/cuda/mla_workspace.h"

namespace dsbench::engine::kernels::cuda {

namespace {

template <bool kFp8>
struct NamedCache {
  static constexpr int boxes = mla_boxes;
  static constexpr float score_scale = 0.07216878364870322056f;  // 192^−0.5
  static constexpr bool plain = true;
  static constexpr bool by_threads = !kFp8;
  static constexpr bool named = true;
  static constexpr bool leaves_tail = false;
  static constexpr int fetching = kFp8 ? 88 : 56;
  static constexpr int attending = kFp8 ? 208 : 224;
  static constexpr int entry_bytes = kFp8 ? mla_fp8_bytes : mla_width * 2;

  const MlaDecodeArgs& args;

  // Each thread's copies, and with the first part what is there of the page.
  DSB_DEVICE static constexpr int arrivals(int part) {
    return kFp8 ? group_threads / 32 : group_threads + (part == 0 ? 1 : 0);
  }
  [[nodiscard]] DSB_DEVICE int id_at(int request, int at) const {
    return at < args.top_k ? args.ids[static_cast<long long>(request) * args.top_k + at] : -1;
  }
  [[nodiscard]] DSB_DEVICE PageIds ids_of(int request, int page) const {
    return PageIds::load([&](int row) { return id_at(request, page * mla_block + row); });
  }
  [[nodiscard]] DSB_DEVICE const unsigned char* entry(int id) const {
    return static_cast<const unsigned char*>(args.cache) + static_cast<long long>(id) * entry_bytes;
  }
};

template <bool kFp8>
using Room = SeesawRoom<NamedCache<kFp8>>;

// What both ways of bringing entries begin a piece with.
template <bool kFp8>
DSB_DEVICE void bring_queries(const MlaDecodeArgs& args, const TensorMap& q_map, const Room<kFp8>& room,
                              int request, int& q_phase) {
  if (simt::thread() % group_threads == 0) {
    simt::wait_barrier(&room.barriers->q_empty, q_phase ^ 1);
    fetch_queries<mla_boxes>(q_map, room.q, &room.barriers->q_full,
                             request * args.heads + simt::block_y() * tile_rows);
  }
  q_phase ^= 1;
}

// Entries as they are. Ids come a page ahead.
DSB_DEVICE void gather_pieces(const NamedCache<false>& cache, const int* first, const TensorMap& q_map,
                              const Room<false>& room) {
  SeesawBarriers& barriers = *room.barriers;
  const bool marks = simt::thread() % group_threads == 0;
  Turn turn;
  int q_phase = 0;
  for_each_piece(cache.args.requests, first, [&](int request, const KvPiece& piece, int) {
    bring_queries<false>(cache.args, q_map, room, request, q_phase);
    PageIds ids = cache.ids_of(request, piece.begin);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      const auto rows = GatheredRows::of(ids, [&](int id) { return cache.entry(id); });
      const int buffer = simt::uniform(turn.buffer);
      DSB_UNROLL
      for (int part = 0; part < room.parts; ++part) {
        simt::Barrier* const full = &barriers.full[buffer][part];
        simt::wait_barrier(&barriers.empty[buffer][part], turn.phase ^ 1);
        if (part == 0) {
          ids.mark(room.seen + buffer * 2, marks);
          if (marks) simt::arrive(full);
          ids = cache.ids_of(request, b + 1);
        }
        rows.copy(room.page(buffer), room.first_box(part), room.end_box(part));
        simt::arrive_with_copies(full);
      }
    }
  });
}

// A thread's entries of a quarter of a page.
struct NamedEntries {
  const unsigned char* codes[2];
  const unsigned char* rope;

  DSB_DEVICE static NamedEntries of(const NamedCache<true>& cache, const PageIds& ids, int quarter,
                                    int thread) {
    static_assert(CacheQuarter::entries == 16 && CacheQuarter::more_entries(2) == 8);
    const int row = quarter % 2 * CacheQuarter::entries;
    const auto entry = [&](int of_quarter) {
      const int id = ids.of(quarter / 2, row + of_quarter);
      return id >= 0 ? cache.entry(id) : nullptr;
    };
    return {{entry(CacheQuarter::entry(thread)), entry(CacheQuarter::entry(thread) + 8)},
            entry(CacheQuarter::rope_entry(thread))};
  }
  [[nodiscard]] DSB_DEVICE const unsigned char* of_codes(int /*entry*/, int more) const {
    return codes[more / 8];
  }
  [[nodiscard]] DSB_DEVICE const unsigned char* of_rope(int /*entry*/, int /*more*/) const { return rope; }
};

// Entries of an FP8 cache made bf16, as widen_pieces does with pages: through registers, a quarter of a page
// ahead, and asked for in the second-level cache before that. Ids come a page ahead, or where they are only
// to be asked for three.
DSB_DEVICE void widen_named(const NamedCache<true>& cache, const int* first, const TensorMap& q_map,
                            const Room<true>& room) {
  constexpr int pages_ahead = 2;
  constexpr int quarters = mla_block / CacheQuarter::entries;
  SeesawBarriers& barriers = *room.barriers;
  const int mine = simt::thread() % group_threads;
  Turn turn;
  int q_phase = 0;
  for_each_piece(cache.args.requests, first, [&](int request, const KvPiece& piece, int) {
    bring_queries<true>(cache.args, q_map, room, request, q_phase);
    const auto asked = [&](int page) {
      return page < piece.end && mine < mla_block ? cache.id_at(request, page * mla_block + mine) : -1;
    };
    const auto ask = [&](int id) {
      if (id >= 0) simt::prefetch(cache.entry(id), mla_fp8_bytes);
    };
    PageIds ids = cache.ids_of(request, piece.begin);
    for (int further = 1; further < pages_ahead; ++further) ask(asked(piece.begin + further));
    int far = asked(piece.begin + pages_ahead);
    CacheQuarter quarter;
    quarter.load(NamedEntries::of(cache, ids, 0, mine), mine);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; ++b, turn.next()) {
      ask(far);
      far = asked(b + 1 + pages_ahead);
      const PageIds next = b + 1 < piece.end ? cache.ids_of(request, b + 1) : PageIds{{-1, -1}};
      DSB_UNROLL
      for (int part = 0; part < room.parts; ++part)
        simt::wait_barrier(&barriers.empty[turn.buffer][part], turn.phase ^ 1);
      ids.mark(room.seen + turn.buffer * 2, mine == 0);
      DSB_NO_UNROLL
      for (int q = 1; q <= quarters; ++q) {
        if (q == quarters) ids = next;
        exchange_quarter(quarter, room.page(turn.buffer), (q - 1) * CacheQuarter::entries,
                         NamedEntries::of(cache, ids, q % quarters, mine), mine);
      }
      simt::fence_async();
      simt::sync_warp();
      DSB_UNROLL
      for (int part = 0; part < room.parts && mine % 32 == 0; ++part)
        simt::arrive(&barriers.full[turn.buffer][part]);
    }
  });
}

// block_x is the part of the cache, block_y the tile of rows.
template <bool kFp8>
DSB_KERNEL(block_threads, 1)
mla_gather_kernel(const DSB_GRID_CONSTANT TensorMap q_map, const DSB_GRID_CONSTANT MlaDecodeArgs args,
                  const int* first, MlaPartials partials) {
  if (simt::thread() == 0) simt::prefetch_map(q_map);
  const NamedCache<kFp8> cache{args};
  seesaw_part(cache, mla_rows(args), first, partials, [&](const Room<kFp8>& room) {
    if constexpr (kFp8)
      widen_named(cache, first, q_map, room);
    else
      gather_pieces(cache, first, q_map, room);
  });
}

}  // namespace

std::size_t mla_gather_workspace_bytes(const MlaDecodeArgs& args) {
  return mla_workspace(args, plan_mla_decode(args, device_shape(), tile_rows)).bytes;
}

Status prepare_mla_gather(GatherMla& mla, const MlaDecodeArgs& args) {
  if (args.ids == nullptr || args.queries != 1) return invalid_value;
  mla.args = args;
  mla.plan = plan_mla_decode(args, device_shape(), tile_rows);
  const std::int64_t rows = static_cast<std::int64_t>(args.requests) * args.heads;
  if (rows == 0) return 0;  // no tensor map is of nothing
  return make_tensor_map(mla.q, args.q, static_cast<std::uint64_t>(rows), mla_width * 2, tile_rows);
}

Status mla_gather(const GatherMla& mla, void* stream) {
  const MlaDecodeArgs& args = mla.args;
  if (args.requests == 0 || args.heads == 0) return 0;
  const MlaPartials partials = mla_partials(args, mla_workspace(args, mla.plan));
  int* const first = static_cast<int*>(args.workspace);
  Status status = mla_first_blocks(args, first, stream);
  if (status != 0) return status;
  const LaunchShape shape{{static_cast<unsigned>(mla.plan.parts), static_cast<unsigned>(mla.plan.row_blocks)},
                          block_threads,
                          args.fp8_cache ? Room<true>::bytes : Room<false>::bytes,
                          true};
  const int* const known = first;
  status = launch(args.fp8_cache ? &mla_gather_kernel<true> : &mla_gather_kernel<false>, shape, stream, mla.q,
                  args, known, partials);
  return status != 0 ? status : mla_combine(args, known, partials, mla.plan.parts, stream);
}

}  // namespace dsbench::engine::kernels::cuda
