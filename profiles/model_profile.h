#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::profiles {

// How a gate turns logits into expert scores.
enum class GateScoring : std::uint8_t { sigmoid, softmax };

// Rotary positions with YaRN's stretching of the slow dimensions (Peng et al., 2023). factor 1 means none.
struct YarnProfile {
  double factor = 1;
  std::int32_t original_context = 4096;  // what the frequencies were trained for
  double beta_fast = 32;                 // turns over original_context above which a dimension is left alone
  double beta_slow = 1;                  // turns below which a dimension is interpolated fully
  double mscale = 1;
  double mscale_all_dim = 1;
  bool always = false;  // also where the context is no longer than original_context
};

struct MoeProfile {
  std::int32_t experts = 0;
  std::int32_t top_k = 0;
  std::int32_t groups = 1;
  std::int32_t kept_groups = 1;
  std::int32_t shared_experts = 0;
  std::int32_t intermediate = 0;  // of one expert
  GateScoring scoring = GateScoring::sigmoid;
  bool renormalise = true;  // divide the chosen weights by their sum
  double routed_scale = 1;
  bool correction_bias = false;  // added to the scores for choosing, never for weighting
};

// Shape of a decoder of the DeepSeek-V2/V3 family: what an engine, a memory bill and a kernel case need to
// know of a model.
struct ModelProfile {
  std::string name;
  std::string source;  // where the numbers come from

  std::int32_t hidden = 0;
  std::int32_t layers = 0;
  std::int32_t dense_layers = 0;  // the first ones; the others are MoE
  std::int32_t vocab = 0;
  std::int32_t eos_token = -1;                     // -1: none
  std::vector<std::int32_t> more_eos_tokens = {};  // that end an answer too, of checkpoints with several
  std::int32_t max_context = 0;
  double rms_eps = 1e-6;

  std::int32_t heads = 0;
  std::int32_t q_lora = 0;  // 0: queries come straight from the hidden state, as in V2-Lite
  std::int32_t kv_lora = 0;
  std::int32_t nope_dim = 0;
  std::int32_t rope_dim = 0;
  std::int32_t v_dim = 0;

  double rope_theta = 10000;
  YarnProfile yarn;

  std::int32_t dense_intermediate = 0;
  MoeProfile moe;

  // YaRN is in force for models whose context is longer than what the frequencies were trained for, as in
  // DeepSeek's own inference, unless the profile says always, as Hugging Face's does.
  [[nodiscard]] bool yarn_on() const {
    return yarn.factor > 1 && (yarn.always || max_context > yarn.original_context);
  }
  [[nodiscard]] std::int32_t qk_dim() const { return nope_dim + rope_dim; }
  // What one token leaves in the KV cache of one layer: the latent and the shared rotary key.
  [[nodiscard]] std::int32_t latent_width() const { return kv_lora + rope_dim; }
  [[nodiscard]] std::int32_t moe_layers() const { return layers - dense_layers; }
};

// Reads "dsbench.model/1"; everything that is wrong is in one message, a line each.
[[nodiscard]] Result<ModelProfile> parse_model_profile(std::string_view json, std::string source);

// By shipped name ("tiny", "v2-lite", "v3") or by path.
[[nodiscard]] Result<ModelProfile> load_model_profile(std::string_view name_or_path);

// The checks between fields; for profiles that are built in code. Each complaint is one line of the message.
[[nodiscard]] Result<void> check_model_profile(const ModelProfile& profile);

}  // namespace dsbench::profiles
