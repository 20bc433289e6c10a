#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "kernelbench/op.h"

// Which tokens go to which experts.
namespace dsbench::kernelbench {

// uniform: top_k different experts, all alike. zipf: expert popularity ∝ 1/rank, ranks dealt at random.
// balanced: dealt out in turn. one: every copy to a single expert.
[[nodiscard]] WordSpec routing_word();
[[nodiscard]] Result<void> check_routing(const Problem& problem);

// ids[tokens·top_k] by the problem's tokens, top_k, experts and routing. Adversarial: only every third expert
// gets any, where that leaves enough.
[[nodiscard]] std::vector<std::int32_t> make_routing(const Problem& problem);

// offsets[experts + 1] of rows sorted by expert.
[[nodiscard]] std::vector<std::int64_t> expert_offsets(const std::vector<std::int32_t>& ids,
                                                       std::int64_t experts);
// The row of each copy: experts in order, tokens in order within them.
[[nodiscard]] std::vector<std::int32_t> expert_slots(const std::vector<std::int32_t>& ids,
                                                     std::int64_t experts);

// As an operand.
[[nodiscard]] HostTensor i32_tensor(std::string name, std::vector<std::int64_t> shape,
                                    const std::vector<std::int32_t>& values);

}  // namespace dsbench::kernelbench
