#include "profiles/model_profile.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "profiles/catalog.h"
#include "profiles/json_object.h"

namespace dsbench::profiles {
namespace {

constexpr std::int64_t kLargest = std::numeric_limits<std::int32_t>::max();

// A whole number in [least, 2^31). A missing one is complained about once, as missing.
std::int32_t count(JsonObject& object, std::string_view key, std::int64_t least,
                   std::optional<std::int64_t> fallback = std::nullopt) {
  const bool there = object.has(key);
  const std::int64_t value = object.integer(key, fallback);
  if (there && (value < least || value > kLargest)) {
    object.complain(
        key, fmt::format("found {}; accepted are whole numbers from {} to {}", value, least, kLargest));
    return static_cast<std::int32_t>(least);
  }
  return static_cast<std::int32_t>(value);
}

double positive(JsonObject& object, std::string_view key, std::optional<double> fallback = std::nullopt) {
  const bool there = object.has(key);
  const double value = object.number(key, fallback);
  if (there && !(value > 0))
    object.complain(key, fmt::format("found {}; accepted are numbers above 0", value));
  return value;
}

// What no single field can be blamed for: (key, message).
std::vector<std::pair<std::string_view, std::string>> cross_checks(const ModelProfile& p) {
  std::vector<std::pair<std::string_view, std::string>> bad;
  const auto complain = [&](std::string_view key, std::string message) {
    bad.emplace_back(key, std::move(message));
  };
  for (const auto& [key, value] : {std::pair<std::string_view, std::int32_t>{"hidden", p.hidden},
                                   {"layers", p.layers},
                                   {"vocab", p.vocab},
                                   {"max_context", p.max_context},
                                   {"attention.heads", p.heads},
                                   {"attention.kv_lora", p.kv_lora},
                                   {"attention.nope_dim", p.nope_dim},
                                   {"attention.rope_dim", p.rope_dim},
                                   {"attention.v_dim", p.v_dim}}) {
    if (value <= 0) complain(key, fmt::format("is {}; needs at least 1", value));
  }
  if (p.q_lora < 0) complain("attention.q_lora", fmt::format("is {}; 0 means none", p.q_lora));
  if (p.rope_dim % 2 != 0) {
    complain("attention.rope_dim",
             fmt::format("is {}; rotary dimensions come in pairs, so it must be even", p.rope_dim));
  }
  if (p.dense_layers < 0 || p.dense_layers > p.layers) {
    complain("dense_layers", fmt::format("is {}, but there are {} layers", p.dense_layers, p.layers));
  }
  if (p.eos_token < -1 || p.eos_token >= p.vocab) {
    complain("eos_token",
             fmt::format("is {}; must be below vocab ({}), or -1 for none", p.eos_token, p.vocab));
  }
  for (const std::int32_t id : p.more_eos_tokens) {
    if (id >= 0 && id < p.vocab) continue;
    complain("eos_token", fmt::format("is {} among others; must be below vocab ({})", id, p.vocab));
  }
  if (p.dense_layers > 0 && p.dense_intermediate <= 0) {
    complain("dense_intermediate",
             fmt::format("is {}, but there are {} dense layers", p.dense_intermediate, p.dense_layers));
  }
  if (!(p.rms_eps > 0)) complain("rms_eps", fmt::format("is {}; must be above 0", p.rms_eps));
  if (!(p.rope_theta > 1)) complain("rope.theta", fmt::format("is {}; must be above 1", p.rope_theta));
  if (!(p.yarn.factor >= 1)) complain("rope.yarn.factor", fmt::format("is {}; 1 means none", p.yarn.factor));
  if (p.yarn.original_context <= 0) {
    complain("rope.yarn.original_context", fmt::format("is {}; needs at least 1", p.yarn.original_context));
  }
  if (!(p.yarn.beta_fast > p.yarn.beta_slow)) {
    complain("rope.yarn.beta_fast",
             fmt::format("is {}; must be above beta_slow ({})", p.yarn.beta_fast, p.yarn.beta_slow));
  }
  if (p.moe_layers() > 0) {
    const MoeProfile& m = p.moe;
    if (m.experts <= 0 || m.top_k <= 0 || m.groups <= 0 || m.kept_groups <= 0 || m.intermediate <= 0) {
      complain("moe",
               fmt::format("{} MoE layers need experts, top_k, groups, kept_groups and intermediate above 0",
                           p.moe_layers()));
    } else if (m.experts % m.groups != 0) {
      complain("moe.experts", fmt::format("{} experts do not divide into {} groups", m.experts, m.groups));
    } else if (m.kept_groups > m.groups) {
      complain("moe.kept_groups", fmt::format("is {}, but there are {} groups", m.kept_groups, m.groups));
    } else if (m.top_k > m.experts / m.groups * m.kept_groups) {
      complain("moe.top_k", fmt::format("is {}, but {} kept groups hold only {} experts", m.top_k,
                                        m.kept_groups, m.experts / m.groups * m.kept_groups));
    }
    if (m.shared_experts < 0)
      complain("moe.shared_experts", fmt::format("is {}; 0 means none", m.shared_experts));
    if (!(m.routed_scale > 0))
      complain("moe.routed_scale", fmt::format("is {}; must be above 0", m.routed_scale));
  }
  return bad;
}

}  // namespace

Result<void> check_model_profile(const ModelProfile& profile) {
  std::string message;
  for (const auto& [key, text] : cross_checks(profile)) {
    message += fmt::format("{}model '{}': {}: {}", message.empty() ? "" : "\n", profile.name, key, text);
  }
  if (!message.empty()) return tl::unexpected(Error{ErrorKind::usage, std::move(message)});
  return {};
}

Result<ModelProfile> parse_model_profile(std::string_view json, std::string source) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(json, std::move(source)));
  root.schema("model", 1);
  ModelProfile p;
  p.name = root.text("name");
  p.source = root.text("source");
  p.hidden = count(root, "hidden", 1);
  p.layers = count(root, "layers", 1);
  p.dense_layers = count(root, "dense_layers", 0);
  p.dense_intermediate = count(root, "dense_intermediate", 0, 0);
  p.vocab = count(root, "vocab", 1);
  p.eos_token = count(root, "eos_token", -1, -1);
  p.max_context = count(root, "max_context", 1);
  p.rms_eps = positive(root, "rms_eps", 1e-6);

  JsonObject attention = root.object("attention");
  p.heads = count(attention, "heads", 1);
  p.q_lora = count(attention, "q_lora", 0);
  p.kv_lora = count(attention, "kv_lora", 1);
  p.nope_dim = count(attention, "nope_dim", 1);
  p.rope_dim = count(attention, "rope_dim", 2);
  p.v_dim = count(attention, "v_dim", 1);

  JsonObject rope = root.object("rope");
  p.rope_theta = positive(rope, "theta");
  if (rope.has("yarn")) {
    JsonObject yarn = rope.object("yarn");
    p.yarn.factor = positive(yarn, "factor");
    p.yarn.original_context = count(yarn, "original_context", 1);
    p.yarn.beta_fast = positive(yarn, "beta_fast");
    p.yarn.beta_slow = positive(yarn, "beta_slow");
    p.yarn.mscale = positive(yarn, "mscale");
    p.yarn.mscale_all_dim = positive(yarn, "mscale_all_dim");
  }

  if (root.has("moe") || p.moe_layers() > 0) {
    JsonObject moe = root.object("moe");
    p.moe.experts = count(moe, "experts", 1);
    p.moe.top_k = count(moe, "top_k", 1);
    p.moe.groups = count(moe, "groups", 1, 1);
    p.moe.kept_groups = count(moe, "kept_groups", 1, 1);
    p.moe.shared_experts = count(moe, "shared_experts", 0);
    p.moe.intermediate = count(moe, "intermediate", 1);
    p.moe.scoring =
        moe.choice("scoring", {"sigmoid", "softmax"}) == 0 ? GateScoring::sigmoid : GateScoring::softmax;
    p.moe.renormalise = moe.boolean("renormalise");
    p.moe.routed_scale = positive(moe, "routed_scale");
    p.moe.correction_bias = moe.boolean("correction_bias");
  }

  // The checks between fields only make sense once every field could be read.
  DSBENCH_CHECK(root.finish());
  for (const auto& [key, text] : cross_checks(p)) root.complain(key, text);
  DSBENCH_CHECK(root.finish());
  return p;
}

Result<ModelProfile> load_model_profile(std::string_view name_or_path) {
  DSBENCH_TRY(ProfileText found, find_profile("model", name_or_path));
  return parse_model_profile(found.text, std::move(found.source));
}

}  // namespace dsbench::profiles
