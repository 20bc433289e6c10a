// What the CUDA kernels decide before they compute: tiles, splits, swizzles, permutations.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <set>
#include <utility>
#include <vector>

#include "engine/kernels/cuda/bytes_under_way.h"
#include "engine/kernels/cuda/csa_decode.h"
#include "engine/kernels/cuda/dsa_indexer_wgmma.h"
#include "engine/kernels/cuda/gemm.h"
#include "engine/kernels/cuda/gemm_swapped.h"
#include "engine/kernels/cuda/gemm_wgmma.h"
#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/mla_decode_wgmma.h"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/permutation.h"
#include "engine/kernels/cuda/prefill_schedule.h"
#include "engine/kernels/cuda/radix.h"
#include "engine/kernels/cuda/split_plan.h"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/tile_schedule.h"
#include "engine/kernels/cuda/wgmma_descriptor.h"

namespace dsbench::engine::kernels::cuda {
namespace {

TEST(Swizzle, IsABijectionOfEachRow) {
  for (const int chunks : {8, 16, 24, 72}) {
    for (int row = 0; row < 64; ++row) {
      std::set<int> seen;
      for (int chunk = 0; chunk < chunks; ++chunk) {
        const int at = swizzled_offset(row, chunk, chunks);
        EXPECT_EQ(at % 16, 0);
        EXPECT_EQ(at / 16 / chunks, row);
        seen.insert(at);
      }
      EXPECT_EQ(std::ssize(seen), chunks);
    }
  }
}

TEST(Wgmma, ReadsWhatTmaAndOurSwizzleWrote) {
  const std::uint64_t descriptor = k_major_descriptor(3 * 1024);
  EXPECT_EQ(descriptor_fields(descriptor).address, 3u * 1024);
  EXPECT_EQ(descriptor_fields(descriptor).stride, 1024u);
  EXPECT_EQ(descriptor_fields(descriptor).swizzle, 1);
  for (int step = 0; step < 4; ++step) {
    for (int row = 0; row < 128; ++row) {
      for (int byte = 0; byte < 32; ++byte) {
        const int k = step * 32 + byte;
        EXPECT_EQ(operand_address(descriptor + static_cast<std::uint64_t>(step * 2), row, byte),
                  static_cast<std::uint32_t>(3 * 1024 + swizzled_offset(row, k / 16, 8) + k % 16));
      }
    }
  }
}

TEST(Wgmma, ReadsAPageAcrossItsBoxesWhenNIsContiguous) {
  // Four boxes of 64 columns; k is the row of the page.
  const std::uint64_t descriptor = n_major_descriptor(8 * 1024 + 16 * 128, 8192);
  for (int k = 0; k < 16; ++k) {
    for (int n = 0; n < 256; ++n) {
      EXPECT_EQ(n_major_address(descriptor, k, n),
                static_cast<std::uint32_t>(8 * 1024 + n / 64 * 8192 + swizzled_offset(16 + k, n % 64 / 8, 8) +
                                           n % 8 * 2));
    }
  }
}

// A 16-byte piece covers four of the 32 banks; the eight pieces of one matrix must cover all.
void expect_no_conflict(const std::array<Piece, 32>& pieces, int row0, int chunk0, int chunks) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    std::set<int> banks;
    for (int r = 0; r < 8; ++r) {
      const Piece p = pieces[static_cast<std::size_t>(matrix * 8 + r)];
      banks.insert(swizzled_offset(row0 + p.row, chunk0 + p.chunk, chunks) / 16 % 8);
    }
    EXPECT_EQ(banks.size(), 8u);
  }
}

TEST(Swizzle, LdmatrixMeetsNoBankTwice) {
  for (const auto piece : {&a_piece, &b_piece, &b_piece_long, &bt_piece}) {
    std::array<Piece, 32> pieces;
    for (int lane = 0; lane < 32; ++lane) pieces[static_cast<std::size_t>(lane)] = piece(lane);
    for (const int chunks : {8, 16, 24, 72}) {
      for (int chunk = 0; chunk + 4 <= chunks; chunk += 2) expect_no_conflict(pieces, 16, chunk, chunks);
    }
  }
}

TEST(Fragments, HoldEveryElementOnce) {
  std::set<std::pair<int, int>> a;
  std::set<std::pair<int, int>> b;
  std::set<std::pair<int, int>> c;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) a.emplace(a_row(lane, i), a_byte(lane, i));
    for (int i = 0; i < 2; ++i) b.emplace(b_col(lane), b_byte(lane, i));
    for (int i = 0; i < 4; ++i) c.emplace(c_row(lane, i), c_col(lane, i));
  }
  EXPECT_EQ(a.size(), 16u * 32 / 4);
  EXPECT_EQ(b.size(), 8u * 32 / 4);
  EXPECT_EQ(c.size(), 16u * 8);
  EXPECT_EQ(*c.rbegin(), std::pair(15, 7));
}

// Walks through all tiles and checks that they cover every row and column of every group once.
void expect_cover(Rows kind, const std::vector<int>& table, int rows, int groups, int tile_rows,
                  int columns) {
  std::vector<int> first{0};
  long long all = 0;
  for (int g = 0; g < groups; ++g) {
    const int mine = rows_of(kind, table.data(), rows, g);
    all += mine;
    first.push_back(first.back() + ceil_div(mine, tile_rows) * columns);
  }
  EXPECT_LE(first.back(),
            most_tiles(kind, groups, kind == Rows::contiguous ? all : rows, tile_rows, columns));
  std::set<std::array<int, 3>> seen;
  for (int tile = 0; tile < first.back(); ++tile) {
    const TileCoord at = tile_at(first.data(), groups, columns, tile);
    EXPECT_LT(at.row_tile * tile_rows, rows_of(kind, table.data(), rows, at.group));
    EXPECT_LT(at.col_tile, columns);
    EXPECT_TRUE(seen.insert({at.group, at.row_tile, at.col_tile}).second);
  }
  EXPECT_EQ(std::ssize(seen), first.back());
}

TEST(TileSchedule, CoversEveryTileOnce) {
  expect_cover(Rows::same, {}, 130, 1, 128, 17);
  expect_cover(Rows::same, {}, 5, 128, 16, 4);
  expect_cover(Rows::contiguous, {0, 0, 3, 3, 130, 131, 131}, 131, 6, 16,
               3);                                                   // empty experts, first and last too
  expect_cover(Rows::contiguous, {0, 0, 0, 0, 500}, 500, 4, 64, 2);  // all to one
  expect_cover(Rows::contiguous, {0, 0, 0}, 0, 2, 64, 2);            // nothing at all
  EXPECT_EQ(most_tiles(Rows::contiguous, 64, 6, 16, 3), 18);         // six rows: in six groups at most
  expect_cover(Rows::masked, {0, 192, 1, 64, 0, 65}, 192, 6, 64, 5);
}

TEST(TileSchedule, SlabsAreDealtOnceAndEvenly) {
  for (const int slabs : {1, 4, 7, 56, 128}) {
    for (const int splits : {1, 2, 3, 8}) {
      int next = 0;
      int least = slabs;
      int most = 0;
      for (int part = 0; part < splits; ++part) {
        const SlabRange range = slabs_of(slabs, splits, part);
        EXPECT_EQ(range.begin, next);
        next = range.end;
        least = std::min(least, range.end - range.begin);
        most = std::max(most, range.end - range.begin);
      }
      EXPECT_EQ(next, slabs);
      EXPECT_LE(most - least, 1);
    }
  }
}

TEST(GemmPlan, FewTilesAreSplitAlongKAndManyAreNot) {
  const DeviceShape h200{132};
  const GemmPlan small = plan_gemm({.type = Element::e4m3, .rows = 1, .n = 2112, .k = 7168}, h200);
  EXPECT_EQ(small.tile_rows, 16);
  EXPECT_EQ(small.splits, 8);  // 17 tiles · 8 = 136 of 264 places
  const GemmPlan large = plan_gemm({.type = Element::e4m3, .rows = 4096, .n = 7168, .k = 16384}, h200);
  EXPECT_EQ(large.tile_rows, 128);
  EXPECT_EQ(large.splits, 1);
  EXPECT_EQ(large.grid, 132u);
  const GemmPlan masked = plan_gemm({.type = Element::e4m3,
                                     .rows_kind = Rows::masked,
                                     .groups = 32,
                                     .rows = 1024,
                                     .typical_rows = 20,
                                     .n = 4096,
                                     .k = 7168},
                                    h200);
  EXPECT_EQ(masked.tile_rows, 64);
  EXPECT_EQ(masked.splits, 1);
}

TEST(GemmPlan, StoresWholeTilesByTmaWhereTheProductIsLong) {
  const DeviceShape h200{132};
  const auto boxed = [&](const GemmArgs& args) { return plan_gemm_wgmma(args, h200).boxed_stores; };
  const GemmArgs large{.type = Element::e4m3, .rows = 4096, .n = 7168, .k = 2048};
  EXPECT_TRUE(boxed(large));
  EXPECT_EQ(plan_gemm_wgmma(large, h200).stages, 5);  // the room for c costs the sixth
  GemmArgs other = large;
  other.rows = 64;  // what counts is how many weights are under way
  EXPECT_FALSE(boxed(other));
  other = large;
  other.n = 7164;  // rows do not start on 16 bytes
  EXPECT_FALSE(boxed(other));
  other = large;
  other.c_row = 8192;  // rows are not one after another
  EXPECT_FALSE(boxed(other));
  other = large;
  alignas(16) static std::uint16_t c[16] = {};
  other.c = c + 4;
  EXPECT_FALSE(boxed(other));
  other.c = c + 8;
  EXPECT_TRUE(boxed(other));
  // Few tiles: split along k, the parts are f32
  EXPECT_GT(plan_gemm_wgmma({.type = Element::e4m3, .rows = 100, .n = 2112, .k = 7168}, h200).splits, 1);
  EXPECT_FALSE(boxed({.type = Element::e4m3, .rows = 100, .n = 2112, .k = 7168}));
}

TEST(GemmPlan, TallTilesArePairsOfTwoHundredAndFiftySixRows) {
  const DeviceShape h200{132};
  const GemmArgs large{.type = Element::e4m3, .rows = 4096, .n = 7168, .k = 2048};
  EXPECT_TRUE(gemm_tall_supports(large));
  const GemmPlan plan = plan_gemm_tall(large, h200);
  EXPECT_EQ(plan.tile_rows, 256);
  EXPECT_EQ(plan.cluster, 2);
  EXPECT_EQ(plan.grid, 132u);
  EXPECT_EQ(plan.splits, 1);
  EXPECT_TRUE(plan.boxed_stores);
  // Four stages, half a tile of c, barriers, and the first tiles of as many groups as there may be.
  EXPECT_LE(plan.stages * (256 + 128) * 128 + 2 * 64 * 128 * 2 + 2 * plan.stages * 8 + 513 * 4, 232448);
  GemmArgs few = large;
  few.rows = 600;  // two pairs of tiles of rows, 56 of columns: 112 pairs on 66
  EXPECT_EQ(plan_gemm_tall(few, h200).grid, 132u);
  few.rows = 128;
  EXPECT_FALSE(gemm_tall_supports(few));
  GemmArgs groups = large;
  groups.rows_kind = Rows::contiguous;
  groups.groups = 8;
  EXPECT_TRUE(gemm_tall_supports(groups));
  groups.groups = 513;
  groups.rows = 513 * 300;
  EXPECT_FALSE(gemm_tall_supports(groups));
}

TEST(GemmPlan, PairsBlocksThatShareWeights) {
  const DeviceShape h200{132};
  const auto plan = [&](int rows, Rows kind = Rows::same, int groups = 1) {
    return plan_gemm_wgmma(
        {.type = Element::e4m3, .rows_kind = kind, .groups = groups, .rows = rows, .n = 7168, .k = 2048},
        h200);
  };
  EXPECT_EQ(plan(4096).cluster, 2);
  EXPECT_EQ(plan(4096).grid, 132u);
  EXPECT_EQ(plan(256).cluster, 2);  // 56 pairs
  EXPECT_EQ(plan(256).grid, 112u);
  EXPECT_EQ(plan(300).cluster, 1);   // three tiles: a quarter of the blocks would have nothing to do
  EXPECT_EQ(plan(1100).cluster, 2);  // nine: a tenth
  EXPECT_EQ(plan(64).cluster, 1);
  EXPECT_EQ(plan(8192, Rows::contiguous, 8).cluster, 2);
  EXPECT_EQ(plan(2048, Rows::contiguous, 8).cluster, 1);  // groups of two tiles, more or less
  const GemmPlan odd = plan_gemm_wgmma({.type = Element::e4m3, .rows = 4096, .n = 7168, .k = 2048}, {7});
  EXPECT_EQ(odd.grid, 6u);
}

TEST(SwappedPlan, RingsFillSharedMemoryAndFit) {
  for (const int columns : {64, 128}) {
    for (const int rows : {8, 16, 32, 64, 128}) {
      if (columns == 64 && rows == 128) continue;  // there is none
      const SwappedRoom room{columns, rows};
      EXPECT_LE(room.bytes(1024), 232448);
      EXPECT_EQ(room.stage_bytes() % 1024, 0);  // atoms of the swizzle
      EXPECT_EQ(room.beside_stage() % 8, 0);    // barriers
      // Memory answers after about a microsecond: 36 KB of a processor's share of 4.8 TB/s.
      EXPECT_GE(room.stages() * room.w_bytes(), 96 * 1024);
    }
  }
  EXPECT_EQ((SwappedRoom{128, 8}.stages()), 12);
  EXPECT_EQ((SwappedRoom{64, 8}.stages()), 24);
}

GemmArgs e4m3(int rows, int n, int k) {
  return {.type = Element::e4m3, .rows = rows, .n = n, .k = k};
}

TEST(SwappedPlan, TilesAreNoHigherThanTheRows) {
  const DeviceShape h200{132};
  for (const auto& [rows, high] :
       {std::pair{1, 8}, {8, 8}, {9, 16}, {16, 16}, {17, 32}, {33, 64}, {64, 64}, {65, 128}, {200, 128}})
    EXPECT_EQ(plan_gemm_swapped(e4m3(rows, 4096, 7168), h200).tile_rows, high) << rows;
  const auto masked = [&](int room, int typical) {
    GemmArgs args = e4m3(room, 4096, 7168);
    args.rows_kind = Rows::masked;
    args.groups = 32;
    args.typical_rows = typical;
    return plan_gemm_swapped(args, h200).tile_rows;
  };
  EXPECT_EQ(masked(1024, 20), 32);  // groups vary: half as many again
  EXPECT_EQ(masked(1024, 16), 32);
  EXPECT_EQ(masked(16, 16), 16);  // but not more than there is room for
  EXPECT_EQ(masked(1024, 64), 128);
}

TEST(SwappedPlan, FillsTheProcessorsWithV3sShapes) {
  const DeviceShape h200{132};
  const auto plan = [&](int rows, int n, int k) { return plan_gemm_swapped(e4m3(rows, n, k), h200); };
  for (const int rows : {1, 16, 64, 128}) {
    for (const auto& [n, k] : {std::pair{2112, 7168},
                               {576, 7168},
                               {24576, 1536},
                               {32768, 512},
                               {7168, 16384},
                               {4096, 7168},
                               {7168, 2048},
                               {36864, 7168}}) {
      const GemmPlan cut = plan(rows, n, k);
      EXPECT_GE(cut.grid, rows == 128 && n == 576 ? 70u : 88u) << rows << ' ' << n << ' ' << k;
      EXPECT_LE(cut.grid, 132u);
      EXPECT_GE(k / 128 / cut.splits, 4);
      if (cut.splits == 1) continue;
      EXPECT_LE(static_cast<std::size_t>(cut.splits) * static_cast<std::size_t>(rows * n) * sizeof(float),
                most_parts_bytes(h200));
    }
  }
  EXPECT_EQ(plan(1, 7168, 2048).tile_columns, 64);  // 112 tiles: no second kernel
  EXPECT_EQ(plan(1, 7168, 2048).splits, 1);
  EXPECT_EQ(plan(1, 2112, 7168).splits, 7);  // 17 tiles · 7 = 119
  EXPECT_EQ(plan(1, 36864, 7168).splits, 1);
  EXPECT_EQ(plan(100, 7168, 2048).tile_columns, 128);
}

// What memory bounds has to ask for enough at a time: see the table in docs/kernels-cuda.md.
TEST(BytesUnderWay, AreWhatMemoryNeeds) {
  const DeviceShape h200{132};
  const long long needed = needed_bytes_under_way(h200);
  EXPECT_EQ(needed, 25454);
  EXPECT_EQ(bytes_under_way(indexer_stages, indexer_tile_keys * indexer_dim, indexer_blocks), 163840);
  EXPECT_EQ(bytes_under_way(mla_wgmma_pages, mla_block * mla_width * 2, 1), 73728);
  for (const long long there :
       {bytes_under_way(indexer_stages, indexer_tile_keys * indexer_dim, indexer_blocks),
        bytes_under_way(mla_wgmma_pages, mla_block * mla_width * 2, 1),
        bytes_under_way(mla_wgmma_pages, mla_block * csa_width * 2, 1)})
    EXPECT_GE(there, 2 * needed);
  // Weights alone, and a block has no more of them before it than its tile: few processors must ask for more.
  for (const int rows : {1, 16, 64, 128}) {
    for (const auto& [n, k] :
         {std::pair{2112, 7168}, {24576, 1536}, {32768, 512}, {7168, 16384}, {4096, 7168}, {7168, 2048}}) {
      const GemmPlan plan = plan_gemm_swapped(e4m3(rows, n, k), h200);
      const SwappedRoom room{plan.tile_columns, plan.tile_rows};
      const long long tiles = static_cast<long long>(ceil_div(n, plan.tile_columns)) * plan.splits;
      const long long slabs =
          k / 128 / plan.splits * ceil_div(static_cast<int>(tiles), static_cast<int>(plan.grid));
      const long long there =
          std::min<long long>(slabs, plan.stages) * room.w_bytes() * plan.grid / h200.processors;
      EXPECT_GE(there, needed) << rows << ' ' << n << ' ' << k << ": " << plan.splits << " parts, grid "
                               << plan.grid;
    }
  }
}

TEST(SwappedPlan, GroupsAreNotSplit) {
  GemmArgs args = e4m3(8, 256, 7168);
  args.rows_kind = Rows::contiguous;
  args.groups = 64;
  const GemmPlan plan = plan_gemm_swapped(args, {132});
  EXPECT_EQ(plan.splits, 1);
  EXPECT_EQ(plan.grid, 32u);  // eight rows reach eight groups at most, of four tiles each
}

TEST(GemmChoice, RowsDecide) {
  EXPECT_EQ(choose_gemm(e4m3(1, 2112, 7168), 90), GemmWay::swapped);
  EXPECT_EQ(choose_gemm(e4m3(128, 2112, 7168), 90), GemmWay::swapped);
  EXPECT_EQ(choose_gemm(e4m3(129, 2112, 7168), 90), GemmWay::wgmma);
  EXPECT_EQ(choose_gemm(e4m3(1, 2112, 7168), 80), GemmWay::mma);
  EXPECT_EQ(choose_gemm({.rows = 1, .n = 2112, .k = 7168}, 90), GemmWay::mma);  // bf16
  GemmArgs grouped = e4m3(512, 4096, 7168);
  grouped.rows_kind = Rows::contiguous;
  grouped.groups = 8;
  EXPECT_EQ(choose_gemm(grouped, 90), GemmWay::swapped);  // 64 each
  grouped.rows = 520;
  EXPECT_EQ(choose_gemm(grouped, 90), GemmWay::wgmma);
  GemmArgs heads = e4m3(1, 512, 128);
  heads.groups = 128;
  EXPECT_EQ(choose_gemm(heads, 90), GemmWay::mma);
  alignas(16) static std::uint8_t bytes[32] = {};
  GemmArgs apart = e4m3(1, 2112, 7168);
  apart.w = bytes + 8;  // TMA reads from 16 bytes
  EXPECT_EQ(choose_gemm(apart, 90), GemmWay::mma);
}

TEST(MlaChoice, RowsAndTheCacheDecide) {
  static constexpr std::int32_t named = 0;
  const auto way = [](int queries, int heads, bool fp8, bool sparse, int arch = 90) {
    return choose_mla_decode(
        {.ids = sparse ? &named : nullptr, .queries = queries, .heads = heads, .fp8_cache = fp8}, arch);
  };
  EXPECT_EQ(way(1, 16, false, false), MlaWay::mma);
  EXPECT_EQ(way(1, 63, false, false), MlaWay::mma);
  EXPECT_EQ(way(4, 16, false, false), MlaWay::wgmma);  // one tile: memory bounds it
  EXPECT_EQ(way(1, 65, false, false), MlaWay::seesaw);
  EXPECT_EQ(way(1, 128, false, false), MlaWay::seesaw);
  EXPECT_EQ(way(1, 16, true, false), MlaWay::seesaw);
  EXPECT_EQ(way(1, 16, false, true), MlaWay::mma);
  EXPECT_EQ(way(1, 64, false, true), MlaWay::gather);
  EXPECT_EQ(way(1, 16, true, true), MlaWay::gather);
  EXPECT_EQ(way(1, 128, true, true, 80), MlaWay::mma);
  EXPECT_EQ(way(1, 128, false, false, 80), MlaWay::mma);
}

// Deals the blocks of these requests to the parts and checks that each is dealt once, that no two pieces
// share a slot, and that no part has more than its share.
void expect_dealt(const std::vector<int>& blocks, int parts) {
  std::vector<int> first{0};
  for (const int b : blocks) first.push_back(first.back() + b);
  const int requests = static_cast<int>(blocks.size());
  const int per_part = part_blocks(first.back(), parts);
  std::set<std::pair<int, int>> dealt;
  std::set<int> slots;
  for (int part = 0; part < parts; ++part) {
    int mine = 0;
    if (part * per_part >= first.back()) continue;
    for (int r = request_at(first.data(), requests, part * per_part);
         r < requests && first[static_cast<std::size_t>(r)] < (part + 1) * per_part; ++r) {
      const int n = blocks[static_cast<std::size_t>(r)];
      if (n == 0) continue;
      const KvPiece piece = piece_of(part, per_part, first[static_cast<std::size_t>(r)], n);
      ASSERT_LT(piece.begin, piece.end);
      mine += piece.end - piece.begin;
      for (int b = piece.begin; b < piece.end; ++b) EXPECT_TRUE(dealt.emplace(r, b).second);
      const KvPiece range = parts_of(per_part, first[static_cast<std::size_t>(r)], n);
      EXPECT_GE(part, range.begin);
      EXPECT_LT(part, range.end);
      EXPECT_TRUE(slots.insert(partial_slot(part, r)).second);
      EXPECT_LT(partial_slot(part, r), parts + requests);
    }
    EXPECT_LE(mine, per_part);
  }
  EXPECT_EQ(std::ssize(dealt), first.back());
  EXPECT_EQ(per_part, std::max(1, ceil_div(first.back(), parts)));  // no part has more than its share
}

TEST(SplitPlan, DealsEveryBlockOnce) {
  expect_dealt({64}, 132);
  expect_dealt({1, 2, 3, 4, 5}, 4);
  expect_dealt({0, 7, 0, 0, 9, 0}, 5);
  expect_dealt({0, 0}, 3);
  expect_dealt({73, 705, 28, 27}, 66);  // ThunderMLA's lengths in blocks
  expect_dealt(std::vector<int>(128, 64), 66);
  for (int parts = 1; parts < 40; ++parts) expect_dealt({3, 1, 0, 12, 5, 5, 1, 0, 31}, parts);
}

TEST(MlaPlan, FillsTheProcessors) {
  const DeviceShape h200{132};
  const MlaDecodePlan wide = plan_mla_decode({.requests = 128, .heads = 128, .max_blocks = 64}, h200);
  EXPECT_EQ(wide.tile_rows, 64);
  EXPECT_EQ(wide.parts * wide.row_blocks, 132);
  const MlaDecodePlan narrow = plan_mla_decode({.requests = 128, .heads = 16, .max_blocks = 64}, h200);
  EXPECT_EQ(narrow.tile_rows, 16);
  EXPECT_EQ(narrow.parts, 132);
  EXPECT_EQ(plan_mla_decode({.requests = 1, .heads = 16, .max_blocks = 3}, h200).parts, 3);
}

// Every tile of every head once; sections of heads one after another, and in each the longest first.
void expect_prefill_order(int query_tiles, int heads, long long head_bytes, long long cache_bytes,
                          int heads_at_once) {
  const PrefillSchedule plan = plan_prefill(query_tiles, heads, head_bytes, cache_bytes);
  EXPECT_EQ(plan.heads_at_once, heads_at_once);
  std::set<std::pair<int, int>> seen;
  int section = 0;
  int last_tile = query_tiles;
  for (int item = 0; item < query_tiles * heads; ++item) {
    const PrefillItem at = prefill_item(plan, item);
    EXPECT_TRUE(at.head >= 0 && at.head < heads && at.query_tile >= 0 && at.query_tile < query_tiles);
    EXPECT_TRUE(seen.insert({at.head, at.query_tile}).second);
    if (at.head / heads_at_once != section) {
      EXPECT_EQ(at.head / heads_at_once, section + 1);
      section = at.head / heads_at_once;
      last_tile = query_tiles;
    }
    EXPECT_LE(at.query_tile, last_tile);
    last_tile = at.query_tile;
  }
}

TEST(PrefillSchedule, TakesHeadsThatFitTheCacheTogetherAndLongTilesFirst) {
  expect_prefill_order(128, 128, 16384LL * 640, 32LL << 20, 3);  // 16K: three heads in L2
  expect_prefill_order(8, 128, 1024LL * 640, 32LL << 20, 43);
  expect_prefill_order(1, 16, 128LL * 640, 32LL << 20, 16);      // all of them
  expect_prefill_order(1024, 2, 131072LL * 640, 32LL << 20, 1);  // not even one: still one
  expect_prefill_order(3, 7, 10, 20, 2);                         // a last section that is not full
}

// What the hardware does: the next block goes to the processor that is free first. The end of a long prompt
// must not wait for a few long tiles.
TEST(PrefillSchedule, LeavesFewProcessorsIdleAtTheEnd) {
  for (const auto& [tiles, heads] : {std::pair{128, 16}, {128, 128}, {32, 128}, {32, 16}}) {
    const PrefillSchedule plan = plan_prefill(tiles, heads, tiles * 128LL * 640, 32LL << 20);
    std::priority_queue<long long, std::vector<long long>, std::greater<>> free_at;
    for (int p = 0; p < 132; ++p) free_at.push(0);
    long long sum = 0;
    long long end = 0;
    for (int item = 0; item < tiles * heads; ++item) {
      const long long work = prefill_item(plan, item).query_tile + 1;
      const long long done = free_at.top() + work;
      free_at.pop();
      free_at.push(done);
      sum += work;
      end = std::max(end, done);
    }
    EXPECT_LT(static_cast<double>(end), 1.08 * static_cast<double>(sum) / 132) << tiles << " × " << heads;
  }
}

TEST(IndexerPlan, FillsTheProcessorsTwice) {
  const DeviceShape h200{132};
  EXPECT_EQ(plan_indexer_parts(128, 8192, h200), 264);
  EXPECT_EQ(plan_indexer_parts(1, 131072, h200), 264);
  EXPECT_EQ(plan_indexer_parts(1, 8192, h200), 64);  // a tile of 128 keys each
  EXPECT_EQ(plan_indexer_parts(3, 129, h200), 6);
  EXPECT_EQ(plan_indexer_parts(0, 129, h200), 1);
}

TEST(Radix, KeysKeepTheOrderOfFloats) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> ascending{-inf, -3e38F, -1, -1e-40F, -0.0F, 0.0F, 1e-40F, 1, 3e38F, inf};
  for (std::size_t i = 1; i < ascending.size(); ++i)
    EXPECT_LT(ordered_key(std::bit_cast<std::uint32_t>(ascending[i - 1])),
              ordered_key(std::bit_cast<std::uint32_t>(ascending[i])));
}

TEST(Radix, PassesLookAtEveryBitOnce) {
  std::uint32_t seen = 0;
  for (int pass = 0; pass < radix_passes; ++pass) {
    const RadixDigit digit = radix_digit(pass);
    EXPECT_EQ(settled_bits(pass), seen);
    EXPECT_LT(digit.mask, static_cast<std::uint32_t>(radix_bins));
    seen |= digit.mask << digit.shift;
  }
  EXPECT_EQ(seen, 0xffffffffu);
}

TEST(Permutation, WarpsGetEveryPairOnceInOrder) {
  for (const long long pairs : {0LL, 1LL, 8LL, 31LL, 32LL, 33LL, 1024LL, 1025LL, 32768LL, 40001LL}) {
    long long next = 0;
    for (int warp = 0; warp < 32; ++warp) {
      const PairRun run = pairs_of_warp(pairs, 32, warp);
      EXPECT_EQ(run.begin, next);
      EXPECT_TRUE(run.begin % 32 == 0 || run.begin == pairs);
      next = run.end;
    }
    EXPECT_EQ(next, pairs);
  }
}

}  // namespace
}  // namespace dsbench::engine::kernels::cuda
