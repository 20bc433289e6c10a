#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/client_policy.h"
#include "loadgen/request_source.h"
#include "profiles/workload_profile.h"
#include "results/recorder.h"

namespace dsbench::loadgen {

// A mix of tenants: the weight of each class of the workload, in its order.
using Mix = std::vector<double>;

// The mix that a stage's {"class": weight} asks for; classes it does not name stay away. Errors: usage (no
// such class, no weight above nought).
[[nodiscard]] Result<Mix> mix_of(const profiles::WorkloadProfile& workload,
                                 const std::map<std::string, double>& weights);

// What request i consists of: a function of (workload, seed, mix, i) alone, whoever asks and in whatever
// order; and what a session does next: a function of that and of what became of its requests.
//
// `mixes` are those that ContentMap::begin() may name, from 1 on; mix 0 is the workload's own weights.
//
// Streams of randomness, by request number: "class", "prompt_tokens", "output_tokens", "prompts", "prefixes",
// "turns", "think_time" and so on; a new kind of property gets a stream of its own, so that the ones here
// stay as they are. What turn k of a session draws has number i | k << 40.
[[nodiscard]] SharedSource make_source(const profiles::WorkloadProfile& workload, std::uint64_t seed,
                                       std::vector<Mix> mixes = {});

// The clients and the bounds of a workload's classes; those without their own have the run's.
[[nodiscard]] ClientPolicies policies_of(const profiles::WorkloadProfile& workload,
                                         const ClientPolicy& of_run);
[[nodiscard]] std::vector<results::Tenant> tenants_of(const profiles::WorkloadProfile& workload,
                                                      const results::Slo& of_run);

}  // namespace dsbench::loadgen
