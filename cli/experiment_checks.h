#pragma once

#include <memory>
#include <string_view>

#include "cli/experiment_options.h"
#include "core/result.h"
#include "profiles/tokenizer/tokenizer.h"
#include "profiles/workload_profile.h"

// What of an experiment's options is refused before anything is made.
namespace dsbench::cli {

// A simulated replica is of the hardware that its fleet names, or of this one.
inline constexpr std::string_view law_prefix = "cost:";
[[nodiscard]] bool is_law_flag(std::string_view flag, std::string_view value);

[[nodiscard]] Result<void> check_targets(const ExperimentOptions& o);
// A flag that would change nothing is a misunderstanding, and better said than passed over.
[[nodiscard]] Result<void> refuse_idle_engine_flags(const ExperimentOptions& o);
// Images have a place in some APIs only.
[[nodiscard]] Result<void> refuse_unsendable_images(const ExperimentOptions& o,
                                                    const profiles::WorkloadProfile& workload);
// The tokenizer that counts what the server does not; null: none was named.
[[nodiscard]] Result<std::shared_ptr<const profiles::Tokenizer>> load_tokenizer(const ExperimentOptions& o);

}  // namespace dsbench::cli
