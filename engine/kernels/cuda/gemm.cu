#include "engine/kernels/cuda/gemm.h"

#include "engine/kernels/cuda/gemm_parts.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/warp_scan.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int block_threads = 256;
constexpr int tile_columns = 128;
constexpr int slab_bytes = 128;  // along k: 128 e4m3 or 64 bf16, 8 chunks of 16 bytes
constexpr int slab_chunks = slab_bytes / 16;

// How a block's eight warps share a tile of kRows × 128.
template <int kRows>
struct Tile {
  static constexpr int warp_rows = kRows == 16 ? 1 : 2;
  static constexpr int warp_columns = 8 / warp_rows;
  static constexpr int row_tiles = kRows / warp_rows / 16;              // of 16 rows, of a warp
  static constexpr int column_tiles = tile_columns / warp_columns / 8;  // of 8 columns, of a warp; even
  static constexpr int stages = kRows == 16 ? 6 : 4;
  static constexpr int stage_bytes = (kRows + tile_columns) * slab_bytes;
  static constexpr int per_processor = kRows == 128 ? 1 : 2;
  // e4m3 sums a slab apart before it is scaled; done for so many row tiles at a time, or the registers would
  // not do.
  static constexpr int raw_tiles = kRows == 128 ? 2 : 1;
};

// Sixteen bytes of bf16 from a row that need not start on sixteen bytes; zeros from `bytes` on.
DSB_DEVICE Bytes16 gather_piece(const unsigned char* row, int byte, int bytes) {
  Bytes16 piece;
  DSB_UNROLL
  for (int i = 0; i < 4; ++i) {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    if (byte + 4 * i < bytes) low = *reinterpret_cast<const Bf16*>(row + byte + 4 * i);
    if (byte + 4 * i + 2 < bytes) high = *reinterpret_cast<const Bf16*>(row + byte + 4 * i + 2);
    piece.word[i] = low | (high << 16);
  }
  return piece;
}

// Starts the copies of one slab of `kRows` rows: rows from `rows` on, and bytes from k_bytes on, become
// zeros.
template <int kRows, bool kAligned>
DSB_DEVICE void fetch_rows(unsigned char* stage, const unsigned char* from, long long stride, int rows,
                           int slab, int k_bytes) {
  const int chunk = simt::thread() % slab_chunks;
  const int byte = slab * slab_bytes + chunk * 16;
  DSB_UNROLL
  for (int i = 0; i < ceil_div(kRows * slab_chunks, block_threads); ++i) {
    const int row = i * (block_threads / slab_chunks) + simt::thread() / slab_chunks;
    if (row >= kRows) break;
    unsigned char* const to = stage + swizzled_offset(row, chunk, slab_chunks);
    if constexpr (kAligned) {
      const bool valid = byte < k_bytes && row < rows;
      simt::copy_async(to, valid ? from + row * stride + byte : from, valid);
    } else {
      simt::store16(to, gather_piece(from + row * stride, byte, row < rows ? k_bytes : 0));
    }
  }
}

// sum += the product of one slab, by this warp, for kCount of its row tiles from `row` on.
template <bool kE4m3, int kRows, int kCount>
DSB_DEVICE void multiply_slab(float (*sum)[Tile<kRows>::column_tiles][4], const unsigned char* stage, int row,
                              int column) {
  using T = Tile<kRows>;
  const int lane = simt::thread() % 32;
  const unsigned char* const w_stage = stage + kRows * slab_bytes;
  DSB_NO_UNROLL  // unrolled, the fragments of all steps are under way at once and spill
      for (int step = 0; step < slab_bytes / 32; ++step) {
    std::uint32_t a[kCount][4];
    DSB_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const Piece p = a_piece(lane);
      simt::load_matrix(a[i], stage + swizzled_offset(row + i * 16 + p.row, step * 2 + p.chunk, slab_chunks));
    }
    DSB_UNROLL
    for (int j = 0; j < T::column_tiles; j += 2) {
      const Piece p = b_piece(lane);
      std::uint32_t b[4];
      simt::load_matrix(b,
                        w_stage + swizzled_offset(column + j * 8 + p.row, step * 2 + p.chunk, slab_chunks));
      DSB_UNROLL
      for (int i = 0; i < kCount; ++i) {
        if constexpr (kE4m3) {
          simt::mma_e4m3(sum[i][j], a[i], b[0], b[1]);
          simt::mma_e4m3(sum[i][j + 1], a[i], b[2], b[3]);
        } else {
          simt::mma_bf16(sum[i][j], a[i], b[0], b[1]);
          simt::mma_bf16(sum[i][j + 1], a[i], b[2], b[3]);
        }
      }
    }
  }
}

// A persistent block walks through tiles; a tile's slabs come through a ring of stages.
template <bool kE4m3, int kRows, bool kAligned>
DSB_KERNEL(block_threads, Tile<kRows>::per_processor)
gemm_kernel(GemmArgs args, int splits) {
  simt::launch_next();  // what adds the parts of a split product
  using T = Tile<kRows>;
  unsigned char* const ring = simt::shared();
  int* const first = reinterpret_cast<int*>(ring + T::stages * T::stage_bytes);
  const int lane = simt::thread() % 32;
  const int warp = simt::thread() / 32;
  const int row = warp / T::warp_columns * T::row_tiles * 16;
  const int column = warp % T::warp_columns * T::column_tiles * 8;
  constexpr int element = kE4m3 ? 1 : 2;
  const int k_bytes = args.k * element;
  const int slabs = ceil_div(k_bytes, slab_bytes);
  const int columns = ceil_div(args.n, tile_columns);
  if (warp == 0)
    prefix_of(first, args.groups, [&](int g) {
      return ceil_div(rows_of(args.rows_kind, args.table, args.rows, g), kRows) * columns;
    });
  simt::sync_block();
  const int tiles = first[args.groups];

  for (int item = simt::block_x(); item < tiles * splits; item += simt::grid_x()) {
    const TileCoord at = tile_at(first, args.groups, columns, item % tiles);
    const int part = item / tiles;
    const SlabRange range = slabs_of(slabs, splits, part);
    const Group group = group_at(args, at.group);
    const int row0 = at.row_tile * kRows;
    const int column0 = at.col_tile * tile_columns;
    const auto* a = static_cast<const unsigned char*>(args.a) +
                    (at.group * args.a_group + (group.first_row + row0) * args.a_row) * element;
    const auto* w = static_cast<const unsigned char*>(args.w) +
                    (static_cast<long long>(at.group) * args.n + column0) * args.k * element;
    const auto fetch = [&](int slab) {
      if (slab < range.end) {
        unsigned char* const stage = ring + (slab - range.begin) % T::stages * T::stage_bytes;
        fetch_rows<kRows, kAligned>(stage, a, args.a_row * element, group.rows - row0, slab, k_bytes);
        fetch_rows<tile_columns, kAligned>(stage + kRows * slab_bytes, w,
                                           static_cast<long long>(args.k) * element, args.n - column0, slab,
                                           k_bytes);
      }
      simt::commit_copies();
    };
    float sum[T::row_tiles][T::column_tiles][4] = {};
    for (int i = 0; i < T::stages - 1; ++i) fetch(range.begin + i);
    DSB_NO_UNROLL
    for (int slab = range.begin; slab < range.end; ++slab) {
      float scale[T::row_tiles][2];
      if constexpr (kE4m3) {
        const float w_scale =
            args.w_scale[(static_cast<long long>(at.group) * columns + at.col_tile) * slabs + slab];
        DSB_UNROLL
        for (int i = 0; i < T::row_tiles; ++i) {
          DSB_UNROLL
          for (int h = 0; h < 2; ++h) {
            const int r = row0 + row + i * 16 + c_row(lane, 2 * h);
            scale[i][h] =
                r < group.rows ? args.a_scale[(group.first_row + r) * slabs + slab] * w_scale : 0.0f;
          }
        }
      }
      simt::wait_copies<T::stages - 2>();
      simt::sync_block();  // the slab is there for all, and all are done with the stage that is fetched next
      fetch(slab + T::stages - 1);
      const unsigned char* stage = ring + (slab - range.begin) % T::stages * T::stage_bytes;
      if constexpr (kE4m3) {
        DSB_UNROLL
        for (int i0 = 0; i0 < T::row_tiles; i0 += T::raw_tiles) {
          float raw[T::raw_tiles][T::column_tiles][4] = {};
          multiply_slab<true, kRows, T::raw_tiles>(raw, stage, row + i0 * 16, column);
          DSB_UNROLL
          for (int i = 0; i < T::raw_tiles; ++i) {
            DSB_UNROLL
            for (int j = 0; j < T::column_tiles; ++j) {
              DSB_UNROLL
              for (int e = 0; e < 4; ++e) sum[i0 + i][j][e] += raw[i][j][e] * scale[i0 + i][e / 2];
            }
          }
        }
      } else {
        multiply_slab<false, kRows, T::row_tiles>(sum, stage, row, column);
      }
    }
    simt::wait_copies<0>();
    simt::sync_block();  // before the next tile's slabs overwrite the ring

    DSB_UNROLL
    for (int i = 0; i < T::row_tiles; ++i) {
      DSB_UNROLL
      for (int h = 0; h < 2; ++h) {
        const OutputRow out(args, at.group, group, row0 + row + i * 16 + c_row(lane, 2 * h), splits, part);
        DSB_UNROLL
        for (int j = 0; j < T::column_tiles; j += 2)
          out.store_tiles(args, column0 + column + j * 8, {sum[i][j][2 * h], sum[i][j][2 * h + 1]},
                          {sum[i][j + 1][2 * h], sum[i][j + 1][2 * h + 1]});
      }
    }
  }
}

// Adds the parts of a split product, always in the same order; a thread to kWidth neighbouring columns.
template <int kWidth>
DSB_KERNEL(block_threads, 4)
add_parts_kernel(const float* partial, Bf16* c, int splits, int rows, int n, long long c_row) {
  simt::wait_for_previous();
  const int of_row = n / kWidth;
  const int i = simt::block_x() * block_threads + simt::thread();
  if (i >= rows * of_row) return;
  float sum[kWidth] = {};
  DSB_UNROLL_4
  for (int part = 0; part < splits; ++part) {
    float v[kWidth];
    load_vector(partial + (static_cast<long long>(part) * rows * of_row + i) * kWidth, v);
    DSB_UNROLL
    for (int k = 0; k < kWidth; ++k) sum[k] += v[k];
  }
  Bf16* const to = c + i / of_row * c_row + i % of_row * kWidth;
  if constexpr (kWidth == 4)
    simt::store8(to, simt::to_bf16x2(sum[0], sum[1]), simt::to_bf16x2(sum[2], sum[3]));
  else
    *to = simt::to_bf16(sum[0]);
}

template <int kWidth>
Status start_adding(const GemmArgs& args, int splits, void* stream) {
  const int threads = args.rows * (args.n / kWidth);
  const LaunchShape shape{
      {static_cast<unsigned>(ceil_div(threads, block_threads)), 1}, block_threads, 0, true};
  return launch(&add_parts_kernel<kWidth>, shape, stream, static_cast<const float*>(args.partial),
                static_cast<Bf16*>(args.c), splits, args.rows, args.n, static_cast<long long>(args.c_row));
}

template <bool kE4m3, int kRows, bool kAligned>
Status start(const GemmArgs& args, const GemmPlan& plan, void* stream) {
  const std::size_t shared = Tile<kRows>::stages * Tile<kRows>::stage_bytes +
                             static_cast<std::size_t>(args.groups + 1) * sizeof(int);
  return launch(&gemm_kernel<kE4m3, kRows, kAligned>, LaunchShape{{plan.grid, 1}, block_threads, shared},
                stream, args, plan.splits);
}

template <bool kE4m3, bool kAligned>
Status start(const GemmArgs& args, const GemmPlan& plan, void* stream) {
  switch (plan.tile_rows) {
    case 16:
      return start<kE4m3, 16, kAligned>(args, plan, stream);
    case 64:
      return start<kE4m3, 64, kAligned>(args, plan, stream);
    default:
      return start<kE4m3, 128, kAligned>(args, plan, stream);
  }
}

}  // namespace

Status gemm(const GemmArgs& asked, void* stream) {
  if (!gemm_supports(asked)) return invalid_value;
  GemmArgs args = asked;
  if (args.a_row == 0) args.a_row = args.k;
  if (args.c_row == 0) args.c_row = args.n;
  if (args.rows == 0) return 0;
  const GemmPlan plan = plan_gemm(args, device_shape());
  if (plan.splits > 1 && args.partial == nullptr) return invalid_value;
  const bool aligned = args.k % 8 == 0 && args.a_row % 8 == 0 && args.a_group % 8 == 0;
  const Status status = args.type == Element::e4m3 ? start<true, true>(args, plan, stream)
                        : aligned                  ? start<false, true>(args, plan, stream)
                                                   : start<false, false>(args, plan, stream);
  if (status != 0 || plan.splits == 1) return status;
  return add_gemm_parts(args, plan.splits, stream);
}

Status add_gemm_parts(const GemmArgs& args, int splits, void* stream) {
  const bool fours = args.n % 4 == 0 && args.c_row % 4 == 0 &&
                     reinterpret_cast<std::uintptr_t>(args.c) % 8 == 0 &&
                     reinterpret_cast<std::uintptr_t>(args.partial) % 16 == 0;
  return fours ? start_adding<4>(args, splits, stream) : start_adding<1>(args, splits, stream);
}

}  // namespace dsbench::engine::kernels::cuda
