#pragma once

#include "engine/kernels/cuda/csa_decode.h"
#include "engine/kernels/cuda/simt.h"

// What a request of csa_decode sees, and how entries of its FP8 cache are read.
namespace dsbench::engine::kernels::cuda {

// A request's list: what is in the window, then the compressed entries that are named.
struct CsaList {
  int recent;
  int count;
};
DSB_DEVICE CsaList csa_list(const CsaDecodeArgs& args, int request) {
  const int length = args.lengths[request];
  const int recent = length < args.window_entries ? length : args.window_entries;
  const int whole = length / args.ratio;
  return {recent, recent + (whole < args.listed ? whole : args.listed)};
}

// 2^(byte − 127): a float's exponent, but for the least, which is subnormal.
DSB_DEVICE float csa_scale(std::uint32_t byte) {
  return simt::bits_float(byte == 0 ? 1u << 22 : byte << 23);
}

}  // namespace dsbench::engine::kernels::cuda
