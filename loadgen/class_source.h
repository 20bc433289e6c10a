#pragma once

#include <cstdint>
#include <memory>

#include "loadgen/request_source.h"
#include "profiles/workload_profile.h"

namespace dsbench::loadgen {

// The requests of one class of a workload: single ones, the turns of sessions, or the steps of agents. Its
// answers carry `tenant`.
[[nodiscard]] std::shared_ptr<const RequestSource> make_class_source(const profiles::RequestShape& shape,
                                                                     std::uint64_t seed,
                                                                     std::uint16_t tenant);

}  // namespace dsbench::loadgen
