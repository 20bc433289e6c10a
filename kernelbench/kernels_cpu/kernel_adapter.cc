#include "kernelbench/kernels_cpu/kernel_adapter.h"

#include <algorithm>
#include <map>

#include "kernelbench/kernels_cpu/shared_pool.h"

namespace dsbench::kernelbench::cpu {

kernels::ThreadPool& shared_pool(int threads) {
  static std::map<int, std::unique_ptr<kernels::ThreadPool>> by_threads;
  std::unique_ptr<kernels::ThreadPool>& pool = by_threads[threads];
  if (pool == nullptr) pool = std::make_unique<kernels::ThreadPool>(threads);
  return *pool;
}

int read_call(const dsb_call& call, Cell& cell) {
  if (const int error = read_operands(call, DSB_CPU, cell); error != 0) return error;
  cell.pool = &shared_pool(std::max(1, call.threads));
  cell.table = &kernels::kernels();
  return 0;
}

}  // namespace dsbench::kernelbench::cpu
