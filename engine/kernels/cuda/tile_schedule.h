#pragma once

#include "engine/kernels/cuda/host_device.h"

namespace dsbench::engine::kernels::cuda {

// A product of many groups (experts, heads; a dense product is one group) cut into tiles. Linear tile numbers
// run through the groups; within a group the row tiles run fastest, so that neighbours in time share a tile
// of weights. Empty groups have no tiles.
struct TileCoord {
  int group;
  int row_tile;
  int col_tile;
};

// How rows are dealt to groups.
enum class Rows : int {
  same,        // every group has `rows`
  contiguous,  // group g has table[g+1] − table[g], from row table[g] on
  masked,      // group g has table[g], from row g·group_stride on
};

[[nodiscard]] DSB_HD constexpr int rows_of(Rows kind, const int* table, int rows, int group) {
  switch (kind) {
    case Rows::contiguous:
      return table[group + 1] - table[group];
    case Rows::masked:
      return table[group];
    case Rows::same:
      break;
  }
  return rows;
}

// `first` is what the exclusive prefix sum of tiles per group gave: groups + 1 entries. `tile` <
// first[groups].
[[nodiscard]] DSB_HD constexpr TileCoord tile_at(const int* first, int groups, int col_tiles, int tile) {
  int low = 0;
  int high = groups;  // first[low] ≤ tile < first[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first[middle] <= tile)
      low = middle;
    else
      high = middle;
  }
  const int inside = tile - first[low];
  const int row_tiles = (first[low + 1] - first[low]) / col_tiles;
  return {low, inside % row_tiles, inside / row_tiles};
}

// At most this many tiles, whatever the routing: for a grid that is chosen before the counts are known.
[[nodiscard]] DSB_HD constexpr long long most_tiles(Rows kind, int groups, long long rows, int tile_rows,
                                                    int col_tiles) {
  // Of rows dealt out, a group that has any adds at most a tile that is not full.
  const long long dealt = rows < groups ? rows : groups;
  const long long row_tiles = kind == Rows::contiguous
                                  ? (rows + dealt * (tile_rows - 1)) / tile_rows
                                  : static_cast<long long>(groups) * ((rows + tile_rows - 1) / tile_rows);
  return row_tiles * col_tiles;
}

// Along k: slabs of 128 bytes, dealt to `splits` parts as evenly as they go.
struct SlabRange {
  int begin;
  int end;
};
[[nodiscard]] DSB_HD constexpr SlabRange slabs_of(int slabs, int splits, int part) {
  const int least = slabs / splits;
  const int more = slabs % splits;  // the first `more` parts get one more
  const int begin = part * least + (part < more ? part : more);
  return {begin, begin + least + (part < more ? 1 : 0)};
}

// How many parts along k fill the processors when there are few tiles: doubling while there is room for all
// and every part keeps `least_slabs`.
[[nodiscard]] DSB_HD constexpr int plan_splits(long long tiles, int slabs, int processors, int least_slabs) {
  int splits = 1;
  while (tiles * splits * 2 <= processors && slabs / (splits * 2) >= least_slabs) splits *= 2;
  return splits;
}

}  // namespace dsbench::engine::kernels::cuda
