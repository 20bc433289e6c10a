#pragma once

#include "engine/kernels/cuda/simt.h"

// What the weights of an online softmax are counted from. The largest score so far keeps them from
// overflowing, but so does one that is a little less: as long as no score is more than 8 powers of two above,
// the reference stays, and what was summed needs no scaling. The result is the same but for rounding:
// numerator and denominator are counted from the same score. (Conditional rescaling as in FlashAttention-4.)
namespace dsbench::engine::kernels::cuda {

struct Reference {
  float top = -simt::infinity();  // a score; −∞ as long as nothing was seen
  float base = 0;                 // the same times scale, 0 as long as nothing was seen

  // With the largest score of a tile; weights are 2^(scale · score − base). Gives what sums so far are to be
  // multiplied with: 1 where the reference stays.
  DSB_DEVICE float take(float largest, float scale) {
    constexpr float headroom = 8;
    if (!(largest * scale > top * scale + headroom)) return 1.0f;
    const float shrink = simt::exp_2_fast((top - largest) * scale);
    top = largest;
    base = largest * scale;
    return shrink;
  }

  // The reference that somebody else has come to, who began with this one.
  DSB_DEVICE float follow(float theirs, float scale) {
    if (theirs == top) return 1.0f;
    const float shrink = simt::exp_2_fast((top - theirs) * scale);
    top = theirs;
    base = theirs * scale;
    return shrink;
  }
};

}  // namespace dsbench::engine::kernels::cuda
