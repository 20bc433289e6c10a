#pragma once

#include <string>
#include <vector>

#include "kernelbench/kernel_set.h"
#include "kernelbench/op.h"
#include "kernelbench/problem.h"

// One problem and one kernel, put together as a runner does it.
namespace dsbench::kernelbench::testing {

inline dsb_tensor view_of(HostTensor& tensor) {
  dsb_tensor view{};
  view.data = tensor.data();
  view.dtype = static_cast<std::int32_t>(tensor.type());
  view.device = DSB_CPU;
  view.ndim = static_cast<std::int32_t>(tensor.shape().size());
  std::int64_t stride = 1;
  for (std::int32_t i = view.ndim - 1; i >= 0; --i) {
    view.shape[i] = tensor.dim(static_cast<std::size_t>(i));
    view.strides[i] = stride;
    stride *= view.shape[i];
  }
  return view;
}

// Runs it on fresh outputs; empty, or what went wrong.
inline std::string run_kernel(const dsb_kernel& kernel, const Problem& problem, Operands& operands,
                              int threads) {
  for (HostTensor& tensor : operands.out) tensor.poison_all();
  std::vector<dsb_tensor> in;
  std::vector<dsb_tensor> out;
  for (HostTensor& tensor : operands.in) in.push_back(view_of(tensor));
  for (HostTensor& tensor : operands.out) out.push_back(view_of(tensor));
  const std::string json = to_json(problem);
  dsb_call call{};
  call.size = sizeof(dsb_call);
  call.version = DSB_KERNEL_ABI_VERSION;
  call.in = in.data();
  call.n_in = static_cast<std::int32_t>(in.size());
  call.out = out.data();
  call.n_out = static_cast<std::int32_t>(out.size());
  call.problem_json = json.c_str();
  call.threads = threads;
  std::string error;
  if (kernel.prepare(&call) != 0 || kernel.run(&call) != 0) error = kernel.last_error();
  kernel.release();
  return error;
}

// The first of our CPU kernels (not a baseline) that can do it; null: none.
inline const dsb_kernel* cpu_kernel_for(const Problem& problem) {
  for (const dsb_kernel& kernel : cpu_kernels()) {
    if (kernel.role == 0 && problem.op == kernel.op && kernel.supports(to_json(problem).c_str(), 0) != 0) {
      return &kernel;
    }
  }
  return nullptr;
}

}  // namespace dsbench::kernelbench::testing
