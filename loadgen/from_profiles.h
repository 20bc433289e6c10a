#pragma once

#include "loadgen/client_policy.h"
#include "profiles/client_profile.h"
#include "profiles/slo_profile.h"
#include "results/record.h"

namespace dsbench::loadgen {

// What profiles say, in the words of the rooms that act on it (profiles/ knows neither of them).
[[nodiscard]] ClientPolicy policy_of(const profiles::ClientProfile& profile);
[[nodiscard]] results::Slo slo_of(const profiles::SloProfile& profile);

}  // namespace dsbench::loadgen
