#include "kernelbench/kernels_cpu/kernel_adapter.h"

#include <algorithm>
#include <atomic>
#include <map>

#include "kernelbench/kernels_cpu/shared_pool.h"
#include "kernelbench/kernels_cpu/table_in_use.h"

namespace dsbench::kernelbench::cpu {
namespace {

std::atomic<const kernels::KernelTable*> chosen{nullptr};

}  // namespace

const kernels::KernelTable& table_in_use() {
  const kernels::KernelTable* const table = chosen.load();
  return table != nullptr ? *table : kernels::kernels();
}

void use_table(const kernels::KernelTable* table) {
  chosen.store(table);
}

kernels::ThreadPool& shared_pool(int threads) {
  static std::map<int, std::unique_ptr<kernels::ThreadPool>> by_threads;
  std::unique_ptr<kernels::ThreadPool>& pool = by_threads[threads];
  if (pool == nullptr) pool = std::make_unique<kernels::ThreadPool>(threads);
  return *pool;
}

int read_call(const dsb_call& call, Cell& cell) {
  if (const int error = read_operands(call, DSB_CPU, cell); error != 0) return error;
  cell.pool = &shared_pool(std::max(1, call.threads));
  cell.table = &table_in_use();
  return 0;
}

}  // namespace dsbench::kernelbench::cpu
