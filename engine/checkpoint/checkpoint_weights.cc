#include "engine/checkpoint/checkpoint_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <set>
#include <utility>

namespace dsbench::engine::checkpoint {
namespace {

constexpr std::string_view kLayers = "model.layers.";
constexpr std::string_view kScaleSuffix = "_scale_inv";

// The last part of a name of ours and of theirs.
constexpr std::pair<std::string_view, std::string_view> kParts[] = {
    {"attention_norm", "input_layernorm.weight"},
    {"ffn_norm", "post_attention_layernorm.weight"},
    {"q_a", "self_attn.q_a_proj.weight"},
    {"q_norm", "self_attn.q_a_layernorm.weight"},
    {"q_b", "self_attn.q_b_proj.weight"},
    {"q", "self_attn.q_proj.weight"},
    {"kv_a", "self_attn.kv_a_proj_with_mqa.weight"},
    {"kv_norm", "self_attn.kv_a_layernorm.weight"},
    {"kv_b", "self_attn.kv_b_proj.weight"},
    {"o", "self_attn.o_proj.weight"},
    {"router", "mlp.gate.weight"},
    {"router_bias", "mlp.gate.e_score_correction_bias"},
    {"mtp_embedding_norm", "enorm.weight"},
    {"mtp_hidden_norm", "hnorm.weight"},
    {"mtp_join", "eh_proj.weight"},
    {"mtp_norm", "shared_head.norm.weight"},
    {"gate", "gate_proj.weight"},
    {"up", "up_proj.weight"},
    {"down", "down_proj.weight"}};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// The layer that a tensor of theirs belongs to; −1 for none.
std::int64_t layer_of(std::string_view name) {
  if (!name.starts_with(kLayers)) return -1;
  name.remove_prefix(kLayers.size());
  std::int64_t layer = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  return error == std::errc{} && end != name.data() + name.size() && *end == '.' ? layer : -1;
}

// Turns rows [first, first + dim) of w [·, k] from halves (i, i + dim/2) into neighbours (2i, 2i + 1).
void interleave_rows(std::vector<float>& w, std::int64_t first, std::int64_t dim, std::int64_t k) {
  const auto begin = w.begin() + first * k;
  const std::vector<float> halves(begin, begin + dim * k);
  for (std::int64_t i = 0; i < dim / 2; ++i) {
    std::copy_n(halves.begin() + i * k, k, begin + 2 * i * k);
    std::copy_n(halves.begin() + (i + dim / 2) * k, k, begin + (2 * i + 1) * k);
  }
}

}  // namespace

std::string hf_tensor_name(std::string_view name) {
  if (name == "embedding") return "model.embed_tokens.weight";
  if (name == "head") return "lm_head.weight";
  if (name == "final_norm") return "model.norm.weight";
  // layers.<i>.[experts.<e>.|shared.]<part>
  const std::size_t layer_end = name.find('.', name.find('.') + 1);
  const std::size_t part_at = name.rfind('.') + 1;
  const std::string_view part = name.substr(part_at);
  const std::string_view middle =
      name.substr(layer_end + 1, part_at - layer_end - 1);  // "experts.3.", "shared.", ""
  const auto* known =
      std::find_if(std::begin(kParts), std::end(kParts), [&](const auto& p) { return p.first == part; });
  assert(known != std::end(kParts));
  const bool ffn = part == "gate" || part == "up" || part == "down";
  const std::string_view room = !ffn                  ? ""
                                : middle.empty()      ? "mlp."
                                : middle == "shared." ? "mlp.shared_experts."
                                                      : "mlp.";
  const std::string_view expert = ffn && middle.starts_with("experts.") ? middle : "";
  return fmt::format("model.{}.{}{}{}", name.substr(0, layer_end), room, expert, known->second);
}

std::vector<ExpectedTensor> expected_tensors(const HfConfig& config, bool with_mtp) {
  const profiles::ModelProfile& p = config.profile;
  std::vector<ExpectedTensor> out;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    out.push_back({hf_tensor_name(name), std::move(shape)});
  };
  const auto add_ffn = [&](const std::string& prefix, std::int64_t intermediate) {
    add(prefix + "gate", {intermediate, p.hidden});
    add(prefix + "up", {intermediate, p.hidden});
    add(prefix + "down", {p.hidden, intermediate});
  };
  add("embedding", {p.vocab, p.hidden});
  for (std::int32_t i = 0; i < p.layers + (with_mtp ? 1 : 0); ++i) {
    const std::string prefix = fmt::format("layers.{}.", i);
    if (i == p.layers) {
      add(prefix + "mtp_embedding_norm", {p.hidden});
      add(prefix + "mtp_hidden_norm", {p.hidden});
      add(prefix + "mtp_join", {p.hidden, 2 * std::int64_t{p.hidden}});
      add(prefix + "mtp_norm", {p.hidden});
    }
    const std::int64_t q_out = std::int64_t{p.heads} * p.qk_dim();
    add(prefix + "attention_norm", {p.hidden});
    if (p.q_lora > 0) {
      add(prefix + "q_a", {p.q_lora, p.hidden});
      add(prefix + "q_norm", {p.q_lora});
      add(prefix + "q_b", {q_out, p.q_lora});
    } else {
      add(prefix + "q", {q_out, p.hidden});
    }
    add(prefix + "kv_a", {p.latent_width(), p.hidden});
    add(prefix + "kv_norm", {p.kv_lora});
    add(prefix + "kv_b", {std::int64_t{p.heads} * (p.nope_dim + p.v_dim), p.kv_lora});
    add(prefix + "o", {p.hidden, std::int64_t{p.heads} * p.v_dim});
    add(prefix + "ffn_norm", {p.hidden});
    if (i < p.dense_layers || p.moe_layers() == 0) {
      add_ffn(prefix, p.dense_intermediate);
      continue;
    }
    add(prefix + "router", {p.moe.experts, p.hidden});
    if (p.moe.correction_bias) add(prefix + "router_bias", {p.moe.experts});
    for (std::int32_t e = 0; e < p.moe.experts; ++e)
      add_ffn(fmt::format("{}experts.{}.", prefix, e), p.moe.intermediate);
    if (p.moe.shared_experts > 0)
      add_ffn(prefix + "shared.", std::int64_t{p.moe.shared_experts} * p.moe.intermediate);
  }
  add("final_norm", {p.hidden});
  if (!config.tied_embeddings) add("head", {p.vocab, p.hidden});
  return out;
}

CheckpointWeights::CheckpointWeights(HfConfig config, Checkpoint checkpoint)
    : config_{std::move(config)}, checkpoint_{std::move(checkpoint)} {}

Result<std::unique_ptr<CheckpointWeights>> CheckpointWeights::open(const std::filesystem::path& directory,
                                                                   bool with_mtp) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return fail(ErrorKind::usage, "'{}' is no directory; accepted is one with config.json and *.safetensors",
                directory.string());
  }
  DSBENCH_TRY(HfConfig config, read_hf_config(directory));
  DSBENCH_TRY(Checkpoint checkpoint, Checkpoint::open(directory));
  std::unique_ptr<CheckpointWeights> weights(new CheckpointWeights(std::move(config), std::move(checkpoint)));
  weights->directory_ = directory.string();
  if (const auto good = weights->check(with_mtp); !good) {
    return fail(good.error().kind, "checkpoint '{}': {}", directory.string(), good.error().message);
  }
  return weights;
}

Result<void> CheckpointWeights::check(bool with_mtp) {
  if (with_mtp && config_.mtp_layers < 1) {
    return fail(
        ErrorKind::usage,
        "has no module of multi-token prediction: config.json has no num_nextn_predict_layers above 0; "
        "serve it with --spec off or --spec ngram");
  }
  std::set<std::string_view> used;
  std::set<std::string> types;
  const auto use = [&](const std::string& name, const Tensor& tensor) {
    used.insert(checkpoint_.tensors().find(name)->first);
    types.insert(tensor.type);
    stored_bytes_ += static_cast<std::int64_t>(tensor.bytes.size());
    return name;
  };
  for (const ExpectedTensor& expected : expected_tensors(config_, with_mtp)) {
    const Tensor* tensor = checkpoint_.find(expected.name);
    if (tensor == nullptr && layer_of(expected.name) == config_.profile.layers) {
      return fail(
          ErrorKind::usage,
          "tensor '{}' of the module of multi-token prediction is missing; --spec mtp asks for it with "
          "shape {}, and --spec off and --spec ngram do without",
          expected.name, describe_shape(expected.shape));
    }
    if (tensor == nullptr) {
      return fail(ErrorKind::usage, "tensor '{}' is missing; config.json asks for it with shape {}",
                  expected.name, describe_shape(expected.shape));
    }
    if (tensor->shape != expected.shape) {
      return fail(ErrorKind::usage, "tensor '{}' has shape {}; config.json asks for {}", expected.name,
                  describe_shape(tensor->shape), describe_shape(expected.shape));
    }
    const auto type = tensor_type(tensor->type);
    if (!type) {
      return fail(ErrorKind::usage, "tensor '{}' is of type {}; accepted: F32, BF16, F16, F8_E4M3",
                  expected.name, tensor->type);
    }
    use(expected.name, *tensor);
    if (*type != TensorType::f8_e4m3) continue;

    if (!config_.block_scales) {
      return fail(ErrorKind::usage,
                  "tensor '{}' is of type F8_E4M3, but config.json has no quantization_config with "
                  "weight_block_size that says how it is scaled",
                  expected.name);
    }
    if (expected.shape.size() != 2) {
      return fail(ErrorKind::usage, "tensor '{}' is of type F8_E4M3; accepted for a vector: F32, BF16, F16",
                  expected.name);
    }
    const std::string scale_name = expected.name + std::string(kScaleSuffix);
    const std::vector<std::int64_t> scale_shape{ceil_div(expected.shape[0], config_.block_scales->rows),
                                                ceil_div(expected.shape[1], config_.block_scales->columns)};
    const Tensor* scale = checkpoint_.find(scale_name);
    if (scale == nullptr) {
      return fail(ErrorKind::usage,
                  "tensor '{}' is missing: '{}' is of type F8_E4M3 and needs scales of shape {}", scale_name,
                  expected.name, describe_shape(scale_shape));
    }
    if (scale->shape != scale_shape) {
      return fail(ErrorKind::usage, "tensor '{}' has shape {}; '{}' {} in blocks of {} x {} needs {}",
                  scale_name, describe_shape(scale->shape), expected.name, describe_shape(expected.shape),
                  config_.block_scales->rows, config_.block_scales->columns, describe_shape(scale_shape));
    }
    if (scale->type != "F32" && scale->type != "BF16") {
      return fail(ErrorKind::usage, "tensor '{}' is of type {}; accepted for scales: F32, BF16", scale_name,
                  scale->type);
    }
    use(scale_name, *scale);
  }

  std::vector<std::string_view> strangers;
  for (const auto& [name, tensor] : checkpoint_.tensors()) {
    if (used.contains(name)) continue;
    const std::int64_t layer = layer_of(name);
    const bool mtp = layer >= config_.profile.layers && layer < config_.profile.layers + config_.mtp_layers;
    if (mtp || name.ends_with(".rotary_emb.inv_freq") ||
        (config_.tied_embeddings && name == "lm_head.weight")) {
      ++passed_over_;
    } else {
      strangers.push_back(name);
    }
  }
  if (!strangers.empty()) {
    const Tensor& tensor = *checkpoint_.find(strangers.front());
    return fail(
        ErrorKind::usage,
        "tensor '{}' ({}) is unknown{}: a {} of {} layers with this config.json has no such tensor, and "
        "nothing would read it",
        strangers.front(), engine::checkpoint::describe(tensor),
        strangers.size() == 1 ? "" : fmt::format(", and so are {} others", strangers.size() - 1),
        config_.model_type, config_.profile.layers);
  }
  used_ = used.size();
  types_.assign(types.begin(), types.end());
  return {};
}

std::vector<float> CheckpointWeights::read(const std::string& hf_name) const {
  const Tensor* tensor = checkpoint_.find(hf_name);
  assert(tensor != nullptr);  // check() has found it
  const TensorType type = *tensor_type(tensor->type);
  std::vector<float> w = to_floats(type, tensor->bytes);
  if (type != TensorType::f8_e4m3) return w;
  const Tensor* scale_tensor = checkpoint_.find(hf_name + std::string(kScaleSuffix));
  const std::vector<float> scale = to_floats(*tensor_type(scale_tensor->type), scale_tensor->bytes);
  const std::int64_t rows = tensor->shape[0];
  const std::int64_t columns = tensor->shape[1];
  const std::int64_t scales_per_row = scale_tensor->shape[1];
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* of_row = scale.data() + r / config_.block_scales->rows * scales_per_row;
    for (std::int64_t c = 0; c < columns; ++c)
      w[static_cast<std::size_t>(r * columns + c)] *= of_row[c / config_.block_scales->columns];
  }
  return w;
}

std::vector<float> CheckpointWeights::matrix(std::string_view name, std::int64_t n, std::int64_t k,
                                             double) const {
  const bool head = name == "head" && config_.tied_embeddings;
  std::vector<float> w = read(hf_tensor_name(head ? "embedding" : name));
  assert(static_cast<std::int64_t>(w.size()) == n * k);
  if (config_.rope_interleaved) return w;
  const profiles::ModelProfile& p = config_.profile;
  const std::string_view part = name.substr(name.rfind('.') + 1);
  if (part == "kv_a") {
    interleave_rows(w, p.kv_lora, p.rope_dim, k);
  } else if (part == "q" || part == "q_b") {
    for (std::int64_t first = p.nope_dim; first < n; first += p.qk_dim())
      interleave_rows(w, first, p.rope_dim, k);
  }
  return w;
}

std::vector<float> CheckpointWeights::norm(std::string_view name, [[maybe_unused]] std::int64_t n) const {
  return read(hf_tensor_name(name));
}

std::vector<float> CheckpointWeights::correction_bias(std::string_view name,
                                                      [[maybe_unused]] std::int64_t n) const {
  return read(hf_tensor_name(name));
}

std::string CheckpointWeights::types() const {
  return fmt::format("{}", fmt::join(types_, ", "));
}

std::string CheckpointWeights::describe() const {
  return fmt::format("{} from {}", types(), directory_);
}

}  // namespace dsbench::engine::checkpoint
