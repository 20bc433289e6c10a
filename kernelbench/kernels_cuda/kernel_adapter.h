#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/kernels/cuda/element.h"
#include "engine/kernels/cuda/launch.h"
#include "kernelbench/include/dsbench_kernel.h"
#include "kernelbench/kernel_adapter.h"

// From a class to a dsb_kernel. The class is made by prepare() for one slot, enqueues in run(), and goes with
// release():
//
//   struct K {
//     static constexpr const char* kOp = "rmsnorm";
//     static bool supports(const Problem& p);
//     static std::uint64_t workspace_bytes(const Problem& p);
//     explicit K(const Cell& cell);     // reads shapes from the problem; touches no device memory
//     Status run(void* stream) const;
//   };
//
// Nothing here knows CUDA: linked with engine/kernels/cuda/emulation the same adapters run on the host, which
// is how the tests check them.
namespace dsbench::kernelbench::cuda {

namespace kernels = engine::kernels::cuda;
using kernels::Status;

// What a kernel has been given.
struct Cell : Operands {
  void* workspace = nullptr;
};

[[nodiscard]] inline kernels::Element element_of(const Problem& p) {
  return p.dtype == "f32"   ? kernels::Element::f32
         : p.dtype == "fp8" ? kernels::Element::e4m3
                            : kernels::Element::bf16;
}
[[nodiscard]] inline int number(const Problem& p, std::string_view param) {
  return static_cast<int>(p[param]);
}

// Gives 0, or an error number with last_error() set.
[[nodiscard]] int read_call(const dsb_call& call, Cell& cell);
// Kernels are compiled for one architecture.
[[nodiscard]] bool runs_on(int sm_arch);

template <class K>
class Adapter {
 public:
  // `name` and `author` must live as long as the program.
  [[nodiscard]] static dsb_kernel table(const char* name, int role = 0, const char* author = "dsbench") {
    return {.size = sizeof(dsb_kernel),
            .abi_version = DSB_KERNEL_ABI_VERSION,
            .name = name,
            .op = K::kOp,
            .author = author,
            .device = DSB_CUDA,
            .role = role,
            .supports = supports,
            .workspace_bytes = workspace_bytes,
            .prepare = prepare,
            .run = run,
            .release = Slots<K>::release,
            .last_error = last_error};
  }

 private:
  static int supports(const char* json, int sm_arch) {
    const std::unique_ptr<Problem> problem = problem_of(json);
    return runs_on(sm_arch) && problem != nullptr && problem->op == K::kOp && K::supports(*problem) ? 1 : 0;
  }
  static std::uint64_t workspace_bytes(const char* json) {
    const std::unique_ptr<Problem> problem = problem_of(json);
    return problem == nullptr ? 0 : K::workspace_bytes(*problem);
  }
  static int prepare(const dsb_call* call) {
    Cell cell;
    if (const int error = read_call(*call, cell); error != 0) return error;
    return Slots<K>::prepare(*call, cell);
  }
  static int run(const dsb_call* call) {
    K* const kernel = Slots<K>::find(*call);
    if (kernel == nullptr) return 4;
    const Status status = kernel->run(call->stream);
    if (status == 0) return 0;
    if constexpr (requires { K::text_of(status); })
      set_last_error(K::text_of(status));
    else
      set_last_error(kernels::status_text(status));
    return status;
  }
};

}  // namespace dsbench::kernelbench::cuda
