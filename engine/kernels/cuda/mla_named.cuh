#pragma once

#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/simt.h"
#include "engine/kernels/cuda/swizzle.h"

// Entries that are named one by one: their ids, and how 64 of them come into a tile as they are.
namespace dsbench::engine::kernels::cuda {

namespace {

// The ids of 64 entries, as each warp holds them: two to a lane; below 0: none.
struct PageIds {
  int id[2];

  // id_at(row)
  template <class IdAt>
  DSB_DEVICE static PageIds load(const IdAt& id_at) {
    const int lane = simt::thread() % 32;
    return {{id_at(lane), id_at(lane + 32)}};
  }
  // `half` is the same in all lanes.
  [[nodiscard]] DSB_DEVICE int of(int half, int row) const {
    return simt::shuffle(half == 0 ? id[0] : id[1], row);
  }
  // Which are there, a bit each. All lanes of the warp take part.
  DSB_DEVICE void mark(std::uint32_t* seen, bool by_this_thread) const {
    DSB_UNROLL
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t there = simt::ballot(id[half] >= 0);
      if (by_this_thread) seen[half] = there;
    }
  }
};

// How a warpgroup copies 64 entries: eight threads have 128 bytes of one, a warp 16 entries, four at a time.
struct GatheredRows {
  static constexpr int of_thread = 4;
  static constexpr int apart = 4;

  const unsigned char* entry[of_thread];
  bool there[of_thread];

  // entry_of(id), which is read only where the id is one.
  template <class EntryOf>
  DSB_DEVICE static GatheredRows of(const PageIds& ids, const EntryOf& entry_of) {
    const int mine = simt::thread() % group_threads;
    const int half = simt::uniform(mine / 64);
    GatheredRows rows;
    DSB_UNROLL
    for (int i = 0; i < of_thread; ++i) {
      const int id = ids.of(half, first_row(mine) % 32 + i * apart);
      rows.there[i] = id >= 0;
      rows.entry[i] = entry_of(id >= 0 ? id : 0) + mine % 8 * 16;
    }
    return rows;
  }
  DSB_DEVICE static int first_row(int mine) { return mine / 32 * 16 + mine % 32 / 8; }

  // Boxes of 64 columns from begin to end.
  DSB_DEVICE void copy(unsigned char* page, int begin, int end) const {
    const int mine = simt::thread() % group_threads;
    DSB_UNROLL
    for (int i = 0; i < of_thread; ++i) {
      unsigned char* const to = page + swizzled_offset(first_row(mine) + i * apart, mine % 8, 8);
      DSB_UNROLL
      for (int box = begin; box < end; ++box)
        simt::copy_async(to + box * box_bytes, entry[i] + box * 128, there[i]);
    }
  }
};

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
