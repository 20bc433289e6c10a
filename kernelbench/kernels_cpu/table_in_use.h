#pragma once

#include "engine/kernels/cpu/kernel_table.h"

namespace dsbench::kernelbench::cpu {

// The instruction set that CPU kernels are prepared with from now on: the fastest that this processor has,
// unless a test has chosen another.
[[nodiscard]] const engine::kernels::cpu::KernelTable& table_in_use();

// Null: the fastest again.
void use_table(const engine::kernels::cpu::KernelTable* table);

}  // namespace dsbench::kernelbench::cpu
