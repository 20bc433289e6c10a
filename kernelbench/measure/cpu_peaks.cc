#include "kernelbench/measure/cpu_peaks.h"

#include <fmt/format.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"

namespace dsbench::kernelbench {
namespace {

using engine::kernels::cpu::AlignedBuffer;
using engine::kernels::cpu::ThreadPool;

constexpr int kChains = 12;  // independent accumulators of a statement below
constexpr std::int64_t kRounds =
    3'000'000;  // some ten milliseconds: past the change of clock that wide vectors bring

// Each returns operations done, and leaves its result where the compiler cannot drop it.
using PeakLoop = double (*)(std::int64_t rounds, float* sink);

#if defined(__x86_64__)

// A loop over instructions on registers of their own, written out: compilers put copies between intrinsics,
// or keep an array of accumulators in memory, and what is measured then is not the peak. `zero` makes an
// accumulator, `x` and `y` are the operands, the sum keeps the result alive. Twelve chains are enough for
// four cycles of latency on two or three ports, and all that sixteen registers hold. A dot of bf16 takes six
// cycles: twelve chains on two ports leave no cycle to spare and reach 92 % of what twenty-four do (EPYC of
// the fifth generation), so AVX-512 loops have twice as many.
#define DSBENCH_TWELVE_TIMES(instruction, a)                                                             \
  __asm__ volatile(instruction " %12, %13, %0\n\t" instruction " %12, %13, %1\n\t" instruction           \
                               " %12, %13, %2\n\t" instruction " %12, %13, %3\n\t" instruction           \
                               " %12, %13, %4\n\t" instruction " %12, %13, %5\n\t" instruction           \
                               " %12, %13, %6\n\t" instruction " %12, %13, %7\n\t" instruction           \
                               " %12, %13, %8\n\t" instruction " %12, %13, %9\n\t" instruction           \
                               " %12, %13, %10\n\t" instruction " %12, %13, %11"                         \
                   : "+v"(a##0), "+v"(a##1), "+v"(a##2), "+v"(a##3), "+v"(a##4), "+v"(a##5), "+v"(a##6), \
                     "+v"(a##7), "+v"(a##8), "+v"(a##9), "+v"(a##10), "+v"(a##11)                        \
                   : "v"(x), "v"(y))
#define DSBENCH_TWELVE(a, zero)                                                                   \
  auto a##0 = zero, a##1 = zero, a##2 = zero, a##3 = zero, a##4 = zero, a##5 = zero, a##6 = zero, \
       a##7 = zero, a##8 = zero, a##9 = zero, a##10 = zero, a##11 = zero
#define DSBENCH_SUM_OF_TWELVE(a, add)        \
  add(add(add(a##0, a##1), add(a##2, a##3)), \
      add(add(add(a##4, a##5), add(a##6, a##7)), add(add(a##8, a##9), add(a##10, a##11))))
#define DSBENCH_PEAK_LOOP(name, features, type, instruction, operations, zero, x_value, y_value, add) \
  [[gnu::target(features)]] double name(std::int64_t rounds, float* sink) {                           \
    const type x = x_value, y = y_value;                                                              \
    DSBENCH_TWELVE(a, zero);                                                                          \
    DSBENCH_TWELVE(b, zero);                                                                          \
    for (std::int64_t i = 0; i < rounds; i += 2) {                                                    \
      DSBENCH_TWELVE_TIMES(instruction, a);                                                           \
      DSBENCH_TWELVE_TIMES(instruction, b);                                                           \
    }                                                                                                 \
    const auto sum = add(DSBENCH_SUM_OF_TWELVE(a, add), DSBENCH_SUM_OF_TWELVE(b, add));               \
    std::memcpy(sink, &sum, sizeof(sum));                                                             \
    return operations * kChains * static_cast<double>(rounds);                                        \
  }

DSBENCH_PEAK_LOOP(fma_avx512, "avx512f", __m512, "vfmadd231ps", 2.0 * 16, _mm512_set1_ps(1.0F),
                  _mm512_set1_ps(1e-3F), _mm512_set1_ps(1e-3F), _mm512_add_ps)
DSBENCH_PEAK_LOOP(dot_vnni, "avx512f,avx512vnni", __m512i, "vpdpbusd", 2.0 * 64, _mm512_setzero_si512(),
                  _mm512_set1_epi8(3), _mm512_set1_epi8(5), _mm512_add_epi32)
// The operands' bits are two bf16 each, 0.5 and 0.5.
DSBENCH_PEAK_LOOP(dot_bf16, "avx512f,avx512bf16", __m512i, "vdpbf16ps", 2.0 * 32, _mm512_setzero_si512(),
                  _mm512_set1_epi32(0x3f003f00), _mm512_set1_epi32(0x3f003f00), _mm512_add_epi32)

[[gnu::target("avx2,fma")]] double fma_avx2(std::int64_t rounds, float* sink) {
  const __m256 x = _mm256_set1_ps(1e-3F), y = x;
  DSBENCH_TWELVE(a, _mm256_set1_ps(1.0F));
  for (std::int64_t i = 0; i < rounds; ++i) DSBENCH_TWELVE_TIMES("vfmadd231ps", a);
  const __m256 sum = DSBENCH_SUM_OF_TWELVE(a, _mm256_add_ps);
  std::memcpy(sink, &sum, sizeof(sum));
  return 2.0 * 8 * kChains * static_cast<double>(rounds);
}

#undef DSBENCH_PEAK_LOOP
#undef DSBENCH_SUM_OF_TWELVE
#undef DSBENCH_TWELVE
#undef DSBENCH_TWELVE_TIMES

#endif

double fma_plain(std::int64_t rounds, float* sink) {
  float acc[64];
  std::fill(std::begin(acc), std::end(acc), 1.0F);
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (float& a : acc) a = a * 0.999999F + 1e-6F;
  }
  for (int c = 0; c < 16; ++c) sink[c] = acc[c] + acc[c + 16] + acc[c + 32] + acc[c + 48];
  return 2.0 * 64 * static_cast<double>(rounds);
}

// The best of nine rounds, all threads together.
double peak_of(PeakLoop loop, ThreadPool& pool, Clock& clock) {
  std::vector<std::array<float, 16>> sinks(static_cast<std::size_t>(pool.threads()));
  std::vector<double> operations(sinks.size());
  double best = 0;
  for (int round = 0; round < 9; ++round) {
    const Nanos start = clock.now();
    pool.run(pool.threads(), [&](int unit, int) {
      const std::size_t u = static_cast<std::size_t>(unit);
      operations[u] = loop(kRounds, sinks[u].data());
    });
    const double seconds = std::chrono::duration<double>(clock.now() - start).count();
    double sum = 0;
    for (const double o : operations) sum += o;
    best = std::max(best, sum / seconds);
  }
  return best;
}

struct Arrays {
  AlignedBuffer<float> a, b, c;
};

// STREAM triad a = b + s·c: 12 bytes an element, as McCalpin counts them (the read for ownership of a is
// not). Each thread has its own part.
double triad(Arrays& x, std::int64_t n, ThreadPool& pool, Clock& clock) {
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const Nanos start = clock.now();
    pool.run(pool.threads(), [&](int unit, int) {
      const std::int64_t begin = n * unit / pool.threads();
      const std::int64_t end = n * (unit + 1) / pool.threads();
      float* a = x.a.data();
      const float* b = x.b.data();
      const float* c = x.c.data();
      for (std::int64_t i = begin; i < end; ++i) a[i] = b[i] + 3.0F * c[i];
    });
    const double seconds = std::chrono::duration<double>(clock.now() - start).count();
    best = std::max(best, 12.0 * static_cast<double>(n) / seconds);
  }
  return best;
}

// Four numbers in a register, on every processor that has such registers.
typedef float Four __attribute__((vector_size(16), may_alias));

// Reads b alone, each thread its part in four streams beside each other: of one, the processor does not ask
// the memory for enough at a time (75 to 95 % of what four get).
double read_only(Arrays& x, std::int64_t n, ThreadPool& pool, Clock& clock) {
  constexpr std::int64_t kStreams = 4;
  constexpr std::int64_t kLine = 16;
  std::vector<std::array<float, 16>> sinks(static_cast<std::size_t>(pool.threads()));
  const std::int64_t stream = n / (kStreams * pool.threads()) / kLine * kLine;
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const Nanos start = clock.now();
    pool.run(pool.threads(), [&](int unit, int) {
      const float* const b = x.b.data() + unit * kStreams * stream;
      Four sums[2][4] = {};  // few enough to stay in registers, and enough for an addition's latency
      for (std::int64_t i = 0; i < stream; i += kLine) {
        for (std::int64_t s = 0; s < kStreams; ++s) {
          const auto* const line = reinterpret_cast<const Four*>(b + s * stream + i);
          for (std::int64_t j = 0; j < 4; ++j) sums[s % 2][j] += line[j];
        }
      }
      Four sum = {};
      for (const auto& some : sums) {
        for (const Four& one : some) sum += one;
      }
      std::memcpy(sinks[static_cast<std::size_t>(unit)].data(), &sum, sizeof(sum));
    });
    const double seconds = std::chrono::duration<double>(clock.now() - start).count();
    best = std::max(best, 4.0 * static_cast<double>(kStreams * pool.threads() * stream) / seconds);
  }
  return best;
}

}  // namespace

void run_probe_cycles() {
  std::uint64_t x = 1;
  for (std::int64_t i = 0; i < kProbeCycles / 16; ++i) {
    // Sixteen additions that each wait for the one before.
#if defined(__x86_64__)
    __asm__ volatile(
        "add $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\t"
        "add $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\t"
        "add $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\t"
        "add $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0"
        : "+r"(x)
        :
        : "cc");
#else
    for (int j = 0; j < 16; ++j) __asm__ volatile("" : "+r"(x) : : "memory"), ++x;
#endif
  }
}

Ceilings measure_cpu_ceilings(ThreadPool& pool, std::int64_t cache_bytes, Clock& clock) {
  Ceilings c;
  const auto add_peak = [&](std::string unit, PeakLoop loop, std::string_view what) {
    c.peaks.push_back(
        {std::move(unit), peak_of(loop, pool, clock),
         fmt::format("{} loop, {} thread{}", what, pool.threads(), pool.threads() == 1 ? "" : "s")});
  };
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    add_peak("f32", fma_avx512, "AVX-512 FMA");
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    add_peak("f32", fma_avx2, "AVX2 FMA");
  } else {
    add_peak("f32", fma_plain, "multiply and add");
  }
  if (__builtin_cpu_supports("avx512bf16")) {
    add_peak("bf16", dot_bf16, "AVX-512 BF16 dot");
  } else {
    c.peaks.push_back({"bf16", c.peaks.back().flops_per_s,
                       c.peaks.back().measured_by + ", which bf16 products are made of here"});
  }
  // e4m3 is multiplied as bf16.
  c.peaks.push_back(
      {"fp8", c.peaks.back().flops_per_s, c.peaks.back().measured_by + ", which e4m3 is multiplied with"});
  if (__builtin_cpu_supports("avx512vnni")) add_peak("int8", dot_vnni, "AVX-512 VNNI dot");
#else
  add_peak("f32", fma_plain, "multiply and add");
#endif

  // Four times the cache, so that little of it is still there when it is met again; 256 MB at most each.
  const std::int64_t n =
      std::clamp<std::int64_t>(4 * cache_bytes / 4, std::int64_t{4} << 20, std::int64_t{64} << 20) / 64 * 64;
  Arrays arrays{AlignedBuffer<float>{n}, AlignedBuffer<float>{n}, AlignedBuffer<float>{n}};
  arrays.a.fill(0);
  arrays.b.fill(1);
  arrays.c.fill(2);
  c.copy_bytes_per_s = triad(arrays, n, pool, clock);
  c.read_bytes_per_s = read_only(arrays, n, pool, clock);
  return c;
}

}  // namespace dsbench::kernelbench
