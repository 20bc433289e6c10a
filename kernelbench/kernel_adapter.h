#pragma once

#include <exception>
#include <map>
#include <memory>
#include <string>

#include "kernelbench/include/dsbench_kernel.h"
#include "kernelbench/problem.h"

// What our kernels of all devices need to be a dsb_kernel.
namespace dsbench::kernelbench {

// Operands of one call: the problem, and tensors that stay where they are until release().
struct Operands {
  Problem problem;
  const dsb_tensor* in = nullptr;
  const dsb_tensor* out = nullptr;

  template <class T = void>
  [[nodiscard]] const T* input(int i) const {
    return static_cast<const T*>(in[i].data);
  }
  template <class T = void>
  [[nodiscard]] T* output(int i) const {
    return static_cast<T*>(out[i].data);
  }
};

// The problem of a call; null when it cannot be read, with last_error() set.
[[nodiscard]] std::unique_ptr<Problem> problem_of(const char* json);

// Checks that all tensors lie on `device` (DSB_CPU, DSB_CUDA). Gives 0, or an error number with last_error()
// set.
[[nodiscard]] int read_operands(const dsb_call& call, int device, Operands& operands);

void set_last_error(std::string what);
[[nodiscard]] const char* last_error();

// A kernel's prepared objects, one to a slot, until release().
template <class K>
class Slots {
 public:
  template <class Cell>
  [[nodiscard]] static int prepare(const dsb_call& call, const Cell& cell) {
    try {
      all()[call.slot] = std::make_unique<K>(cell);
    } catch (const std::exception& error) {
      set_last_error(error.what());
      return 3;
    }
    return 0;
  }
  // Null for a slot that was not prepared, with last_error() set.
  [[nodiscard]] static K* find(const dsb_call& call) {
    const auto at = all().find(call.slot);
    if (at != all().end()) return at->second.get();
    set_last_error("run() without prepare() for this slot");
    return nullptr;
  }
  static void release() { all().clear(); }

 private:
  static std::map<int, std::unique_ptr<K>>& all() {
    static std::map<int, std::unique_ptr<K>> slots;
    return slots;
  }
};

}  // namespace dsbench::kernelbench
