#include "kernelbench/kernels_cpu/kernel_adapter.h"

#include <algorithm>
#include <utility>

#include "kernelbench/kernels_cpu/shared_pool.h"

namespace dsbench::kernelbench::cpu {
namespace {

std::map<int, std::unique_ptr<kernels::ThreadPool>>& pools() {
  static std::map<int, std::unique_ptr<kernels::ThreadPool>> by_threads;
  return by_threads;
}

std::string& error_text() {
  static std::string text;
  return text;
}

bool on_cpu(const dsb_tensor* tensors, int count) {
  return std::all_of(tensors, tensors + count, [](const dsb_tensor& t) { return t.device == DSB_CPU; });
}

}  // namespace

kernels::ThreadPool& shared_pool(int threads) {
  std::unique_ptr<kernels::ThreadPool>& pool = pools()[threads];
  if (pool == nullptr) pool = std::make_unique<kernels::ThreadPool>(threads);
  return *pool;
}

std::unique_ptr<Problem> read_problem(const char* json) {
  Result<Problem> problem = problem_from_json(json);
  if (problem) return std::make_unique<Problem>(std::move(*problem));
  set_last_error(problem.error().message);
  return nullptr;
}

int read_call(const dsb_call& call, Cell& cell) {
  if (call.version != DSB_KERNEL_ABI_VERSION || call.size < sizeof(dsb_call)) {
    set_last_error("the caller speaks another version of dsbench_kernel.h");
    return 1;
  }
  const std::unique_ptr<Problem> problem = read_problem(call.problem_json);
  if (problem == nullptr) return 2;
  if (!on_cpu(call.in, call.n_in) || !on_cpu(call.out, call.n_out)) {
    set_last_error("an operand does not lie on the CPU");
    return 2;
  }
  cell.problem = *problem;
  cell.in = call.in;
  cell.out = call.out;
  cell.pool = &shared_pool(std::max(1, call.threads));
  cell.table = &kernels::kernels();
  return 0;
}

void set_last_error(std::string what) {
  error_text() = std::move(what);
}

const char* last_error() {
  return error_text().c_str();
}

}  // namespace dsbench::kernelbench::cpu
