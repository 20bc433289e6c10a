#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "profiles/model_profile.h"

namespace dsbench::engine::checkpoint {

// Weights in F8_E4M3 with one scale for each block of so many rows and columns; edges may be ragged.
struct BlockScales {
  std::int64_t rows = 128;
  std::int64_t columns = 128;
};

// What a Hugging Face config.json says of a model of the families deepseek_v2 and deepseek_v3.
struct HfConfig {
  std::string model_type;
  profiles::ModelProfile profile;
  // Which components of a rotary part turn together: neighbours (2i, 2i + 1), as DeepSeek's checkpoints have
  // it and we compute, or halves (i, i + dim/2).
  bool rope_interleaved = true;
  bool tied_embeddings = false;  // the head is the embedding
  std::int32_t mtp_layers = 0;   // beyond the profile's layers; the first is read where it is wanted
  std::optional<BlockScales> block_scales;
  std::optional<std::int32_t> bos_token;
};

// `generation` is the text of generation_config.json, empty for none: its eos_token_id wins. `source` names
// the config in messages. Keys that change what a model computes and that we do not compute are refused, all
// of them in one message, a line each; keys of training and of other software are passed over.
//
// Meanings are those of transformers' own deepseek_v2 and deepseek_v3 (5.x), which is what parity is measured
// against. YaRN: cosines and sines are scaled with attention_factor, else with m(mscale)/m(mscale_all_dim)
// where both are given and not 0, else with m(1); scores with m(mscale_all_dim)² where that is given and not
// 0; m(c) = 0.1·c·ln(factor) + 1.
[[nodiscard]] Result<HfConfig> parse_hf_config(std::string_view config, std::string_view generation,
                                               const std::string& name, const std::string& source);

// From DIR/config.json and DIR/generation_config.json; the model is named after the directory.
[[nodiscard]] Result<HfConfig> read_hf_config(const std::filesystem::path& directory);

}  // namespace dsbench::engine::checkpoint
