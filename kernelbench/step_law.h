#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "kernelbench/result.h"
#include "profiles/model_profile.h"
#include "profiles/step_law_fit.h"

namespace dsbench::kernelbench {

// How large the steps are that the law is made for.
struct StepRange {
  double max_prefill_tokens = 512;
  double max_decode_tokens = 64;
  double max_context = 4096;     // of one sequence
  double max_kv_tokens = 65536;  // of all sequences of a step: what the cache holds
};

struct KernelStepLaw {
  profiles::StepLawFit fit;
  struct Share {
    std::string op;
    double seconds = 0;        // of a full decode step
    double efficiency = 0;     // of its roofline there
    bool beyond = false;       // the step needs it at a size that no cell of the result has
    bool at_roofline = false;  // there is no cell of this op: it is taken at its roofline
  };
  std::vector<Share> shares;  // largest first
};

// The step-time law of a model on the machine that a kernel result was made on. A step is the sum of its
// kernels over all layers; each kernel's work follows from the model's shapes (docs/kernels.md), its time is
// its roofline divided by the efficiency that the timed cells of the same op and dtype have at that size
// (linear in the logarithm of the roofline's seconds, constant beyond the ends). The law is then fitted to
// such steps over `range`. What is left out: the scheduler and the server, communication between devices, and
// overlap of kernels.
//
// `dtype` of the dense products and experts: "f32", "f32.bf16", "int8", "bf16", "fp8"; of the first three the
// experts may have another of them, where the result has no other. Errors (usage): no
// timed cell of the products, the experts or the attention, each with what to run.
[[nodiscard]] Result<KernelStepLaw> step_law_from_kernels(const KernelRun& run,
                                                          const profiles::ModelProfile& model,
                                                          const std::string& dtype, const StepRange& range);

}  // namespace dsbench::kernelbench
