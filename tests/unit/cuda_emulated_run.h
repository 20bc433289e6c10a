#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernelbench/kernels_cuda/adapters.h"
#include "kernelbench/op.h"

// One run of a CUDA kernel over the emulation, through the adapter that a device gets.
namespace dsbench::kernelbench {

struct AlignedFree {
  void operator()(std::byte* p) const { std::free(p); }
};
using Aligned = std::unique_ptr<std::byte, AlignedFree>;

inline Aligned aligned(std::size_t bytes) {
  return Aligned(static_cast<std::byte*>(std::aligned_alloc(256, (bytes + 511) / 256 * 256)));
}

// "Device" memory: 256-byte aligned, as the ABI promises.
struct DeviceTensors {
  explicit DeviceTensors(const std::vector<HostTensor>& host) {
    for (const HostTensor& t : host) {
      memory.push_back(aligned(static_cast<std::size_t>(t.bytes())));
      std::memcpy(memory.back().get(), t.data(), static_cast<std::size_t>(t.bytes()));
      dsb_tensor tensor{};
      tensor.data = memory.back().get();
      tensor.dtype = static_cast<std::int32_t>(t.type());
      tensor.device = DSB_CUDA;
      tensor.ndim = static_cast<std::int32_t>(t.shape().size());
      std::int64_t stride = 1;
      for (int i = tensor.ndim - 1; i >= 0; --i) {
        tensor.shape[i] = t.shape()[static_cast<std::size_t>(i)];
        tensor.strides[i] = stride;
        stride *= tensor.shape[i];
      }
      tensors.push_back(tensor);
    }
  }
  void copy_to(std::vector<HostTensor>& host) const {
    for (std::size_t i = 0; i < host.size(); ++i)
      std::memcpy(host[i].data(), memory[i].get(), static_cast<std::size_t>(host[i].bytes()));
  }
  std::vector<Aligned> memory;
  std::vector<dsb_tensor> tensors;
};

inline std::vector<HostTensor> run_emulated(const dsb_kernel& kernel, const std::string& json,
                                            const Operands& operands) {
  DeviceTensors in(operands.in);
  DeviceTensors out(operands.out);
  const std::uint64_t bytes = kernel.workspace_bytes(json.c_str());
  const Aligned workspace = aligned(bytes);
  std::memset(workspace.get(), 0xff, bytes);
  dsb_call call{};
  call.size = sizeof(call);
  call.version = DSB_KERNEL_ABI_VERSION;
  call.workspace = workspace.get();
  call.workspace_bytes = bytes;
  call.in = in.tensors.data();
  call.n_in = static_cast<std::int32_t>(in.tensors.size());
  call.out = out.tensors.data();
  call.n_out = static_cast<std::int32_t>(out.tensors.size());
  call.problem_json = json.c_str();
  EXPECT_EQ(kernel.prepare(&call), 0) << kernel.last_error();
  EXPECT_EQ(kernel.run(&call), 0) << kernel.last_error();
  kernel.release();
  std::vector<HostTensor> result = operands.out;
  out.copy_to(result);
  return result;
}

}  // namespace dsbench::kernelbench
