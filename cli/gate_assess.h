#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/gate_options.h"
#include "core/result.h"
#include "results/gate/evidence.h"
#include "results/gate/noise_store.h"
#include "results/gate/outcome.h"

namespace dsbench::cli {

// Everything that stands before the statistics, and then the statistics. Errors: usage, for runs that are not
// comparable, a margin below the noise floor, so few runs that nothing could ever be called, a wrong flag;
// io. `alpha` is of this look.
[[nodiscard]] Result<results::gate::Outcome> assess(std::span<const results::gate::Evidence> baseline,
                                                    std::span<const results::gate::Evidence> candidate,
                                                    const GateFlags& flags, double alpha);

// The keys that differ and may, or an error that lists those that may not.
[[nodiscard]] Result<std::vector<results::gate::Mismatch>> check_comparable(
    std::span<const results::gate::Evidence> baseline, std::span<const results::gate::Evidence> candidate,
    const GateFlags& flags);

}  // namespace dsbench::cli
