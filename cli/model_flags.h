#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "engine/model/weights.h"
#include "profiles/model_profile.h"

namespace dsbench::engine::server {
class ModelText;
}

namespace dsbench::cli {

// A model from a directory in place of a profile with drawn weights.
struct ModelOptions {
  std::string directory;  // empty: none
  std::string chat_template = "auto";
};

void add_model_flags(CLI::App& app, ModelOptions& options, const std::string& prefix,
                     const std::string& group);

// Flags that say something else of the weights, and executors that read none. `given` as EngineOptions has
// it.
[[nodiscard]] Result<void> refuse_idle_model_flags(
    const ModelOptions& options, const std::string& executor,
    const std::vector<std::pair<std::string, std::string>>& given);

// What an engine runs, before any of it is loaded.
struct OpenedModel {
  profiles::ModelProfile profile;
  std::unique_ptr<engine::WeightSource> weights;
  std::shared_ptr<const engine::server::ModelText> text;  // null: no tokenizer
  std::string bill;                                       // lines of the memory bill about what is stored
};

// What else the weights must be.
struct WeightWishes {
  bool mtp = false;  // there must be an MTP module
  std::optional<double>
      foretold;  // drawn weights made to be foretold so often (engine/model/foretold_weights.h)
};

// The directory's checkpoint, or the profile of this name with weights drawn from `seed`.
[[nodiscard]] Result<OpenedModel> open_model(const ModelOptions& options, const std::string& profile,
                                             std::uint64_t seed, const WeightWishes& wishes = {});

}  // namespace dsbench::cli
