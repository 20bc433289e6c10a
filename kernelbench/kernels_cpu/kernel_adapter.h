#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/thread_pool.h"
#include "kernelbench/include/dsbench_kernel.h"
#include "kernelbench/problem.h"

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

// What a kernel has been given: the problem, and operands that stay where they are until release().
struct Cell {
  Problem problem;
  const dsb_tensor* in = nullptr;
  const dsb_tensor* out = nullptr;
  kernels::ThreadPool* pool = nullptr;
  const kernels::KernelTable* table = nullptr;

  template <class T>
  [[nodiscard]] const T* input(int i) const {
    return static_cast<const T*>(in[i].data);
  }
  template <class T>
  [[nodiscard]] T* output(int i) const {
    return static_cast<T*>(out[i].data);
  }
};

// The problem of a call; null when it cannot be read.
[[nodiscard]] std::unique_ptr<Problem> read_problem(const char* json);

// Operands of one call: checks that they lie on the CPU. Gives 0 or an error number.
[[nodiscard]] int read_call(const dsb_call& call, Cell& cell);

void set_last_error(std::string what);
[[nodiscard]] const char* last_error();

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
            .release = release,
            .last_error = last_error};
  }

 private:
  static std::map<int, std::unique_ptr<K>>& slots() {
    static std::map<int, std::unique_ptr<K>> all;
    return all;
  }
  static int supports(const char* json, int sm_arch) {
    const std::unique_ptr<Problem> problem = read_problem(json);
    return sm_arch == 0 && problem != nullptr && problem->op == K::kOp && K::supports(*problem) ? 1 : 0;
  }
  static int prepare(const dsb_call* call) {
    Cell cell;
    if (const int error = read_call(*call, cell); error != 0) return error;
    try {
      slots()[call->slot] = std::make_unique<K>(cell);
    } catch (const std::exception& error) {
      set_last_error(error.what());
      return 3;
    }
    return 0;
  }
  static int run(const dsb_call* call) {
    const auto at = slots().find(call->slot);
    if (at == slots().end()) {
      set_last_error("run() without prepare() for this slot");
      return 4;
    }
    at->second->run();
    return 0;
  }
  static void release() { slots().clear(); }
};

}  // namespace dsbench::kernelbench::cpu
