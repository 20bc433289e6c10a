#include "kernelbench/measure/cpu_peaks.h"

#include <fmt/format.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"

namespace dsbench::kernelbench {
namespace {

using engine::kernels::cpu::AlignedBuffer;
using engine::kernels::cpu::ThreadPool;

constexpr int kChains =
    12;  // independent accumulators: enough for four cycles of latency on two or three ports
constexpr std::int64_t kRounds = 200'000;

// Each returns operations done, and leaves its result where the compiler cannot drop it.
using PeakLoop = double (*)(std::int64_t rounds, float* sink);

#if defined(__x86_64__)

[[gnu::target("avx512f")]] double fma_avx512(std::int64_t rounds, float* sink) {
  __m512 acc[kChains];
  for (auto& a : acc) a = _mm512_set1_ps(1.0F);
  const __m512 x = _mm512_set1_ps(0.999999F);
  const __m512 y = _mm512_set1_ps(1e-6F);
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (auto& a : acc) a = _mm512_fmadd_ps(a, x, y);
  }
  __m512 sum = acc[0];
  for (int c = 1; c < kChains; ++c) sum = _mm512_add_ps(sum, acc[c]);
  _mm512_storeu_ps(sink, sum);
  return 2.0 * 16 * kChains * static_cast<double>(rounds);
}

[[gnu::target("avx2,fma")]] double fma_avx2(std::int64_t rounds, float* sink) {
  __m256 acc[kChains];
  for (auto& a : acc) a = _mm256_set1_ps(1.0F);
  const __m256 x = _mm256_set1_ps(0.999999F);
  const __m256 y = _mm256_set1_ps(1e-6F);
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (auto& a : acc) a = _mm256_fmadd_ps(a, x, y);
  }
  __m256 sum = acc[0];
  for (int c = 1; c < kChains; ++c) sum = _mm256_add_ps(sum, acc[c]);
  _mm256_storeu_ps(sink, sum);
  return 2.0 * 8 * kChains * static_cast<double>(rounds);
}

[[gnu::target("avx512f,avx512vnni")]] double dot_vnni(std::int64_t rounds, float* sink) {
  __m512i acc[kChains];
  for (auto& a : acc) a = _mm512_setzero_si512();
  const __m512i x = _mm512_set1_epi8(3);
  const __m512i y = _mm512_set1_epi8(5);
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (auto& a : acc) a = _mm512_dpbusd_epi32(a, x, y);
    // The compiler must not see that every round adds the same.
    for (auto& a : acc) __asm__ volatile("" : "+v"(a));
  }
  __m512i sum = acc[0];
  for (int c = 1; c < kChains; ++c) sum = _mm512_add_epi32(sum, acc[c]);
  _mm512_storeu_si512(sink, sum);
  return 2.0 * 64 * kChains * static_cast<double>(rounds);
}

[[gnu::target("avx512f,avx512bf16")]] double dot_bf16(std::int64_t rounds, float* sink) {
  __m512 acc[kChains];
  for (auto& a : acc) a = _mm512_setzero_ps();
  const __m512bh x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5F), _mm512_set1_ps(0.25F));
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (auto& a : acc) a = _mm512_dpbf16_ps(a, x, x);
    for (auto& a : acc) __asm__ volatile("" : "+v"(a));
  }
  __m512 sum = acc[0];
  for (int c = 1; c < kChains; ++c) sum = _mm512_add_ps(sum, acc[c]);
  _mm512_storeu_ps(sink, sum);
  return 2.0 * 32 * kChains * static_cast<double>(rounds);
}

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

// The best of five rounds, all threads together.
double peak_of(PeakLoop loop, ThreadPool& pool, Clock& clock) {
  std::vector<std::array<float, 16>> sinks(static_cast<std::size_t>(pool.threads()));
  std::vector<double> operations(sinks.size());
  double best = 0;
  for (int round = 0; round < 5; ++round) {
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

double read_only(Arrays& x, std::int64_t n, ThreadPool& pool, Clock& clock) {
  std::vector<std::array<float, 16>> sinks(static_cast<std::size_t>(pool.threads()));
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const Nanos start = clock.now();
    pool.run(pool.threads(), [&](int unit, int) {
      const std::int64_t begin = n * unit / pool.threads() / 64 * 64;
      const std::int64_t end = n * (unit + 1) / pool.threads() / 64 * 64;
      std::array<float, 64> sums{};
      const float* b = x.b.data();
      for (std::int64_t i = begin; i < end; i += 64) {
        for (std::int64_t j = 0; j < 64; ++j) sums[static_cast<std::size_t>(j)] += b[i + j];
      }
      for (std::size_t j = 0; j < 16; ++j)
        sinks[static_cast<std::size_t>(unit)][j] = sums[j] + sums[j + 16] + sums[j + 32] + sums[j + 48];
    });
    const double seconds = std::chrono::duration<double>(clock.now() - start).count();
    best = std::max(best, 4.0 * static_cast<double>(n) / seconds);
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
  if (__builtin_cpu_supports("avx512bf16")) add_peak("bf16", dot_bf16, "AVX-512 BF16 dot");
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
