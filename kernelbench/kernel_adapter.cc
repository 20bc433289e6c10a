#include "kernelbench/kernel_adapter.h"

#include <algorithm>
#include <utility>

namespace dsbench::kernelbench {
namespace {

std::string& error_text() {
  static std::string text;
  return text;
}

}  // namespace

std::unique_ptr<Problem> problem_of(const char* json) {
  Result<Problem> problem = problem_from_json(json);
  if (problem) return std::make_unique<Problem>(std::move(*problem));
  set_last_error(problem.error().message);
  return nullptr;
}

int read_operands(const dsb_call& call, int device, Operands& operands) {
  if (call.version != DSB_KERNEL_ABI_VERSION || call.size < sizeof(dsb_call)) {
    set_last_error("the caller speaks another version of dsbench_kernel.h");
    return 1;
  }
  const std::unique_ptr<Problem> problem = problem_of(call.problem_json);
  if (problem == nullptr) return 2;
  const auto lie_there = [device](const dsb_tensor* tensors, int count) {
    return std::all_of(tensors, tensors + count, [&](const dsb_tensor& t) { return t.device == device; });
  };
  if (!lie_there(call.in, call.n_in) || !lie_there(call.out, call.n_out)) {
    set_last_error(device == DSB_CPU ? "an operand does not lie on the CPU"
                                     : "an operand does not lie on the GPU");
    return 2;
  }
  operands.problem = *problem;
  operands.in = call.in;
  operands.out = call.out;
  return 0;
}

void set_last_error(std::string what) {
  error_text() = std::move(what);
}

const char* last_error() {
  return error_text().c_str();
}

}  // namespace dsbench::kernelbench
