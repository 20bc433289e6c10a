#pragma once

#include "engine/kernels/cuda/host_device.h"

// Split-KV: the cache blocks of all requests laid end to end, cut into parts of equal length, one per
// processor. A part may hold pieces of several requests and a request may lie in several parts; each (part,
// request) piece leaves a partial result that the combine step joins.
namespace dsbench::engine::kernels::cuda {

// Blocks in each part; the last ones may be shorter or empty.
[[nodiscard]] DSB_HD constexpr int part_blocks(int total_blocks, int parts) {
  return total_blocks == 0 ? 1 : ceil_div(total_blocks, parts);
}

// The piece of a request in a part, as blocks of the request; empty when begin ≥ end. `first`: blocks of the
// requests before it; `blocks`: its own.
struct KvPiece {
  int begin;
  int end;
};
[[nodiscard]] DSB_HD constexpr KvPiece piece_of(int part, int per_part, int first, int blocks) {
  const int from = part * per_part - first;
  const int to = from + per_part;
  return {from > 0 ? from : 0, to < blocks ? to : blocks};
}

// The parts that hold a request: [begin, end).
[[nodiscard]] DSB_HD constexpr KvPiece parts_of(int per_part, int first, int blocks) {
  if (blocks == 0) return {0, 0};
  return {first / per_part, (first + blocks - 1) / per_part + 1};
}

// Where the piece's partial result lies. Going through the pieces in order, each step moves on to the next
// part or to the next request (or both), so part + request never repeats: no table is needed. Below parts +
// requests − 1.
[[nodiscard]] DSB_HD constexpr int partial_slot(int part, int request) {
  return part + request;
}

// The request that holds block number `block` of all: first[r] ≤ block < first[r + 1]. `block` <
// first[requests].
[[nodiscard]] DSB_HD constexpr int request_at(const int* first, int requests, int block) {
  int low = 0;
  int high = requests;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first[middle] <= block)
      low = middle;
    else
      high = middle;
  }
  return low;
}

}  // namespace dsbench::engine::kernels::cuda
