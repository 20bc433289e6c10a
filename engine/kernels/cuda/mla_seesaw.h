#pragma once

#include "engine/kernels/cuda/mla_decode_wgmma.h"

namespace dsbench::engine::kernels::cuda {

// mla_decode as mla_decode_wgmma has it (its tensor maps, its plan, its workspace), but the two warpgroups
// that multiply take turns with pages.
[[nodiscard]] Status mla_decode_seesaw(const WgmmaMla& mla, void* stream);

}  // namespace dsbench::engine::kernels::cuda
