#include "kernelbench/kernel_set.h"
#include "kernelbench/kernels_cuda/adapters.h"
#include "kernelbench/kernels_cuda/tables.h"

namespace dsbench::kernelbench {

std::span<const dsb_kernel> cuda_kernels() {
  static const std::vector<dsb_kernel> all = [] {
    const std::span<const dsb_kernel> own = cuda::adapters();
    std::vector<dsb_kernel> kernels(own.begin(), own.end());
    cuda::add_baselines(kernels);
    return kernels;
  }();
  return all;
}

}  // namespace dsbench::kernelbench
