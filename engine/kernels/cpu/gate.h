#pragma once

#include <cstdint>
#include <span>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/gate_config.h"

namespace dsbench::engine::kernels::cpu {

// The rules of ref::gate for one row, in fp32 and without allocation. `logits` are overwritten. `bias` is
// empty for none; `scratch` holds experts + groups floats; `experts` and `weights` hold top_k. At most 1024
// experts.
void gate(const KernelTable& kernels, const GateConfig& config, std::span<float> logits,
          std::span<const float> bias, std::span<float> scratch, std::span<std::int32_t> experts,
          std::span<float> weights);

}  // namespace dsbench::engine::kernels::cpu
