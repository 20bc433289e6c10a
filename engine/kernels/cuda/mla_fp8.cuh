#pragma once

#include "engine/kernels/cuda/mla_decode.h"
#include "engine/kernels/cuda/simt.h"

// Entries of an FP8 cache made bf16 on the way in.
namespace dsbench::engine::kernels::cuda {

// Sixteen codes times their scale: two pieces of 16 bytes.
DSB_DEVICE void widen_codes(const Bytes16& codes, float scale, Bytes16 (&out)[2]) {
  DSB_UNROLL
  for (int half = 0; half < 2; ++half) {
    DSB_UNROLL
    for (int w = 0; w < 4; ++w) {
      float low = 0;
      float high = 0;
      simt::from_e4m3x2(codes.word[half * 2 + w / 2] >> (w % 2 * 16) & 0xffffu, low, high);
      out[half].word[w] = simt::to_bf16x2(low * scale, high * scale);
    }
  }
}

// A quarter of a page, 16 entries, as a warpgroup holds it: what a thread has read from memory long before it
// is wanted. Its pieces of 16 bytes are those of every eighth entry, whose places in a swizzled tile differ
// by constants. A warp takes half of the codes of two entries at a time, so that the eight lanes that store
// together meet all banks: four neighbouring pieces each of an even and of an odd entry, whose swizzles
// differ in the last bit.
struct CacheQuarter {
  static constexpr int entries = 16;
  static constexpr int codes_of_thread = entries * (mla_latent / 16) / 128;
  static constexpr int ropes_of_thread = entries * (mla_rope / 8) / 128;

  Bytes16 codes[codes_of_thread];
  float scale[codes_of_thread];
  Bytes16 rope[ropes_of_thread];

  // Of the codes: the first entry and the first piece of a thread, and what is added for number i.
  DSB_DEVICE static int entry(int thread) { return thread / 32 * 2 + thread % 8 / 4; }
  DSB_DEVICE static int piece(int thread) { return thread % 32 / 8 * 4 + thread % 4; }
  static constexpr int more_entries(int i) { return i / 2 * 8; }
  static constexpr int more_pieces(int i) { return i % 2 * 16; }
  DSB_DEVICE static int rope_entry(int thread) { return thread / 8; }
  DSB_DEVICE static int rope_piece(int thread) { return thread % 8; }
  static constexpr int more_rope_entries(int i) { return i * 16; }

  // What may not be read are zeros.
  template <class Entries>
  DSB_DEVICE void load_codes(int i, const Entries& those, int thread) {
    codes[i] = {};
    scale[i] = 0;
    const unsigned char* const from = those.of_codes(entry(thread), more_entries(i));
    if (from == nullptr) return;
    codes[i] = simt::load16(from + piece(thread) * 16 + more_pieces(i) * 16);
    scale[i] = *reinterpret_cast<const float*>(from + mla_scales_at + piece(thread) / 8 * 4 +
                                               more_pieces(i) / 8 * 4);
  }
  template <class Entries>
  DSB_DEVICE void load_rope(int i, const Entries& those, int thread) {
    rope[i] = {};
    const unsigned char* const from = those.of_rope(rope_entry(thread), more_rope_entries(i));
    if (from == nullptr) return;
    rope[i] = simt::load16(from + rope_piece(thread) * 16 + mla_rope_at);
  }
  template <class Entries>
  DSB_DEVICE void load(const Entries& those, int thread) {
    DSB_UNROLL
    for (int i = 0; i < codes_of_thread; ++i) load_codes(i, those, thread);
    DSB_UNROLL
    for (int i = 0; i < ropes_of_thread; ++i) load_rope(i, those, thread);
  }
};

// Entries that lie one after another, of which `valid` may be read; null for the others. The number of an
// entry is a thread's first and what is added to it.
struct EntriesInOrder {
  const unsigned char* from;
  int valid;

  [[nodiscard]] DSB_DEVICE const unsigned char* of_codes(int entry, int more) const {
    return entry + more < valid ? from + entry * mla_fp8_bytes + more * mla_fp8_bytes : nullptr;
  }
  [[nodiscard]] DSB_DEVICE const unsigned char* of_rope(int entry, int more) const {
    return of_codes(entry, more);
  }
};

}  // namespace dsbench::engine::kernels::cuda
