#pragma once

#include <string>
#include <string_view>

#include "engine/server/api_error.h"
#include "engine/server/fault_director.h"

namespace dsbench::engine::server {

// /admin/faults, which only this machine may ask:
//
//   GET                     {"faults":[{"id","fault","active","starts_in_s","ends_in_s"}]}
//   POST {"fault": TEXT}    adds one as --fault has it, its START counted from now; the list
//   DELETE                  takes all away, or with ?fault=NAME those of one kind, with ?id=N one; the list
[[nodiscard]] tl::expected<std::string, ApiError> admin_faults(std::string_view method,
                                                               std::string_view target, std::string_view body,
                                                               FaultDirector& faults, Nanos now);

}  // namespace dsbench::engine::server
