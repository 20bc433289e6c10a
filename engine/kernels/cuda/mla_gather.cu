#include "engine/kernels/cuda/mla_gather.h"

#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mla_bring_named.cuh"
#include "engine/kernels/cuda/mla_named.cuh"
#include "engine/kernels/cuda/mla_seesaw.cuh"
#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/mla_widen.cuh"
#include "engine/kernels/cuda/mla_workspace.h"

namespace dsbench::engine::kernels::cuda {

namespace {

// A thread's entries of a quarter of a page.
struct NamedEntries {
  const unsigned char* codes[2];
  const unsigned char* rope;

  [[nodiscard]] DSB_DEVICE const unsigned char* of_codes(int /*entry*/, int more) const {
    return codes[more / 8];
  }
  [[nodiscard]] DSB_DEVICE const unsigned char* of_rope(int /*entry*/, int /*more*/) const { return rope; }
};

// What a request sees.
template <bool kFp8>
struct NamedContext {
  const MlaDecodeArgs& args;
  int request;

  [[nodiscard]] DSB_DEVICE int id_at(int at) const {
    return at < args.top_k ? args.ids[static_cast<long long>(request) * args.top_k + at] : -1;
  }
  [[nodiscard]] DSB_DEVICE const unsigned char* entry(int id) const {
    constexpr int bytes = kFp8 ? mla_fp8_bytes : mla_width * 2;
    return static_cast<const unsigned char*>(args.cache) + static_cast<long long>(id) * bytes;
  }
  [[nodiscard]] DSB_DEVICE NamedEntries entries(const PageIds& ids, int quarter, int thread) const {
    static_assert(CacheQuarter::entries == 16 && CacheQuarter::more_entries(2) == 8);
    const auto at = [&](int of_quarter) {
      const int id = ids.of(quarter / 2, quarter % 2 * CacheQuarter::entries + of_quarter);
      return id >= 0 ? entry(id) : nullptr;
    };
    return {{at(CacheQuarter::entry(thread)), at(CacheQuarter::entry(thread) + 8)},
            at(CacheQuarter::rope_entry(thread))};
  }
  DSB_DEVICE void prefetch(int id) const { simt::prefetch(entry(id), mla_fp8_bytes); }
};

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
  using Quarter = CacheQuarter;

  const MlaDecodeArgs& args;

  DSB_DEVICE static constexpr int arrivals(int part) { return named_arrivals<kFp8>(part); }
  [[nodiscard]] DSB_DEVICE MlaRows rows() const { return mla_rows(args); }
  [[nodiscard]] DSB_DEVICE NamedContext<kFp8> of(int request) const { return {args, request}; }
};

template <bool kFp8>
using Room = SeesawRoom<NamedCache<kFp8>>;

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
      gather_named(cache, first, q_map, room);
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
