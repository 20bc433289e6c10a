#include "kernelbench/kernels_cuda/adapters.h"

#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench::cuda {

std::span<const dsb_kernel> adapters() {
  static const std::vector<dsb_kernel> all = [] {
    std::vector<dsb_kernel> kernels;
    add_products(kernels);
    add_attention(kernels);
    add_moe(kernels);
    add_rows(kernels);
    add_compress(kernels);
    add_mhc(kernels);
    return kernels;
  }();
  return all;
}

}  // namespace dsbench::kernelbench::cuda
