#include "engine/kernels/cuda/dsa_indexer_wgmma.h"

#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/split_plan.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/warp_scan.cuh"
#include "engine/kernels/cuda/wgmma_descriptor.h"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int consumers = 2;
constexpr int group_threads = 128;
constexpr int group_keys = 64;
constexpr int consumer_warps = consumers * group_threads / 32;
constexpr int block_threads = consumers * group_threads + 32;  // one warp fetches
constexpr int stages = indexer_stages;
constexpr int q_buffers = 2;
constexpr int q_bytes = indexer_heads * indexer_dim;
constexpr int k_bytes = indexer_tile_keys * indexer_dim;

struct Barriers {
  simt::Barrier q_full[q_buffers];
  simt::Barrier q_empty[q_buffers];
  simt::Barrier k_full[stages];
  simt::Barrier k_empty[stages];
};

// Where things lie in shared memory.
struct Shared {
  unsigned char* q;
  unsigned char* k;
  Barriers* barriers;
  int* first;  // [requests + 1] tiles of the requests before each
};

// Where one is in a ring: both sides count all that went through it.
template <int kSize>
struct Turn {
  int at = 0;
  int phase = 0;
  DSB_DEVICE void next() {
    if (++at == kSize) {
      at = 0;
      phase ^= 1;
    }
  }
};

// The pieces of this block's part, one after another.
template <class Work>
DSB_DEVICE void for_each_piece(const IndexerArgs& args, const int* first, const Work& work) {
  const int per_part = part_blocks(first[args.requests], simt::grid_x());
  const int begin = simt::block_x() * per_part;
  if (begin >= first[args.requests]) return;
  DSB_NO_UNROLL
  for (int r = request_at(first, args.requests, begin); r < args.requests && first[r] < begin + per_part;
       ++r) {
    const int tiles = first[r + 1] - first[r];
    if (tiles > 0) work(r, piece_of(simt::block_x(), per_part, first[r], tiles));
  }
}

// Keys beyond a request's are others', or zeros beyond the last: they only reach logits that are not written.
DSB_DEVICE void fetch_pieces(const IndexerArgs& args, const TensorMap& q_map, const TensorMap& k_map,
                             const Shared& shared) {
  Barriers& b = *shared.barriers;
  Turn<q_buffers> q_turn;
  Turn<stages> turn;
  for_each_piece(args, shared.first, [&](int request, const KvPiece& piece) {
    simt::wait_barrier(&b.q_empty[q_turn.at], q_turn.phase ^ 1);
    simt::expect_bytes(&b.q_full[q_turn.at], q_bytes);
    simt::copy_box(shared.q + q_turn.at * q_bytes, q_map, &b.q_full[q_turn.at], 0, request * indexer_heads);
    q_turn.next();
    DSB_NO_UNROLL
    for (int tile = piece.begin; tile < piece.end; ++tile, turn.next()) {
      simt::wait_barrier(&b.k_empty[turn.at], turn.phase ^ 1);
      simt::expect_bytes(&b.k_full[turn.at], k_bytes);
      simt::copy_box(shared.k + turn.at * k_bytes, k_map, &b.k_full[turn.at], 0,
                     request * args.context + tile * indexer_tile_keys);
    }
  });
}

// Keys are the rows of the product and heads its columns: the sum over heads is a thread's own 16 of them and
// two shuffles.
DSB_DEVICE void score_pieces(const IndexerArgs& args, const Shared& shared) {
  Barriers& b = *shared.barriers;
  const int lane = simt::thread() % 32;
  const int group = simt::uniform(simt::thread() / group_threads);
  const int row0 = group * group_keys + simt::thread() % group_threads / 32 * 16;
  // Of the four lanes that share two rows the first writes the one, the second the other.
  const bool writes = lane % 4 < 2;
  const int my_row = row0 + c_row(lane, lane % 2 * 2);
  Turn<q_buffers> q_turn;
  Turn<stages> turn;
  for_each_piece(args, shared.first, [&](int request, const KvPiece& piece) {
    const int length = args.lengths[request];
    float weight[indexer_heads / 8][2];
    DSB_UNROLL
    for (int j = 0; j < indexer_heads / 8; ++j) {
      DSB_UNROLL
      for (int c = 0; c < 2; ++c)
        weight[j][c] = args.weights[request * indexer_heads + j * 8 + c_col(lane, c)];
    }
    simt::wait_barrier(&b.q_full[q_turn.at], q_turn.phase);
    const std::uint64_t q_operand = simt::whole(k_major_descriptor(
        simt::shared_address(shared.q) + static_cast<std::uint32_t>(simt::uniform(q_turn.at) * q_bytes)));
    DSB_NO_UNROLL
    for (int tile = piece.begin; tile < piece.end; ++tile, turn.next()) {
      const int key = tile * indexer_tile_keys + my_row;
      const long long to = static_cast<long long>(request) * args.context + key;
      const bool mine = writes && key < length;
      const float scale = mine ? args.k_scale[to] : 0.0f;
      simt::wait_barrier(&b.k_full[turn.at], turn.phase);
      const std::uint64_t k_operand = simt::whole(k_major_descriptor(
          simt::shared_address(shared.k) +
          static_cast<std::uint32_t>(simt::uniform(turn.at) * k_bytes + group * group_keys * indexer_dim)));
      float score[indexer_heads / 2];
      simt::wgmma_fence(score);
      DSB_UNROLL
      for (int step = 0; step < indexer_dim / 32; ++step)
        simt::wgmma_e4m3_n64(score, k_operand + static_cast<std::uint64_t>(step * 2),
                             q_operand + static_cast<std::uint64_t>(step * 2), step > 0);
      simt::wgmma_commit();
      simt::wgmma_wait<0>(score);
      if (lane == 0) simt::arrive(&b.k_empty[turn.at]);
      float sum[2] = {};
      DSB_UNROLL
      for (int e = 0; e < indexer_heads / 2; ++e)
        sum[e % 4 / 2] += weight[e / 4][e % 2] * simt::larger(score[e], 0.0f);
      sum[0] = sum_over(sum[0], 4);
      sum[1] = sum_over(sum[1], 4);
      if (mine) args.logits[to] = scale * (lane % 2 == 0 ? sum[0] : sum[1]);
    }
    if (lane == 0) simt::arrive(&b.q_empty[q_turn.at]);
    q_turn.next();
  });
}

DSB_KERNEL(block_threads, indexer_blocks)
dsa_indexer_wgmma_kernel(const DSB_GRID_CONSTANT TensorMap q_map, const DSB_GRID_CONSTANT TensorMap k_map,
                         const DSB_GRID_CONSTANT IndexerArgs args) {
  unsigned char* const base = simt::shared();
  auto* const barriers = reinterpret_cast<Barriers*>(base + q_buffers * q_bytes + stages * k_bytes);
  const Shared shared{base, base + q_buffers * q_bytes, barriers, reinterpret_cast<int*>(barriers + 1)};
  if (simt::thread() / 32 == 0)
    prefix_of(shared.first, args.requests,
              [&](int r) { return ceil_div(args.lengths[r], indexer_tile_keys); });
  if (simt::thread() == 32) {
    simt::prefetch_map(q_map);
    simt::prefetch_map(k_map);
    for (int i = 0; i < q_buffers; ++i) {
      simt::init_barrier(&barriers->q_full[i], 1);
      simt::init_barrier(&barriers->q_empty[i], consumer_warps);
    }
    for (int i = 0; i < stages; ++i) {
      simt::init_barrier(&barriers->k_full[i], 1);
      simt::init_barrier(&barriers->k_empty[i], consumer_warps);
    }
    simt::fence_barriers();
  }
  simt::sync_block();
  if (simt::thread() < consumers * group_threads)
    score_pieces(args, shared);
  else if (simt::thread() == consumers * group_threads)
    fetch_pieces(args, q_map, k_map, shared);
}

}  // namespace

Status prepare_dsa_indexer_wgmma(WgmmaIndexer& indexer, const IndexerArgs& args) {
  if (args.requests > indexer_most_requests) return invalid_value;
  indexer.args = args;
  indexer.parts = plan_indexer_parts(args.requests, args.context, device_shape());
  if (args.requests == 0 || args.context == 0) return 0;
  const auto requests = static_cast<std::uint64_t>(args.requests);
  const Status status =
      make_tensor_map(indexer.q, args.q, requests * indexer_heads, indexer_dim, indexer_heads);
  if (status != 0) return status;
  return make_tensor_map(indexer.k, args.k, requests * static_cast<std::uint64_t>(args.context), indexer_dim,
                         indexer_tile_keys);
}

Status dsa_indexer_wgmma(const WgmmaIndexer& indexer, void* stream) {
  const IndexerArgs& args = indexer.args;
  if (args.requests == 0 || args.context == 0) return 0;
  const LaunchShape shape{{static_cast<unsigned>(indexer.parts), 1},
                          block_threads,
                          q_buffers * q_bytes + stages * k_bytes + sizeof(Barriers) +
                              (static_cast<std::size_t>(args.requests) + 1) * sizeof(int)};
  return launch(&dsa_indexer_wgmma_kernel, shape, stream, indexer.q, indexer.k, args);
}

}  // namespace dsbench::engine::kernels::cuda
