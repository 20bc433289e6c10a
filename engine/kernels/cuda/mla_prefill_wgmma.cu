#include "engine/kernels/cuda/mla_prefill_wgmma.h"

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/hopper.cuh"
#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/softmax_reference.cuh"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/warp_columns.cuh"
#include "engine/kernels/cuda/wgmma_descriptor.h"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int qk_width = 192;
constexpr int v_width = 128;
constexpr int consumers = 2;
constexpr int group_threads = 128;
constexpr int group_queries = 64;
constexpr int block_threads = (consumers + 1) * group_threads;
constexpr int tile_queries = consumers * group_queries;
constexpr int tile_keys = 128;
constexpr int stages = 2;
constexpr int box_columns = 64;       // 128 bytes of bf16
constexpr int box_bytes = 128 * 128;  // 128 rows
constexpr int k_boxes = qk_width / box_columns;
constexpr int v_boxes = v_width / box_columns;
constexpr int q_bytes = k_boxes * box_bytes;
constexpr int k_bytes = k_boxes * box_bytes;
constexpr int v_bytes = v_boxes * box_bytes;
// Of L2's 50 MB, what keys and values may take; the rest is for queries, outputs and what is on its way out.
constexpr long long cache_bytes = 32LL << 20;
constexpr float log2_e = 1.44269504088896340736f;
constexpr float score_scale = 0.07216878364870322056f * log2_e;  // 192^−0.5, and exp by powers of two

struct Barriers {
  simt::Barrier q_full;
  simt::Barrier k_full[stages];
  simt::Barrier k_empty[stages];
  simt::Barrier v_full[stages];
  simt::Barrier v_empty[stages];
};
constexpr std::size_t shared_bytes = q_bytes + stages * (k_bytes + v_bytes) + sizeof(Barriers);

// Where things lie in shared memory.
struct Shared {
  unsigned char* q;
  unsigned char* k;
  unsigned char* v;
  Barriers* barriers;
};

struct Part {
  int head;
  int query0;
  int first_seen;  // keys that the first query sees
  int tiles;       // of keys that the last one sees
};

DSB_DEVICE Part part_of(const MlaPrefillArgs& args, const PrefillSchedule& schedule) {
  const PrefillItem item = prefill_item(schedule, simt::block_x());
  const int query0 = item.query_tile * tile_queries;
  const int first_seen = args.context - args.queries + query0 + 1;
  const int most_seen =
      first_seen + tile_queries - 1 < args.context ? first_seen + tile_queries - 1 : args.context;
  return {item.head, query0, first_seen, ceil_div(most_seen, tile_keys)};
}

template <int kBoxes>
DSB_DEVICE void fetch_rows(unsigned char* to, const TensorMap& map, simt::Barrier* full, int head, int row) {
  simt::expect_bytes(full, kBoxes * box_bytes);
  DSB_UNROLL
  for (int box = 0; box < kBoxes; ++box)
    simt::copy_box(to + box * box_bytes, map, full, (head * kBoxes + box) * 128, row);
}

// Rows beyond the matrices come as zeros.
DSB_DEVICE void fetch(const Part& part, const TensorMap& q_map, const TensorMap& k_map,
                      const TensorMap& v_map, const Shared& at) {
  Barriers& b = *at.barriers;
  fetch_rows<k_boxes>(at.q, q_map, &b.q_full, part.head, part.query0);
  DSB_NO_UNROLL
  for (int tile = 0; tile < part.tiles; ++tile) {
    const int stage = tile % stages;
    const int empty_phase = tile / stages % 2 ^ 1;  // the first time round nobody has to be waited for
    simt::wait_barrier(&b.k_empty[stage], empty_phase);
    fetch_rows<k_boxes>(at.k + stage * k_bytes, k_map, &b.k_full[stage], part.head, tile * tile_keys);
    simt::wait_barrier(&b.v_empty[stage], empty_phase);
    fetch_rows<v_boxes>(at.v + stage * v_bytes, v_map, &b.v_full[stage], part.head, tile * tile_keys);
  }
}

// score = q·kᵀ of a tile, under way.
DSB_DEVICE void start_scores(float (&score)[tile_keys / 2], std::uint64_t q_operand, const Shared& at,
                             int tile) {
  const int stage = tile % stages;
  simt::wait_barrier(&at.barriers->k_full[stage], tile / stages % 2);
  const std::uint64_t k_operand = simt::whole(
      k_major_descriptor(simt::shared_address(at.k) + static_cast<std::uint32_t>(stage * k_bytes)));
  simt::wgmma_fence(score);
  DSB_UNROLL
  for (int step = 0; step < qk_width / 16; ++step) {
    const auto along = static_cast<std::uint64_t>(step / 4 * (box_bytes / 16) + step % 4 * 2);
    simt::wgmma_bf16_n128(score, q_operand + along, k_operand + along, step > 0);
  }
  simt::wgmma_commit();
}

// o += weights·v of a tile, under way.
DSB_DEVICE void start_outputs(float (&o)[v_width / 2], std::uint32_t (&weight)[tile_keys / 16][4],
                              const Shared& at, int tile) {
  const int stage = tile % stages;
  simt::wait_barrier(&at.barriers->v_full[stage], tile / stages % 2);
  const std::uint64_t v_operand = simt::whole(n_major_descriptor(
      simt::shared_address(at.v) + static_cast<std::uint32_t>(stage * v_bytes), box_bytes));
  simt::wgmma_fence(o, weight);
  DSB_UNROLL
  for (int step = 0; step < tile_keys / 16; ++step)
    simt::wgmma_bf16_n128_trans(o, weight[step], v_operand + static_cast<std::uint64_t>(step * 16 * 128 / 16),
                                true);
  simt::wgmma_commit();
}

// A thread's two rows.
struct Softmax {
  Reference reference[2];
  float sum[2] = {};
};

// Scores to weights; gives by how much what was summed before shrinks. limit: keys that each row sees,
// counted from the tile's first. Each row sees the first key of all, so its maximum is finite from the first
// tile on.
DSB_DEVICE void soften(float (&score)[tile_keys / 2], Softmax& rows, const int (&limit)[2], bool all_seen,
                       float (&shrink)[2]) {
  const int lane = simt::thread() % 32;
  if (!all_seen) {
    DSB_UNROLL
    for (int e = 0; e < tile_keys / 2; ++e) {
      if (e / 4 * 8 + c_col(lane, e % 4) >= limit[e % 4 / 2]) score[e] = -simt::infinity();
    }
  }
  float largest[2] = {score[0], score[2]};
  DSB_UNROLL
  for (int e = 0; e < tile_keys / 2; ++e) largest[e % 4 / 2] = simt::larger(largest[e % 4 / 2], score[e]);
  DSB_UNROLL
  for (int h = 0; h < 2; ++h) {
    shrink[h] = rows.reference[h].take(largest_over(largest[h], 4), score_scale);
    rows.sum[h] *= shrink[h];
  }
  DSB_UNROLL
  for (int e = 0; e < tile_keys / 2; ++e) {
    score[e] = simt::exp_2_fast(score[e] * score_scale - rows.reference[e % 4 / 2].base);
    rows.sum[e % 4 / 2] += score[e];
  }
}

// To bf16, as the A operand of the next product: two tiles of 8 columns of the scores are one step of it,
// register by register.
DSB_DEVICE void round_weights(std::uint32_t (&weight)[tile_keys / 16][4],
                              const float (&score)[tile_keys / 2]) {
  DSB_UNROLL
  for (int e = 0; e < tile_keys / 2; e += 2)
    weight[e / 8][e % 8 / 2] = simt::to_bf16x2(score[e], score[e + 1]);
}

DSB_DEVICE void arrive_by_warp(simt::Barrier* b) {
  if (simt::thread() % 32 == 0) simt::arrive(b);
}

// While the tensor cores multiply the values of one tile, the scores of the next are made weights.
DSB_DEVICE void attend(const MlaPrefillArgs& args, const Part& part, const Shared& at) {
  Barriers& b = *at.barriers;
  const int lane = simt::thread() % 32;
  const int group = simt::uniform(simt::thread() / group_threads);
  const int row0 = group * group_queries + simt::thread() % group_threads / 32 * 16;
  const int group_sees = part.first_seen + group * group_queries;  // its first query
  const int seen[2] = {part.first_seen + row0 + c_row(lane, 0), part.first_seen + row0 + c_row(lane, 2)};
  // Queries that see few keys get a second product with what rounding to bf16 cut off (see mla_decode.cu).
  const bool few = part.first_seen <= tile_keys;
  const std::uint64_t q_operand = k_major_descriptor(simt::shared_address(at.q) +
                                                     static_cast<std::uint32_t>(group * group_queries * 128));
  Softmax rows;
  float shrink[2];
  float score[tile_keys / 2];
  std::uint32_t weight[tile_keys / 16][4];
  float o[v_width / 2];
  DSB_UNROLL
  for (int e = 0; e < v_width / 2; ++e) o[e] = 0;

  const auto add_rounded_off = [&](int tile) {
    std::uint32_t rest[tile_keys / 16][4];
    DSB_UNROLL
    for (int e = 0; e < tile_keys / 2; e += 2) keep_rounded_off(score[e], score[e + 1]);
    round_weights(rest, score);
    start_outputs(o, rest, at, tile);
    simt::wgmma_wait<0>(o);
  };

  simt::wait_barrier(&b.q_full, 0);
  start_scores(score, q_operand, at, 0);
  simt::wgmma_wait<0>(score);
  arrive_by_warp(&b.k_empty[0]);
  soften(score, rows, seen, tile_keys <= group_sees, shrink);
  round_weights(weight, score);
  if (few) add_rounded_off(0);

  DSB_NO_UNROLL
  for (int tile = 1; tile < part.tiles; ++tile) {
    start_scores(score, q_operand, at, tile);
    start_outputs(o, weight, at, tile - 1);
    simt::wgmma_wait<1>(score);
    arrive_by_warp(&b.k_empty[tile % stages]);
    const int limit[2] = {seen[0] - tile * tile_keys, seen[1] - tile * tile_keys};
    soften(score, rows, limit, (tile + 1) * tile_keys <= group_sees, shrink);
    simt::wgmma_wait<0>(o);
    arrive_by_warp(&b.v_empty[(tile - 1) % stages]);
    if (simt::ballot(shrink[0] != 1.0f || shrink[1] != 1.0f) != 0) {
      DSB_UNROLL
      for (int e = 0; e < v_width / 2; ++e) o[e] *= shrink[e % 4 / 2];
    }
    round_weights(weight, score);
    if (few) add_rounded_off(tile);
  }
  start_outputs(o, weight, at, part.tiles - 1);
  simt::wgmma_wait<0>(o);

  DSB_UNROLL
  for (int h = 0; h < 2; ++h) {
    const float all = sum_over(rows.sum[h], 4);
    const int query = part.query0 + row0 + c_row(lane, 2 * h);
    const float inverse = simt::divide(1.0f, all);
    Bf16* const to =
        static_cast<Bf16*>(args.o) + (static_cast<long long>(query) * args.heads + part.head) * v_width;
    DSB_UNROLL
    for (int e = 2 * h; e < v_width / 2; e += 8)
      store_tiles(to + e / 4 * 8, {o[e] * inverse, o[e + 1] * inverse},
                  {o[e + 4] * inverse, o[e + 5] * inverse}, query < args.queries);
  }
}

DSB_KERNEL(block_threads, 1)
mla_prefill_wgmma_kernel(const DSB_GRID_CONSTANT TensorMap q_map, const DSB_GRID_CONSTANT TensorMap k_map,
                         const DSB_GRID_CONSTANT TensorMap v_map, const DSB_GRID_CONSTANT MlaPrefillArgs args,
                         const DSB_GRID_CONSTANT PrefillSchedule schedule) {
  unsigned char* const base = simt::shared();
  unsigned char* const after_k = base + q_bytes + stages * k_bytes;
  const Shared at{base, base + q_bytes, after_k, reinterpret_cast<Barriers*>(after_k + stages * v_bytes)};
  if (simt::thread() == 0) {
    simt::prefetch_map(q_map);
    simt::prefetch_map(k_map);
    simt::prefetch_map(v_map);
    simt::init_barrier(&at.barriers->q_full, 1);
    for (int i = 0; i < stages; ++i) {
      simt::init_barrier(&at.barriers->k_full[i], 1);
      simt::init_barrier(&at.barriers->v_full[i], 1);
      simt::init_barrier(&at.barriers->k_empty[i], consumers * group_threads / 32);
      simt::init_barrier(&at.barriers->v_empty[i], consumers * group_threads / 32);
    }
    simt::fence_barriers();
  }
  simt::sync_block();
  const Part part = part_of(args, schedule);
  if (simt::thread() / group_threads == consumers) {
    simt::release_registers<40>();
    if (simt::thread() % group_threads == 0) fetch(part, q_map, k_map, v_map, at);
  } else {
    simt::take_registers<232>();
    attend(args, part, at);
  }
}

}  // namespace

PrefillSchedule plan_mla_prefill_wgmma(const MlaPrefillArgs& args) {
  return plan_prefill(ceil_div(args.queries, tile_queries), args.heads,
                      static_cast<long long>(args.context) * (qk_width + v_width) * 2, cache_bytes);
}

Status prepare_mla_prefill_wgmma(WgmmaPrefill& prefill, const MlaPrefillArgs& args) {
  if (args.context < args.queries || args.queries < 0 || args.heads < 0) return invalid_value;
  prefill.args = args;
  prefill.schedule = plan_mla_prefill_wgmma(args);
  if (args.queries == 0 || args.heads == 0) return 0;
  const auto heads = static_cast<std::uint64_t>(args.heads);
  const auto context = static_cast<std::uint64_t>(args.context);
  Status status = make_tensor_map(prefill.q, args.q, static_cast<std::uint64_t>(args.queries),
                                  heads * qk_width * 2, tile_queries);
  if (status == 0) status = make_tensor_map(prefill.k, args.k, context, heads * qk_width * 2, tile_keys);
  if (status == 0) status = make_tensor_map(prefill.v, args.v, context, heads * v_width * 2, tile_keys);
  return status;
}

Status mla_prefill_wgmma(const WgmmaPrefill& prefill, void* stream) {
  const PrefillSchedule& schedule = prefill.schedule;
  if (prefill.args.queries == 0 || prefill.args.heads == 0) return 0;
  const LaunchShape shape{
      {static_cast<unsigned>(schedule.query_tiles) * static_cast<unsigned>(schedule.heads), 1},
      block_threads,
      shared_bytes};
  return launch(&mla_prefill_wgmma_kernel, shape, stream, prefill.q, prefill.k, prefill.v, prefill.args,
                schedule);
}

}  // namespace dsbench::engine::kernels::cuda
