#pragma once

#include "engine/kernels/gate_config.h"
#include "engine/kernels/rope_config.h"
#include "profiles/model_profile.h"

namespace dsbench::engine {

// The parts of a model profile in the words of the kernels, which know nothing of profiles.
[[nodiscard]] inline kernels::RopeConfig rope_config(const profiles::ModelProfile& p) {
  return {.dim = p.rope_dim,
          .theta = p.rope_theta,
          .yarn = p.yarn_on(),
          .factor = p.yarn.factor,
          .original_context = static_cast<double>(p.yarn.original_context),
          .beta_fast = p.yarn.beta_fast,
          .beta_slow = p.yarn.beta_slow,
          .mscale = p.yarn.mscale,
          .mscale_all_dim = p.yarn.mscale_all_dim};
}

[[nodiscard]] inline kernels::GateConfig gate_config(const profiles::ModelProfile& p) {
  return {.experts = p.moe.experts,
          .top_k = p.moe.top_k,
          .groups = p.moe.groups,
          .kept_groups = p.moe.kept_groups,
          .scoring = p.moe.scoring == profiles::GateScoring::sigmoid ? kernels::Scoring::sigmoid
                                                                     : kernels::Scoring::softmax,
          .renormalise = p.moe.renormalise,
          .routed_scale = p.moe.routed_scale};
}

}  // namespace dsbench::engine
