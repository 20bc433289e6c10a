#include "engine/kernels/cpu/kernel_table.h"

namespace dsbench::engine::kernels::cpu {

extern const KernelTable kBaselineKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kAvx512VnniKernels;
extern const KernelTable kAvx512Bf16Kernels;
#endif

std::int64_t attention_scratch(std::int32_t queries, std::int32_t heads, std::int32_t width, KvType kv_type) {
  constexpr std::int64_t kKeyBlock = 128;  // of kernels.inc
  const auto padded = [](std::int64_t n) { return (n + kPanel - 1) / kPanel * kPanel; };
  const std::int64_t rows = padded(std::int64_t{queries} * heads);
  // Queries turned over, weights of a key block, maxima, sums and factors, output; alignment.
  // Entries that are not floats, widened, block by block; and of what is bf16 weights in pairs.
  const std::int64_t widened =
      kv_type == KvType::fp32 ? 0 : kKeyBlock * padded(width) + kPanel + kKeyBlock / 2 * rows;
  return rows * (padded(width) + kKeyBlock + 3 + padded(width)) + kPanel + widened;
}

const KernelTable* const* all_kernels() {
  static const KernelTable* tables[6] = {};
  static const bool filled = [] {
    int n = 0;
#if defined(__x86_64__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq");
    const bool vnni = avx512 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
    const bool dots = vnni && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
    if (dots) tables[n++] = &kAvx512Bf16Kernels;
    if (vnni) tables[n++] = &kAvx512VnniKernels;
    if (avx512) tables[n++] = &kAvx512Kernels;
    if (avx2) tables[n++] = &kAvx2Kernels;
#endif
    tables[n++] = &kBaselineKernels;
    return true;
  }();
  (void)filled;
  return tables;
}

const KernelTable& kernels() {
  return *all_kernels()[0];
}

}  // namespace dsbench::engine::kernels::cpu
