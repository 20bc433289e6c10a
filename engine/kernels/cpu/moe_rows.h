#pragma once

#include <cstdint>

namespace dsbench::engine::kernels::cpu {

// Rows sorted by expert: slots[i] is the row that copy i, which goes to expert ids[i], gets; the rows of
// expert e are offsets[e] … offsets[e + 1] − 1, copies in order within them. offsets holds experts + 1.
void align_experts(const std::int32_t* ids, std::int64_t copies, std::int32_t experts, std::int32_t* slots,
                   std::int32_t* offsets);

// The k largest of x[n], in any order, into ids[k]; −1 where there are fewer. Not for NaN.
void top_k(const float* x, std::int64_t n, std::int64_t k, std::int32_t* ids);

}  // namespace dsbench::engine::kernels::cpu
