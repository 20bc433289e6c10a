#pragma once

#include "engine/kernels/cuda/gemm_parts.cuh"
#include "engine/kernels/cuda/simt.h"
#include "engine/kernels/cuda/tile_schedule.h"

// How the persistent blocks of the products by wgmma go through tiles and through their ring of stages.
namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int slab = 128;           // of k: one scale, one box of TMA, four steps of wgmma
constexpr int group_threads = 128;  // a warpgroup

// Where a block is in its ring of stages: both sides count slabs over all their tiles.
template <int kStages>
struct Turn {
  int stage = 0;
  int phase = 0;
  DSB_DEVICE void next() {
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
  }
};

// What a block has before it: tile and part of k by number, the same walk for the one who fetches and those
// who multiply. The blocks of a cluster take the same items, and of its rows the tile of their rank.
struct Walk {
  const int* first;
  int groups;
  int columns;
  int tiles;
  int splits;
  int slabs;
  int cluster;
  int rank;

  DSB_DEVICE int begin() const { return simt::block_x() / cluster; }
  DSB_DEVICE int step() const { return simt::grid_x() / cluster; }
  DSB_DEVICE int items() const { return tiles * splits; }
  DSB_DEVICE TileCoord tile(int item) const {
    const TileCoord at = tile_at(first, groups, columns, item % tiles);
    return {at.group, at.row_tile * cluster + rank, at.col_tile};
  }
  DSB_DEVICE SlabRange range(int item) const { return slabs_of(slabs, splits, item / tiles); }
};

// What those who fetch do: of_tile(tile) gives what is to be done with each of its slabs, as a function of
// the slab and of its turn.
template <int kStages, class OfTile>
DSB_DEVICE void for_each_slab(const Walk& walk, const OfTile& of_tile) {
  Turn<kStages> turn;
  DSB_NO_UNROLL
  for (int item = walk.begin(); item < walk.items(); item += walk.step()) {
    const auto of_slab = of_tile(walk.tile(item));
    const SlabRange range = walk.range(item);
    DSB_NO_UNROLL
    for (int i = range.begin; i < range.end; ++i, turn.next()) of_slab(i, turn);
  }
}

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
