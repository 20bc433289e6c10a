#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "engine/checkpoint/safetensors.h"

namespace dsbench::engine::checkpoint {

// The tensors of a directory: the shards that `model.safetensors.index.json` names, or `model.safetensors`.
class Checkpoint {
 public:
  [[nodiscard]] static Result<Checkpoint> open(const std::filesystem::path& directory);

  // Null when there is none of that name.
  [[nodiscard]] const Tensor* find(std::string_view name) const;
  [[nodiscard]] const TensorMap& tensors() const { return tensors_; }
  [[nodiscard]] std::size_t files() const { return files_.size(); }

 private:
  std::vector<SafetensorsFile> files_;
  TensorMap tensors_;  // of all files
};

}  // namespace dsbench::engine::checkpoint
