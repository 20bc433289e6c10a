#include "engine/checkpoint/hf_config.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "core/files.h"
#include "engine/checkpoint/config_object.h"

namespace dsbench::engine::checkpoint {
namespace {

using profiles::GateScoring;
using profiles::ModelProfile;

double magnitude(double factor, double coefficient) {
  return 0.1 * coefficient * std::log(factor) + 1;
}

void read_yarn(ConfigObject& rope, ModelProfile& p) {
  p.yarn.always = true;
  p.yarn.original_context = rope.count("original_max_position_embeddings", 1);
  p.yarn.factor = rope.has("factor")
                      ? rope.positive("factor")
                      : static_cast<double>(p.max_context) / static_cast<double>(p.yarn.original_context);
  p.yarn.beta_fast = rope.number("beta_fast", 0);
  p.yarn.beta_slow = rope.number("beta_slow", 0);
  if (p.yarn.beta_fast == 0) p.yarn.beta_fast = 32;  // transformers takes 0 and null for the default
  if (p.yarn.beta_slow == 0) p.yarn.beta_slow = 1;
  const double mscale = rope.number("mscale", 0);
  const double mscale_all_dim = rope.number("mscale_all_dim", 0);
  rope.only("truncate", true, ": the ramp runs between whole dimensions");
  rope.only("partial_rotary_factor", 1.0, "");
  if (p.yarn.factor <= 1) return;
  p.yarn.mscale_all_dim = mscale_all_dim;
  p.yarn.mscale = mscale != 0 && mscale_all_dim != 0 ? mscale : 1;
  // Ours is m(mscale)/m(mscale_all_dim): what transformers wants is put into mscale where that is another
  // number.
  double amplitude = 0;
  if (rope.has("attention_factor")) {
    amplitude = rope.positive("attention_factor");
  } else if (mscale == 0 && mscale_all_dim != 0) {
    amplitude = magnitude(p.yarn.factor, 1);
  }
  if (amplitude != 0) {
    p.yarn.mscale =
        (amplitude * magnitude(p.yarn.factor, mscale_all_dim) - 1) / (0.1 * std::log(p.yarn.factor));
  }
}

// Before 5.0 transformers wrote rope_theta and rope_scaling, since then rope_parameters.
void read_rope(ConfigObject& root, ModelProfile& p) {
  ConfigObject rope = root.object(root.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  p.rope_theta = rope.has("rope_theta") ? rope.positive("rope_theta") : root.positive("rope_theta", 10000);
  const std::string_view type_key = rope.has("rope_type") ? "rope_type" : "type";
  rope.only(type_key, {"yarn", "default"});
  if (rope.text(type_key, "default") == "yarn") read_yarn(rope, p);
}

void read_gate(ConfigObject& root, const HfConfig& config, ModelProfile& p) {
  const bool v3 = config.model_type == "deepseek_v3";
  p.moe.experts = root.count("n_routed_experts", 1);
  p.moe.top_k = root.count("num_experts_per_tok", 1);
  p.moe.shared_experts = root.count("n_shared_experts", 0, 0);
  p.moe.intermediate = root.count("moe_intermediate_size", 1);
  p.moe.routed_scale = root.positive("routed_scaling_factor", v3 ? 2.5 : 1.0);
  root.only("moe_layer_freq", std::int64_t{1}, ": every layer from first_k_dense_replace on has experts");
  if (v3) {
    p.moe.scoring = GateScoring::sigmoid;
    p.moe.correction_bias = true;
    p.moe.renormalise = root.boolean("norm_topk_prob", true);
    p.moe.groups = root.count("n_group", 1, 1);
    p.moe.kept_groups = root.count("topk_group", 1, 1);
    root.only("scoring_func", {"sigmoid"}, " for deepseek_v3");
    root.only("topk_method", {"noaux_tc"}, " for deepseek_v3");
    return;
  }
  p.moe.scoring = GateScoring::softmax;
  p.moe.correction_bias = false;
  p.moe.renormalise = false;
  root.only("scoring_func", {"softmax"}, " for deepseek_v2");
  root.only(
      "norm_topk_prob", false,
      " for deepseek_v2: DeepSeek's own code and transformers do not agree on what true would mean there");
  root.only("topk_method", {"greedy", "group_limited_greedy"}, " for deepseek_v2");
  if (root.text("topk_method", "greedy") == "group_limited_greedy") {
    p.moe.groups = root.count("n_group", 1);
    p.moe.kept_groups = root.count("topk_group", 1);
  }
}

void read_quantization(ConfigObject& root, HfConfig& config) {
  if (!root.has("quantization_config")) return;
  ConfigObject q = root.object("quantization_config");
  if (!q.has("quant_method")) q.complain("quant_method", "is missing; accepted: fp8");
  q.only("quant_method", {"fp8"});
  q.only("fmt", {"e4m3"});
  const std::vector<std::int64_t> block = q.counts("weight_block_size");
  if (block.size() != 2 || block[0] < 1 || block[1] < 1) {
    q.complain("weight_block_size",
               fmt::format("found {}; accepted are two whole numbers above 0, such as [128, 128]",
                           block.empty() ? "none" : fmt::format("{} numbers", block.size())));
    return;
  }
  config.block_scales = BlockScales{block[0], block[1]};
}

// Those that end an answer: generation_config.json's, else config.json's.
void read_eos(ConfigObject& root, ConfigObject* generation, ModelProfile& p) {
  ConfigObject& from = generation != nullptr && generation->has("eos_token_id") ? *generation : root;
  const std::vector<std::int64_t> ids = from.counts("eos_token_id");
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= p.vocab) {
      from.complain("eos_token_id",
                    fmt::format("found {}; accepted are token ids below vocab_size ({})", id, p.vocab));
      return;
    }
  }
  p.eos_token = ids.empty() ? -1 : static_cast<std::int32_t>(ids.front());
  for (std::size_t i = 1; i < ids.size(); ++i) p.more_eos_tokens.push_back(static_cast<std::int32_t>(ids[i]));
}

}  // namespace

Result<HfConfig> parse_hf_config(std::string_view text, std::string_view generation_text,
                                 const std::string& name, const std::string& source) {
  DSBENCH_TRY(ConfigObject root, ConfigObject::parse(text, source));
  std::optional<ConfigObject> generation;
  if (!generation_text.empty()) {
    DSBENCH_TRY(generation, ConfigObject::parse(generation_text, "generation_config.json beside " + source));
  }
  HfConfig config;
  config.model_type = root.text("model_type");
  if (config.model_type != "deepseek_v2" && config.model_type != "deepseek_v3") {
    return fail(ErrorKind::usage, "{}: model_type: found '{}'; accepted: deepseek_v2, deepseek_v3", source,
                config.model_type);
  }
  ModelProfile& p = config.profile;
  p.name = name;
  p.source = source;
  p.hidden = root.count("hidden_size", 1);
  p.layers = root.count("num_hidden_layers", 1);
  p.vocab = root.count("vocab_size", 1);
  p.max_context = root.count("max_position_embeddings", 1);
  p.rms_eps = root.positive("rms_norm_eps", 1e-6);
  p.heads = root.count("num_attention_heads", 1);
  p.q_lora = root.count("q_lora_rank", 1, 0);
  p.kv_lora = root.count("kv_lora_rank", 1);
  p.nope_dim = root.count("qk_nope_head_dim", 1);
  p.rope_dim = root.count("qk_rope_head_dim", 2);
  p.v_dim = root.count("v_head_dim", 1);
  const std::int32_t kv_heads = root.count("num_key_value_heads", 1, p.heads);
  if (kv_heads != p.heads) {
    root.complain("num_key_value_heads",
                  fmt::format("found {}; accepted is num_attention_heads ({})", kv_heads, p.heads));
  }
  root.only("hidden_act", {"silu"});
  root.only("attention_bias", false, ": biases are not computed");
  root.only("mlp_bias", false, ": biases are not computed");
  read_rope(root, p);
  // Read as it stands, also where it lies beyond the layers: then all are dense.
  p.dense_layers =
      root.has("n_routed_experts") ? std::min(root.count("first_k_dense_replace", 0, 0), p.layers) : p.layers;
  p.dense_intermediate = root.count("intermediate_size", 1);
  if (p.moe_layers() > 0) read_gate(root, config, p);
  config.rope_interleaved = root.boolean("rope_interleave", true);
  config.tied_embeddings = root.boolean("tie_word_embeddings", false);
  config.mtp_layers = root.count(root.has("num_mtp_layers") ? "num_mtp_layers" : "num_nextn_predict_layers",
                                 0, config.model_type == "deepseek_v3" ? 1 : 0);
  read_quantization(root, config);
  read_eos(root, generation ? &*generation : nullptr, p);
  if (root.has("bos_token_id") && !root.is_list("bos_token_id"))
    config.bos_token = root.count("bos_token_id", 0);

  DSBENCH_CHECK(root.finish());
  if (generation) DSBENCH_CHECK(generation->finish());
  DSBENCH_CHECK(profiles::check_model_profile(p));
  return config;
}

Result<HfConfig> read_hf_config(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "config.json";
  DSBENCH_TRY(const std::string text, read_file(path));
  std::string generation;
  std::error_code error;
  if (std::filesystem::exists(directory / "generation_config.json", error)) {
    DSBENCH_TRY(generation, read_file(directory / "generation_config.json"));
  }
  const std::filesystem::path whole = std::filesystem::weakly_canonical(directory, error);
  const std::string name = (whole.empty() ? directory : whole).filename().string();
  return parse_hf_config(text, generation, name.empty() ? "model" : name, path.string());
}

}  // namespace dsbench::engine::checkpoint
