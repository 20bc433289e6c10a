#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/hf_config.h"
#include "engine/model/weights.h"

namespace dsbench::engine::checkpoint {

// A Hugging Face checkpoint as a decoder's source of weights, each tensor widened to fp32 when it is asked
// for.
//
// open() reads headers only and checks all there is to check: that every tensor of the model is there with
// its shape and a type that we read, an F8_E4M3 one with the scales of its blocks, and that there is no
// tensor that nobody would read, because that is a model we do not know. Passed over and counted:
// *.rotary_emb.inv_freq (computed), the layers of multi-token prediction where they are not wanted, of those
// that are the copies of embedding and head that they share with the model, and the head of a model whose
// head is its embedding.
class CheckpointWeights final : public WeightSource {
 public:
  // `with_mtp`: the module of multi-token prediction (the layer behind the last) must be there as well, and
  // is read.
  [[nodiscard]] static Result<std::unique_ptr<CheckpointWeights>> open(const std::filesystem::path& directory,
                                                                       bool with_mtp = false);

  [[nodiscard]] std::vector<float> matrix(std::string_view name, std::int64_t n, std::int64_t k,
                                          double gain) const override;
  [[nodiscard]] std::vector<float> norm(std::string_view name, std::int64_t n) const override;
  [[nodiscard]] std::vector<float> correction_bias(std::string_view name, std::int64_t n) const override;
  [[nodiscard]] std::string describe() const override;

  [[nodiscard]] const HfConfig& config() const { return config_; }
  [[nodiscard]] const profiles::ModelProfile& profile() const { return config_.profile; }
  // Of the tensors that are read, with their scales.
  [[nodiscard]] Bytes stored_bytes() const { return Bytes{stored_bytes_}; }
  [[nodiscard]] std::size_t tensors() const { return used_; }
  [[nodiscard]] std::size_t passed_over() const { return passed_over_; }
  [[nodiscard]] std::size_t files() const { return checkpoint_.files(); }
  // "BF16", or "BF16, F32": the types of the tensors that are read.
  [[nodiscard]] std::string types() const;

 private:
  CheckpointWeights(HfConfig config, Checkpoint checkpoint);
  Result<void> check(bool with_mtp);
  // The tensor of a name of ours.
  [[nodiscard]] std::vector<float> read(const std::string& hf_name) const;

  HfConfig config_;
  Checkpoint checkpoint_;
  std::string directory_;
  std::vector<std::string> types_;
  std::int64_t stored_bytes_ = 0;
  std::size_t used_ = 0;
  std::size_t passed_over_ = 0;
};

// A tensor that a model must have.
struct ExpectedTensor {
  std::string name;  // Hugging Face's
  std::vector<std::int64_t> shape;
};

// All of them, in the order of the network.
[[nodiscard]] std::vector<ExpectedTensor> expected_tensors(const HfConfig& config, bool with_mtp = false);

// "layers.3.q_a" → "model.layers.3.self_attn.q_a_proj.weight".
[[nodiscard]] std::string hf_tensor_name(std::string_view name);

}  // namespace dsbench::engine::checkpoint
