#include "loadgen/workload.h"

#include "core/rng.h"

namespace dsbench::loadgen {

SharedSource make_source(const profiles::WorkloadProfile& workload, std::uint64_t seed) {
  return [prompt = workload.prompt_tokens, output = workload.output_tokens, seed](std::uint64_t request) {
    Attempt attempt;
    attempt.request = request;
    attempt.content = request;
    attempt.prompt_tokens = profiles::length_at(prompt, Rng{seed, "prompt_tokens", request}.open_uniform());
    attempt.output_tokens = profiles::length_at(output, Rng{seed, "output_tokens", request}.open_uniform());
    attempt.prompt_seed = derive_seed(seed, "prompts", request);
    return attempt;
  };
}

}  // namespace dsbench::loadgen
