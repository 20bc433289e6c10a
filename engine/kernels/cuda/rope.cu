#include "engine/kernels/cuda/rope.h"

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/vectors.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

// Cosines, or sines, of the pairs of a piece: four in one reading, or two.
DSB_DEVICE void load_turns(const float* from, float (&turns)[4]) {
  load_vector(from, turns);
}
DSB_DEVICE void load_turns(const float* from, float (&turns)[2]) {
  turns[0] = from[0];
  turns[1] = from[1];
}

// One thread to a piece: 16 bytes that hold whole pairs (interleaved), or 16 bytes of each half (half), or 16
// bytes of the latent to copy. Pieces of a token: those of its heads, then the rope part of its latent, then
// the latent.
template <class T, bool kInterleaved>
DSB_KERNEL(256, 4)
rope_kv_write_kernel(const T* q_pe, const T* kv, const float* cos_sin, const std::int32_t* positions,
                     const std::int32_t* slots, T* q_pe_out, T* cache, long long tokens, int heads,
                     int latent, int rope) {
  constexpr int width = per16<T>;
  const int turned = kInterleaved ? rope / width : rope / (2 * width);  // pieces of one vector
  const int per_token = (heads + 1) * turned + latent / width;
  const long long piece = static_cast<long long>(simt::block_x()) * simt::threads() + simt::thread();
  const long long token = piece / per_token;
  if (token >= tokens) return;
  const int p = static_cast<int>(piece % per_token);
  const long long row = token * (latent + rope);
  const long long slot = slots[token];
  if (p >= (heads + 1) * turned) {
    const int at = (p - (heads + 1) * turned) * width;
    simt::store16(cache + slot * (latent + rope) + at, simt::load16(kv + row + at));
    return;
  }
  const int head = p / turned;
  const int i = p % turned;
  const T* from = head < heads ? q_pe + (token * heads + head) * rope : kv + row + latent;
  T* to = head < heads ? q_pe_out + (token * heads + head) * rope : cache + slot * (latent + rope) + latent;
  const float* cosines = cos_sin + static_cast<long long>(positions[token]) * rope;
  const float* sines = cosines + rope / 2;
  if constexpr (kInterleaved) {
    float v[width];
    load_vector(from + i * width, v);
    float cosine[width / 2];
    float sine[width / 2];
    load_turns(cosines + i * (width / 2), cosine);
    load_turns(sines + i * (width / 2), sine);
    DSB_UNROLL
    for (int k = 0; k < width; k += 2) {
      const float c = cosine[k / 2];
      const float s = sine[k / 2];
      const float a = v[k];
      const float b = v[k + 1];
      v[k] = a * c - b * s;
      v[k + 1] = a * s + b * c;
    }
    store_vector(to + i * width, v);
  } else {
    float low[width];
    float high[width];
    load_vector(from + i * width, low);
    load_vector(from + rope / 2 + i * width, high);
    DSB_UNROLL
    for (int k = 0; k < width; ++k) {
      const float c = cosines[i * width + k];
      const float s = sines[i * width + k];
      const float a = low[k];
      const float b = high[k];
      low[k] = a * c - b * s;
      high[k] = a * s + b * c;
    }
    store_vector(to + i * width, low);
    store_vector(to + rope / 2 + i * width, high);
  }
}

template <class T, bool kInterleaved>
Status start(const RopeKvWriteArgs& args, void* stream) {
  constexpr int width = per16<T>;
  const int turned = kInterleaved ? args.rope / width : args.rope / (2 * width);
  const std::int64_t pieces = args.tokens * ((args.heads + 1) * turned + args.latent / width);
  constexpr int threads = 256;
  const LaunchShape shape{{static_cast<unsigned>(ceil_div<std::int64_t>(pieces, threads)), 1}, threads, 0};
  return launch(&rope_kv_write_kernel<T, kInterleaved>, shape, stream, static_cast<const T*>(args.q_pe),
                static_cast<const T*>(args.kv), args.cos_sin, args.positions, args.slots,
                static_cast<T*>(args.q_pe_out), static_cast<T*>(args.cache),
                static_cast<long long>(args.tokens), args.heads, args.latent, args.rope);
}

}  // namespace

bool rope_kv_write_supports(int latent, int rope, Element type) {
  const int width = type == Element::f32 ? 4 : 8;
  return type != Element::e4m3 && latent % width == 0 && rope % (2 * width) == 0;
}

Status rope_kv_write(const RopeKvWriteArgs& args, void* stream) {
  if (args.tokens == 0) return 0;
  if (!rope_kv_write_supports(args.latent, args.rope, args.type)) return invalid_value;
  if (args.type == Element::f32)
    return args.interleaved ? start<float, true>(args, stream) : start<float, false>(args, stream);
  return args.interleaved ? start<Bf16, true>(args, stream) : start<Bf16, false>(args, stream);
}

}  // namespace dsbench::engine::kernels::cuda
