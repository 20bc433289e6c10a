#include "kernelbench/kernel_set.h"
#include "kernelbench/kernels_cpu/tables.h"

namespace dsbench::kernelbench {

std::span<const dsb_kernel> cpu_kernels() {
  static const std::vector<dsb_kernel> all = [] {
    std::vector<dsb_kernel> kernels;
    cpu::add_products(kernels);
    cpu::add_half_products(kernels);
    cpu::add_attention(kernels);
    cpu::add_rows(kernels);
    cpu::add_mhc(kernels);
    cpu::add_sparse_mla(kernels);
    cpu::add_csa(kernels);
    cpu::add_compress(kernels);
#if defined(DSBENCH_ONEDNN)
    cpu::add_onednn(kernels);
#endif
    return kernels;
  }();
  return all;
}

}  // namespace dsbench::kernelbench
