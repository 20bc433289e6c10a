#pragma once

#include <memory>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/thread_pool.h"
#include "kernelbench/include/dsbench_kernel.h"
#include "kernelbench/kernel_adapter.h"

// From a class to a dsb_kernel. The class is made by prepare() for one slot, does the work in run(), and goes
// with release():
//
//   struct K {
//     static constexpr const char* kOp = "rmsnorm";
//     static bool supports(const Problem& p);
//     explicit K(const Cell& cell);   // untimed: repacks weights, takes scratch
//     void run();
//   };
namespace dsbench::kernelbench::cpu {

namespace kernels = engine::kernels::cpu;

// What a kernel has been given.
struct Cell : Operands {
  kernels::ThreadPool* pool = nullptr;
  const kernels::KernelTable* table = nullptr;
};

// Gives 0, or an error number with last_error() set.
[[nodiscard]] int read_call(const dsb_call& call, Cell& cell);

template <class K>
class Adapter {
 public:
  // `name` must live as long as the program.
  [[nodiscard]] static dsb_kernel table(const char* name, int role = 0) {
    return {.size = sizeof(dsb_kernel),
            .abi_version = DSB_KERNEL_ABI_VERSION,
            .name = name,
            .op = K::kOp,
            .author = role == 0 ? "dsbench" : "oneDNN",
            .device = DSB_CPU,
            .role = role,
            .supports = supports,
            .workspace_bytes = nullptr,
            .prepare = prepare,
            .run = run,
            .release = Slots<K>::release,
            .last_error = last_error};
  }

 private:
  static int supports(const char* json, int sm_arch) {
    const std::unique_ptr<Problem> problem = problem_of(json);
    return sm_arch == 0 && problem != nullptr && problem->op == K::kOp && K::supports(*problem) ? 1 : 0;
  }
  static int prepare(const dsb_call* call) {
    Cell cell;
    if (const int error = read_call(*call, cell); error != 0) return error;
    return Slots<K>::prepare(*call, cell);
  }
  static int run(const dsb_call* call) {
    K* const kernel = Slots<K>::find(*call);
    if (kernel == nullptr) return 4;
    kernel->run();
    return 0;
  }
};

}  // namespace dsbench::kernelbench::cpu
