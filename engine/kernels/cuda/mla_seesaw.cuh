#pragma once

#include "engine/kernels/cuda/mla_output.cuh"
#include "engine/kernels/cuda/mla_tile.cuh"
#include "engine/kernels/cuda/mma_layout.h"
#include "engine/kernels/cuda/softmax_reference.cuh"
#include "engine/kernels/cuda/swizzle.h"
#include "engine/kernels/cuda/vectors.cuh"
#include "engine/kernels/cuda/wgmma_descriptor.h"

// Attention to 64 entries at a time by two warpgroups that take turns, so that the softmax of one stands
// beside products of the other (FlashMLA's seesaw, with the pages in their order): of two neighbouring pages
// each warpgroup makes the weights of one, and both add all pages to their half of the output.
//
//   warpgroup 0   scores a, softmax a, outputs a          outputs b, scores a′ …
//   warpgroup 1   scores b             outputs a, softmax b meanwhile, outputs b, scores b′ …
//
// Who makes weights multiplies them from registers; the other one finds them in shared memory. The reference
// that weights are counted from goes along with them, from page to page.
//
// A page comes and goes in parts: the left and the right half of its values, each of which one warpgroup is
// the last to read, and the rest (the rotary numbers), if there is one. Once the scores are there nobody
// needs that any more: the weights take its place.
//
// Where pages come from is the Source's business:
//
//   struct Source {
//     static constexpr int boxes;        // of 64 columns in a row; the first eight of them are the value
//     static constexpr float score_scale;
//     static constexpr bool plain;       // neither given.sink nor given.turn is there
//     static constexpr bool by_threads;  // cp.async brings entries: who multiplies them has to fence
//     static constexpr bool named;       // entries are the same for all rows; places.seen says which are
//     there static constexpr bool leaves_tail; // entries beyond the length are whatever lay there static
//     constexpr int arrivals[3];  // at places.barriers->full[·][part] for each page static constexpr int
//     fetching;     // registers of a thread that brings pages static constexpr int attending;    // and of
//     one that multiplies int length(int request) const;     // not of named ones
//   };
namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int value_boxes = mla_latent / box_columns;
constexpr int most_parts = 3;

struct SeesawBarriers {
  simt::Barrier q_full;
  simt::Barrier q_empty;
  simt::Barrier full[buffers][most_parts];
  simt::Barrier empty[buffers][most_parts];
  simt::Barrier weights[consumers];  // of the page that this warpgroup has made some of
};

template <class Source>
struct SeesawRoom {
  static constexpr int tile_bytes = Source::boxes * box_bytes;
  static constexpr bool has_rest = Source::boxes > value_boxes;
  static constexpr int parts = has_rest ? 3 : 2;
  static constexpr int weights_bytes = has_rest ? 0 : buffers * box_bytes;
  static constexpr std::size_t bytes = (1 + buffers) * tile_bytes + weights_bytes +
                                       2 * consumers * tile_rows * sizeof(float) +
                                       buffers * 2 * sizeof(std::uint32_t) + sizeof(SeesawBarriers);
  static_assert(bytes <= 232448);

  unsigned char* q;
  unsigned char* kv;
  unsigned char* weights;
  float* tops;          // [consumers][tile_rows]: the reference of the weights that it made
  float* sums;          // [consumers][tile_rows]
  std::uint32_t* seen;  // named: [buffers][2], a bit for each entry of a page
  SeesawBarriers* barriers;

  DSB_DEVICE static SeesawRoom lay_out(unsigned char* base) {
    SeesawRoom room;
    room.q = base;
    room.kv = base + tile_bytes;
    room.weights = room.kv + buffers * tile_bytes;
    room.tops = reinterpret_cast<float*>(room.weights + weights_bytes);
    room.sums = room.tops + consumers * tile_rows;
    room.seen = reinterpret_cast<std::uint32_t*>(room.sums + consumers * tile_rows);
    room.barriers = reinterpret_cast<SeesawBarriers*>(room.seen + buffers * 2);
    return room;
  }
  [[nodiscard]] DSB_DEVICE unsigned char* page(int buffer) const { return kv + buffer * tile_bytes; }
  [[nodiscard]] DSB_DEVICE unsigned char* weights_of(int buffer) const {
    return has_rest ? page(buffer) + value_boxes * box_bytes : weights + buffer * box_bytes;
  }
  DSB_DEVICE static constexpr int first_box(int part) { return part * half_boxes; }
  DSB_DEVICE static constexpr int end_box(int part) {
    return part + 1 < parts ? (part + 1) * half_boxes : Source::boxes;
  }

  // By one thread.
  DSB_DEVICE void init_barriers() const {
    simt::init_barrier(&barriers->q_full, 1);
    simt::init_barrier(&barriers->q_empty, consumer_threads / 32);
    for (int buffer = 0; buffer < buffers; ++buffer) {
      for (int part = 0; part < parts; ++part) {
        simt::init_barrier(&barriers->full[buffer][part], Source::arrivals(part));
        simt::init_barrier(&barriers->empty[buffer][part], group_threads / 32);
      }
    }
    for (int group = 0; group < consumers; ++group)
      simt::init_barrier(&barriers->weights[group], group_threads / 32);
    simt::fence_barriers();
  }
};

// One of the warpgroups that multiply.
template <int kGroup, class Source>
class Seesaw {
 public:
  DSB_DEVICE Seesaw(const Source& source, const MlaRows& given, const int* first, const MlaPartials& partials,
                    const SeesawRoom<Source>& room)
      : source_(source), given_(given), first_(first), partials_(partials), room_(room) {}

  DSB_DEVICE void attend() {
    for_each_piece(given_.requests, first_,
                   [&](int request, const KvPiece& piece, int blocks) { attend(request, piece, blocks); });
  }

 private:
  static constexpr int other = 1 - kGroup;
  static constexpr float score_scale_2 =
      Source::score_scale * 1.44269504088896340736f;  // exp by powers of two
  static constexpr int weight_steps = mla_block / 16;
  static constexpr int rest = 2;  // part

  // By its number among those that come to this block: it lies in the one buffer or the other.
  struct Page {
    unsigned number;
    [[nodiscard]] DSB_DEVICE int buffer() const { return static_cast<int>(number % buffers); }
    [[nodiscard]] DSB_DEVICE int phase() const { return static_cast<int>(number / buffers % 2); }
  };
  using Scores = float[mla_block / 2];
  using Weights = std::uint32_t[weight_steps][4];

  const Source& source_;
  const MlaRows& given_;
  const int* first_;
  const MlaPartials& partials_;
  const SeesawRoom<Source>& room_;
  unsigned pages_ = 0;  // that came and went
  int q_phase_ = 0;
  int weights_phase_ = 0;
  // Of a piece.
  int length_ = 0;
  Reference reference_[2];
  float sum_[2];
  float o_[output_columns / 2];

  [[nodiscard]] DSB_DEVICE static int lane() { return simt::thread() % 32; }
  [[nodiscard]] DSB_DEVICE static int row_in_tile(int h) {
    return simt::thread() % group_threads / 32 * 16 + c_row(lane(), 2 * h);
  }

  DSB_DEVICE void attend(int request, const KvPiece& piece, int blocks) {
    begin(request);
    DSB_NO_UNROLL
    for (int b = piece.begin; b < piece.end; b += 2) {
      const bool paired = b + 1 < piece.end;
      const Page a{pages_};
      const Page after_a{pages_ + 1};
      pages_ += paired ? 2u : 1u;
      if constexpr (kGroup == 0) {
        first_of_pair(b, a, blocks == 1);
        if (paired) {
          take_weights();
          add_weights_of_other(after_a.buffer());
          simt::wgmma_wait<0>(o_);
          release(after_a, kGroup);
          release_rest(after_a);
        }
      } else if (paired) {
        second_of_pair(b + 1, a, after_a);
      } else {
        add_lone(a, blocks == 1 ? 2 : 1);
      }
    }
    if (lane() == 0) simt::arrive(&room_.barriers->q_empty);
    end(request, blocks);
  }

  DSB_DEVICE void begin(int request) {
    if constexpr (!Source::named) length_ = source_.length(request);
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      reference_[h] = {};
      sum_[h] = 0;
    }
    DSB_UNROLL
    for (int e = 0; e < output_columns / 2; ++e) o_[e] = 0;
    simt::wait_barrier(&room_.barriers->q_full, q_phase_);
    q_phase_ ^= 1;
  }

  // The page that warpgroup 0 makes weights of. A request of one page gets a second pass with what rounding
  // them to bf16 cut off (see mla_decode.cu).
  DSB_DEVICE void first_of_pair(int b, const Page& a, bool lone) {
    Scores score;
    Weights weight;
    multiply_scores(score, b, a);
    hide(score, b, a.buffer());
    float largest[2];
    largest_of(score, largest);
    float shrink[2];
    take(largest, shrink);
    rescale(shrink);
    soften(score);
    round(weight, score);
    Weights cut_off = {};
    if (lone) {
      DSB_UNROLL
      for (int e = 0; e < mla_block / 2; e += 2) keep_rounded_off(score[e], score[e + 1]);
      round(cut_off, score);
    }
    give_weights(weight, a.buffer());
    add_own_weights(weight, a.buffer());
    simt::wgmma_wait<0>(o_);
    if (lone) {
      simt::sync_threads_of(consumer_barrier, consumer_threads);  // the other one has read the first
      give_weights(cut_off, a.buffer());
      add_own_weights(cut_off, a.buffer());
      simt::wgmma_wait<0>(o_);
    }
    release(a, kGroup);
  }

  // Warpgroup 1, with b of its own: outputs of the page before are multiplied meanwhile.
  DSB_DEVICE void second_of_pair(int b, const Page& before, const Page& own) {
    Scores score;
    Weights weight;
    multiply_scores(score, b, own);
    hide(score, b, own.buffer());
    float largest[2];
    largest_of(score, largest);
    take_weights();
    add_weights_of_other(before.buffer());
    float shrink[2];
    take(largest, shrink);
    soften(score);
    round(weight, score);
    give_weights(weight, own.buffer());
    simt::wgmma_wait<0>(o_);
    release(before, kGroup);
    release_rest(before);
    rescale(shrink);
    add_own_weights(weight, own.buffer());
    simt::wgmma_wait<0>(o_);
    release(own, kGroup);
  }

  // Warpgroup 1, without one.
  DSB_DEVICE void add_lone(const Page& a, int passes) {
    DSB_NO_UNROLL
    for (int pass = 0; pass < passes; ++pass) {
      if (pass > 0) simt::sync_threads_of(consumer_barrier, consumer_threads);
      take_weights();
      add_weights_of_other(a.buffer());
      simt::wgmma_wait<0>(o_);
    }
    release(a, kGroup);
    release_rest(a);
  }

  DSB_DEVICE void multiply_scores(Scores& score, int b, const Page& own) {
    simt::Barrier* const full = room_.barriers->full[own.buffer()];
    unsigned char* const page = room_.page(simt::uniform(own.buffer()));
    if constexpr (Source::leaves_tail) {
      // Slots beyond the length may hold NaN, and 0 · NaN would reach the output.
      const int inside = length_ - b * mla_block;
      if (inside < mla_block) {
        for (int part = 0; part < room_.parts; ++part) simt::wait_barrier(full + part, own.phase());
        for (int i = simt::thread() % group_threads; i < (mla_block - inside) * Source::boxes * 8;
             i += group_threads) {
          const int row = inside + i / (Source::boxes * 8);
          const int piece = i % (Source::boxes * 8);
          simt::store16(page + piece / 8 * box_bytes + swizzled_offset(row, piece % 8, 8), Bytes16{});
        }
        simt::fence_async();
        sync_group();
      }
    }
    const std::uint64_t q = k_major_descriptor(simt::shared_address(room_.q));
    const std::uint64_t k = simt::whole(k_major_descriptor(simt::shared_address(page)));
    DSB_UNROLL
    for (int part = 0; part < room_.parts; ++part) {
      simt::wait_barrier(full + part, own.phase());
      if constexpr (Source::by_threads) simt::fence_async();
      // Having waited in a loop the compiler wants another fence.
      if (part == 0)
        simt::wgmma_fence(score);
      else
        simt::wgmma_fence();
      DSB_UNROLL
      for (int box = room_.first_box(part); box < room_.end_box(part); ++box) {
        DSB_UNROLL
        for (int step = 0; step < box_columns / 16; ++step) {
          const auto along = static_cast<std::uint64_t>(box * box_bytes / 16 + step * 2);
          simt::wgmma_bf16_n64(score, q + along, k + along, box + step > 0);
        }
      }
    }
    simt::wgmma_commit();
    simt::wgmma_wait<0>(score);
  }

  DSB_DEVICE void hide(Scores& score, int b, int buffer) const {
    const float nothing = -simt::infinity();
    if constexpr (Source::named) {
      const std::uint32_t* const seen = room_.seen + buffer * 2;
      const std::uint32_t half[2] = {seen[0], seen[1]};
      if ((half[0] & half[1]) == 0xffffffffu) return;
      DSB_UNROLL
      for (int e = 0; e < mla_block / 2; ++e) {
        const int at = e / 4 * 8 + c_col(lane(), e % 4);
        if ((half[e / 16] >> (at % 32) & 1u) == 0) score[e] = nothing;
      }
    } else {
      // The first entry that no query sees but the last, and from there on the first that a row does not see.
      const int first_unseen = length_ - given_.queries + 1;
      if ((b + 1) * mla_block <= first_unseen) return;
      const int rows = given_.queries * given_.heads;
      int limit[2];
      DSB_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int row = simt::computed_here(simt::block_y() * tile_rows + row_in_tile(h));
        limit[h] = first_unseen + (row < rows ? row : rows - 1) / given_.heads - b * mla_block;
      }
      DSB_UNROLL
      for (int e = 0; e < mla_block / 2; ++e) {
        if (e / 4 * 8 + c_col(lane(), e % 4) >= limit[e % 4 / 2]) score[e] = nothing;
      }
    }
  }

  DSB_DEVICE static void largest_of(const Scores& score, float (&largest)[2]) {
    largest[0] = score[0];
    largest[1] = score[2];
    DSB_UNROLL
    for (int e = 0; e < mla_block / 2; ++e) largest[e % 4 / 2] = simt::larger(largest[e % 4 / 2], score[e]);
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) largest[h] = largest_over(largest[h], 4);
  }

  DSB_DEVICE void take(const float (&largest)[2], float (&shrink)[2]) {
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      shrink[h] = reference_[h].take(largest[h], score_scale_2);
      sum_[h] *= shrink[h];
    }
  }
  DSB_DEVICE void rescale(const float (&shrink)[2]) {
    if (simt::ballot(shrink[0] != 1.0f || shrink[1] != 1.0f) == 0) return;
    DSB_UNROLL
    for (int e = 0; e < output_columns / 2; ++e) o_[e] *= shrink[e % 4 / 2];
  }

  DSB_DEVICE void soften(Scores& score) {
    DSB_UNROLL
    for (int e = 0; e < mla_block / 2; ++e) {
      score[e] = simt::exp_2_fast(score[e] * score_scale_2 - reference_[e % 4 / 2].base);
      sum_[e % 4 / 2] += score[e];
    }
  }
  // As the first operand of the next product: two tiles of 8 columns of the scores are one step of it,
  // register by register.
  DSB_DEVICE static void round(Weights& weight, const Scores& score) {
    DSB_UNROLL
    for (int e = 0; e < mla_block / 2; e += 2)
      weight[e / 8][e % 8 / 2] = simt::to_bf16x2(score[e], score[e + 1]);
  }

  // To the other warpgroup. All of this one have finished their scores, which read what lay there.
  DSB_DEVICE void give_weights(const Weights& weight, int buffer) const {
    unsigned char* const to = room_.weights_of(buffer);
    if constexpr (room_.has_rest) sync_group();
    // Two rows that lie eight apart, so that what the swizzle does to a chunk of them is the same.
    const int at = simt::computed_here(swizzled_offset(row_in_tile(0), 0, 8) + c_col(lane(), 0) * 2);
    DSB_UNROLL
    for (int e = 0; e < mla_block / 2; e += 2) {
      unsigned char* const chunk = to + (at ^ (e / 4 * 16)) + e % 4 / 2 * (8 * 128);
      *reinterpret_cast<std::uint32_t*>(chunk) = weight[e / 8][e % 8 / 2];
    }
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      if (lane() % 4 == 0) room_.tops[kGroup * tile_rows + row_in_tile(h)] = reference_[h].top;
    }
    simt::fence_async();
    simt::sync_warp();
    if (lane() == 0) simt::arrive(&room_.barriers->weights[kGroup]);
  }
  // From it; what was summed so far is counted from their reference then.
  DSB_DEVICE void take_weights() {
    simt::wait_barrier(&room_.barriers->weights[other], weights_phase_);
    weights_phase_ ^= 1;
    if constexpr (Source::by_threads) simt::fence_async();
    float shrink[2];
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      shrink[h] = reference_[h].follow(room_.tops[other * tile_rows + row_in_tile(h)], score_scale_2);
      sum_[h] *= shrink[h];
    }
    rescale(shrink);
  }

  [[nodiscard]] DSB_DEVICE std::uint64_t values(int buffer) const {
    return simt::whole(n_major_descriptor(
        simt::shared_address(room_.page(simt::uniform(buffer)) + kGroup * half_boxes * box_bytes),
        box_bytes));
  }
  DSB_DEVICE void add_own_weights(Weights& weight, int buffer) {
    const std::uint64_t v = values(buffer);
    simt::wgmma_fence(o_, weight);
    DSB_UNROLL
    for (int step = 0; step < weight_steps; ++step)
      simt::wgmma_bf16_n256_trans(o_, weight[step], v + static_cast<std::uint64_t>(step * 16 * 128 / 16),
                                  true);
    simt::wgmma_commit();
  }
  DSB_DEVICE void add_weights_of_other(int buffer) {
    const std::uint64_t v = values(buffer);
    const std::uint64_t p =
        simt::whole(k_major_descriptor(simt::shared_address(room_.weights_of(simt::uniform(buffer)))));
    simt::wgmma_fence(o_);
    DSB_UNROLL
    for (int step = 0; step < weight_steps; ++step)
      simt::wgmma_bf16_n256_trans(o_, p + static_cast<std::uint64_t>(step * 2),
                                  v + static_cast<std::uint64_t>(step * 16 * 128 / 16), true);
    simt::wgmma_commit();
  }

  DSB_DEVICE void release(const Page& page, int part) const {
    if (lane() == 0) simt::arrive(&room_.barriers->empty[page.buffer()][part]);
  }
  // By who found weights in its place.
  DSB_DEVICE void release_rest(const Page& page) const {
    if constexpr (room_.has_rest) release(page, rest);
  }

  DSB_DEVICE static void sync_group() { simt::sync_threads_of(2 + kGroup, group_threads); }

  DSB_DEVICE void end(int request, int blocks) {
    // None of what follows is kept during the loop.
    const int here = simt::computed_here(simt::thread() % group_threads);
    const int row = here / 32 * 16 + c_row(here % 32, 0);
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      sum_[h] = sum_over(sum_[h], 4);
      if (here % 4 == 0) room_.sums[kGroup * tile_rows + row + 8 * h] = sum_[h];
    }
    simt::sync_threads_of(consumer_barrier, consumer_threads);
    RowSums sums;
    DSB_UNROLL
    for (int h = 0; h < 2; ++h) {
      sums.top[h] = reference_[h].top;
      sums.all[h] = room_.sums[row + 8 * h] + room_.sums[tile_rows + row + 8 * h];
    }
    // Before the next piece's sums and references overwrite them.
    simt::sync_threads_of(consumer_barrier, consumer_threads);
    store_piece<Source::plain>(given_, partials_, first_, request, blocks, kGroup, Source::score_scale, sums,
                               o_);
  }
};

// A block's work: bring(room), by a warpgroup of its own, brings what the others attend to.
template <class Source, class Bring>
DSB_DEVICE void seesaw_part(const Source& source, const MlaRows& given, const int* first,
                            const MlaPartials& partials, const Bring& bring) {
  const auto room = SeesawRoom<Source>::lay_out(simt::shared());
  if (simt::thread() == 0) room.init_barriers();
  simt::sync_block();
  simt::wait_for_previous();
  simt::launch_next();
  const int total = first[given.requests];
  if (simt::block_x() * part_blocks(total, simt::grid_x()) >= total) return;
  const int group = simt::uniform(simt::thread() / group_threads);
  if (group == consumers) {
    simt::release_registers<Source::fetching>();
    bring(room);
    return;
  }
  simt::take_registers<Source::attending>();
  if (group == 0)
    Seesaw<0, Source>(source, given, first, partials, room).attend();
  else
    Seesaw<1, Source>(source, given, first, partials, room).attend();
}

}  // namespace

}  // namespace dsbench::engine::kernels::cuda
