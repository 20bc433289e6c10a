#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/result.h"
#include "engine/checkpoint/tensor.h"

namespace dsbench::engine::checkpoint {

using TensorMap = std::map<std::string, Tensor, std::less<>>;

// One *.safetensors file, mapped: eight bytes with the length of a JSON header, the header, the data. Opening
// reads the header only and checks that every tensor that it names lies whole inside the file, so that
// nothing read later can lie outside. Format: https://huggingface.co/docs/safetensors/index#format
class SafetensorsFile {
 public:
  // Errors name the file and, where one is to blame, the tensor.
  [[nodiscard]] static Result<SafetensorsFile> open(const std::filesystem::path& path);

  // They point into the mapping, which lives as long as a copy of this.
  [[nodiscard]] const TensorMap& tensors() const { return tensors_; }

 private:
  class Mapping;
  std::shared_ptr<const Mapping> mapping_;
  TensorMap tensors_;
};

// The header's part of it, for tests: `bytes` is a whole file.
[[nodiscard]] Result<TensorMap> parse_safetensors(std::span<const std::byte> bytes, const std::string& name);

}  // namespace dsbench::engine::checkpoint
