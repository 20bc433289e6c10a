#include "kernelbench/kernels_cuda/kernel_adapter.h"

namespace dsbench::kernelbench::cuda {

int read_call(const dsb_call& call, Cell& cell) {
  cell.workspace = call.workspace;
  return read_operands(call, DSB_CUDA, cell);
}

bool runs_on(int sm_arch) {
  return sm_arch == kernels::compiled_arch();
}

}  // namespace dsbench::kernelbench::cuda
