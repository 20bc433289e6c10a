#include "kernelbench/device.h"
#include "kernelbench/kernel_set.h"

// What a build without nvcc has to say about CUDA.
namespace dsbench::kernelbench {

std::span<const dsb_kernel> cuda_kernels() {
  return {};
}

Result<std::unique_ptr<Device>> open_cuda_device(int) {
  return fail(ErrorKind::usage,
              "there is no CUDA device: this dsbench was built without nvcc, so it has no CUDA kernels; "
              "--device cpu works");
}

}  // namespace dsbench::kernelbench
