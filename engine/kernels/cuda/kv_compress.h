#pragma once

#include <cstdint>

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/launch.h"

namespace dsbench::engine::kernels::cuda {

// DeepSeek-V4's compressor behind its products, over one sequence from its beginning: entry g is, column by
// column, Σ kv · softmax(gate + bias) over the tokens of group g (of `ratio` tokens), with overlap also over
// those of the group before; then RMSNorm by weight (eps 1e-6), then the last `rope` numbers turned in pairs.
// With overlap rows are twice as wide, and their first half is for the entry behind the token's own group.
struct KvCompressArgs {
  const float* kv = nullptr;       // [tokens, width], width = dim, or twice that
  const float* gate = nullptr;     // [tokens, width]
  const float* bias = nullptr;     // [ratio, width], by position in the group
  const float* weight = nullptr;   // [dim]
  const float* cos_sin = nullptr;  // [groups, rope]: cosines of rope/2 angles, then their sines
  void* entries = nullptr;         // [groups, dim], groups = tokens / ratio
  int tokens = 0;
  int ratio = 4;
  int dim = 512;
  int rope = 64;
  bool overlap = true;
  Element type = Element::bf16;  // of the entries
};
[[nodiscard]] bool kv_compress_supports(int dim, int rope, Element type);
[[nodiscard]] Status kv_compress(const KvCompressArgs& args, void* stream);

}  // namespace dsbench::engine::kernels::cuda
