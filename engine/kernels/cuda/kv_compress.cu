#include "engine/kernels/cuda/kv_compress.h"

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/vectors.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int most_threads = 512;
constexpr int width = 4;  // columns of a thread
constexpr float eps = 1e-6f;
constexpr float log2_e = 1.44269504088896340736f;

// A softmax so far over rows, of scores · log2 e, and the sum that it weighs.
struct Pool {
  float top[width];
  float sum[width];
  float mixed[width];
};

DSB_DEVICE void join(Pool& pool, const float (&top)[width], const float (&sum)[width],
                     const float (&mixed)[width]) {
  DSB_UNROLL
  for (int k = 0; k < width; ++k) {
    const float now = simt::larger(pool.top[k], top[k]);
    const float base = now == -simt::infinity() ? 0.0f : now;
    const float shrink = simt::exp_2_fast(pool.top[k] - base);
    const float weight = simt::exp_2_fast(top[k] - base);
    pool.top[k] = now;
    pool.sum[k] = pool.sum[k] * shrink + sum[k] * weight;
    pool.mixed[k] = pool.mixed[k] * shrink + mixed[k] * weight;
  }
}

DSB_DEVICE void store_entry(float* to, const float (&v)[width]) {
  store_vector(to, v);
}
DSB_DEVICE void store_entry(Bf16* to, const float (&v)[width]) {
  simt::store8(to, simt::to_bf16x2(v[0], v[1]), simt::to_bf16x2(v[2], v[3]));
}

// A block to an entry: its threads stand in `slices` ranks of dim / 4, each rank takes rows by turns, and the
// first rank joins what they found.
template <class T>
DSB_KERNEL(most_threads, 2)
kv_compress_kernel(KvCompressArgs args, int slices) {
  float* const found = reinterpret_cast<float*>(simt::shared());  // [slices][3][dim]
  float* const scratch = found + slices * 3 * args.dim;           // [32]
  const int columns = args.dim / width;
  const int slice = simt::thread() / columns;
  const int at = simt::thread() % columns * width;
  const int group = simt::block_x();
  const int stride = args.overlap ? 2 * args.dim : args.dim;
  const int rows = args.overlap ? 2 * args.ratio : args.ratio;  // those of the group before come first
  const long long first_token = static_cast<long long>(group + 1) * args.ratio - rows;

  Pool pool;
  DSB_UNROLL
  for (int k = 0; k < width; ++k) {
    pool.top[k] = -simt::infinity();
    pool.sum[k] = 0;
    pool.mixed[k] = 0;
  }
  const float one[width] = {1, 1, 1, 1};
  DSB_UNROLL_4
  for (int row = slice + (first_token < 0 ? args.ratio : 0); row < rows; row += slices) {
    const bool own = row >= rows - args.ratio;
    const int column = args.overlap && own ? args.dim + at : at;
    const long long from = (first_token + row) * stride + column;
    float kv[width];
    float score[width];
    float bias[width];
    load_vector(args.kv + from, kv);
    load_vector(args.gate + from, score);
    load_vector(args.bias + row % args.ratio * stride + column, bias);
    DSB_UNROLL
    for (int k = 0; k < width; ++k) score[k] = (score[k] + bias[k]) * log2_e;
    join(pool, score, one, kv);
  }
  float* const mine = found + slice * 3 * args.dim + at;
  store_vector(mine, pool.top);
  store_vector(mine + args.dim, pool.sum);
  store_vector(mine + 2 * args.dim, pool.mixed);
  simt::sync_block();

  float squares = 0;
  if (slice == 0) {
    for (int other = 1; other < slices; ++other) {
      const float* const from = mine + other * 3 * args.dim;
      float top[width];
      float sum[width];
      float mixed[width];
      load_vector(from, top);
      load_vector(from + args.dim, sum);
      load_vector(from + 2 * args.dim, mixed);
      join(pool, top, sum, mixed);
    }
    DSB_UNROLL
    for (int k = 0; k < width; ++k) {
      pool.mixed[k] = simt::divide(pool.mixed[k], pool.sum[k]);
      squares += pool.mixed[k] * pool.mixed[k];
    }
  }
  squares = sum_over_block(squares, scratch);
  if (slice > 0) return;
  const float inverse =
      simt::divide(1.0f, simt::square_root(simt::divide(squares, static_cast<float>(args.dim)) + eps));
  float weight[width];
  load_vector(args.weight + at, weight);
  DSB_UNROLL
  for (int k = 0; k < width; ++k) pool.mixed[k] *= inverse * weight[k];
  const int rotary = at - (args.dim - args.rope);
  if (rotary >= 0) {
    const float* const cosines = args.cos_sin + static_cast<long long>(group) * args.rope;
    DSB_UNROLL
    for (int k = 0; k < width; k += 2) {
      const float cosine = cosines[(rotary + k) / 2];
      const float sine = cosines[args.rope / 2 + (rotary + k) / 2];
      const float x = pool.mixed[k];
      const float y = pool.mixed[k + 1];
      pool.mixed[k] = x * cosine - y * sine;
      pool.mixed[k + 1] = x * sine + y * cosine;
    }
  }
  store_entry(static_cast<T*>(args.entries) + static_cast<long long>(group) * args.dim + at, pool.mixed);
}

}  // namespace

// Ranks are whole warps.
bool kv_compress_supports(int dim, int rope, Element type) {
  return type != Element::e4m3 && dim > 0 && dim % (32 * width) == 0 && dim / width <= most_threads &&
         rope % width == 0 && rope <= dim;
}

Status kv_compress(const KvCompressArgs& args, void* stream) {
  if (!kv_compress_supports(args.dim, args.rope, args.type) || args.ratio < 1) return invalid_value;
  const int groups = args.tokens / args.ratio;
  if (groups == 0) return 0;
  const int columns = args.dim / width;
  const int rows = args.overlap ? 2 * args.ratio : args.ratio;
  const int room = most_threads / columns;
  const int slices = rows < room ? rows : room;
  const LaunchShape shape{{static_cast<unsigned>(groups), 1},
                          static_cast<unsigned>(slices * columns),
                          (static_cast<std::size_t>(slices) * 3 * args.dim + 32) * sizeof(float)};
  return args.type == Element::f32 ? launch(&kv_compress_kernel<float>, shape, stream, args, slices)
                                   : launch(&kv_compress_kernel<Bf16>, shape, stream, args, slices);
}

}  // namespace dsbench::engine::kernels::cuda
