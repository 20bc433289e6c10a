#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/files.h"
#include "core/rng.h"
#include "engine/checkpoint/checkpoint_weights.h"
#include "engine/model/decoder.h"
#include "engine/model/reference_decoder.h"

namespace dsbench::engine::checkpoint {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
namespace fs = std::filesystem;

fs::path fixture(const std::string& name) {
  return fs::path(DSBENCH_SOURCE_DIR) / "tests" / "fixtures" / "parity" / name;
}

// A copy of a fixture that a test may spoil.
class Copy {
 public:
  explicit Copy(const std::string& name) {
    std::string path = (fs::temp_directory_path() / "dsbench-checkpoint-XXXXXX").string();
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    for (const auto& entry : fs::directory_iterator(fixture(name)))
      fs::copy_file(entry.path(), directory_ / entry.path().filename());
  }
  ~Copy() { fs::remove_all(directory_); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  [[nodiscard]] const fs::path& path() const { return directory_; }
  void write(const std::string& name, std::string_view text) const {
    EXPECT_TRUE(write_file_atomically(directory_ / name, text));
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    return read_file(directory_ / name).value();
  }

  void change_config(const std::function<void(Json&)>& f) const {
    Json json = Json::parse(read("config.json"));
    f(json);
    write("config.json", json.dump());
  }
  // Rewrites the header of a safetensors file; the data stays.
  void change_header(const std::string& name, const std::function<void(Json&)>& f) const {
    const std::string file = read(name);
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof length);
    Json header = Json::parse(file.substr(8, length));
    f(header);
    const std::string text = header.dump();
    const std::uint64_t now = text.size();
    write(name,
          std::string(reinterpret_cast<const char*>(&now), sizeof now) + text + file.substr(8 + length));
  }
  [[nodiscard]] std::string refusal() const {
    const auto weights = CheckpointWeights::open(directory_);
    return weights ? "" : weights.error().message;
  }

 private:
  fs::path directory_;
};

constexpr const char* kFile = "model.safetensors";

TEST(Checkpoint, SaysWhatItHas) {
  const auto weights = CheckpointWeights::open(fixture("v3"));
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_EQ((*weights)->files(), 2u);
  EXPECT_EQ((*weights)->passed_over(), 3u);  // two of the MTP layer, one inv_freq
  EXPECT_EQ((*weights)->types(), "BF16, F32");
  const auto& p = (*weights)->profile();
  EXPECT_EQ(p.name, "v3");
  EXPECT_EQ(p.eos_token, 1);
  EXPECT_EQ(p.moe.groups, 4);
  EXPECT_TRUE(p.yarn_on());
  EXPECT_THAT((*weights)->describe(), HasSubstr("BF16, F32 from "));
}

TEST(Checkpoint, NamesAMissingTensor) {
  const Copy copy("v2-lite");
  copy.change_header(kFile, [](Json& h) { h.erase("model.layers.1.mlp.experts.3.up_proj.weight"); });
  EXPECT_THAT(copy.refusal(),
              HasSubstr("tensor 'model.layers.1.mlp.experts.3.up_proj.weight' is missing; config.json "
                        "asks for it with shape [24, 48]"));
}

TEST(Checkpoint, NamesAnUnknownTensor) {
  const Copy copy("v2-lite");
  copy.change_header(kFile, [](Json& h) {
    h["model.layers.0.self_attn.q_proj.bias"] = {{"dtype", "BF16"}, {"shape", {4}}, {"data_offsets", {0, 8}}};
    h["zzz"] = h["model.layers.0.self_attn.q_proj.bias"];
  });
  EXPECT_THAT(copy.refusal(),
              HasSubstr("tensor 'model.layers.0.self_attn.q_proj.bias' (BF16 [4]) is unknown, and so "
                        "are 1 others: a deepseek_v2 of 3 layers"));
}

TEST(Checkpoint, NamesAMisshapenTensor) {
  const Copy copy("v2-lite");
  copy.change_header(kFile, [](Json& h) { h["lm_head.weight"]["shape"] = {48, 200}; });
  EXPECT_THAT(copy.refusal(),
              HasSubstr("tensor 'lm_head.weight' has shape [48, 200]; config.json asks for [200, 48]"));
}

TEST(Checkpoint, NamesATensorOfAnotherType) {
  const Copy copy("v2-lite");
  copy.change_header(kFile, [](Json& h) { h["lm_head.weight"]["dtype"] = "I16"; });
  EXPECT_THAT(copy.refusal(),
              HasSubstr("tensor 'lm_head.weight' is of type I16; accepted: F32, BF16, F16, F8_E4M3"));
}

TEST(Checkpoint, NamesWhatATruncatedFileLacks) {
  const Copy copy("v2-lite");
  const std::string file = copy.read(kFile);
  copy.write(kFile, std::string_view(file).substr(0, file.size() - 1));
  EXPECT_THAT(copy.refusal(), HasSubstr("the file is truncated or its header is wrong"));
  EXPECT_THAT(copy.refusal(), HasSubstr("of 'model.safetensors': its data should end at byte"));
}

TEST(Checkpoint, ChecksTheScalesOfBlocks) {
  const std::string weight = "model.layers.1.self_attn.o_proj.weight";
  {
    const Copy copy("fp8");
    copy.change_header(kFile, [&](Json& h) { h.erase(weight + "_scale_inv"); });
    EXPECT_THAT(copy.refusal(), HasSubstr("tensor '" + weight + "_scale_inv' is missing: '" + weight +
                                          "' is of type F8_E4M3 and needs scales of shape [2, 2]"));
  }
  {
    const Copy copy("fp8");
    copy.change_header(kFile, [&](Json& h) { h[weight + "_scale_inv"]["shape"] = {4, 1}; });
    EXPECT_THAT(copy.refusal(), HasSubstr("_scale_inv' has shape [4, 1]; '" + weight +
                                          "' [160, 144] in blocks of 128 x 128 needs [2, 2]"));
  }
  const Copy copy("fp8");
  copy.change_config([](Json& c) { c.erase("quantization_config"); });
  EXPECT_THAT(copy.refusal(), HasSubstr("is of type F8_E4M3, but config.json has no quantization_config"));
}

TEST(Checkpoint, ChecksTheIndex) {
  const Copy copy("v3");
  Json index = Json::parse(copy.read("model.safetensors.index.json"));
  index["weight_map"]["ghost"] = "model-00001-of-00002.safetensors";
  copy.write("model.safetensors.index.json", index.dump());
  EXPECT_THAT(copy.refusal(),
              HasSubstr("the index says that tensor 'ghost' is in 'model-00001-of-00002.safetensors', "
                        "which does not hold it"));
  index["weight_map"]["ghost"] = "../elsewhere.safetensors";
  copy.write("model.safetensors.index.json", index.dump());
  EXPECT_THAT(copy.refusal(),
              HasSubstr("weight_map['ghost'] is '../elsewhere.safetensors'; accepted are names of files"));
  fs::remove(copy.path() / "model-00002-of-00002.safetensors");
  index["weight_map"].erase("ghost");
  copy.write("model.safetensors.index.json", index.dump());
  EXPECT_THAT(copy.refusal(), HasSubstr("cannot read"));
  EXPECT_THAT(copy.refusal(), HasSubstr("model-00002-of-00002.safetensors': No such file"));
  fs::remove(copy.path() / "model.safetensors.index.json");
  EXPECT_THAT(copy.refusal(), HasSubstr("holds neither model.safetensors.index.json nor model.safetensors"));
  EXPECT_THAT(CheckpointWeights::open("/nowhere").error().message, HasSubstr("'/nowhere' is no directory"));
}

// ---- numbers

template <class Bits>
std::vector<float> floats(TensorType type, std::vector<Bits> bits) {
  return to_floats(type, std::as_bytes(std::span(bits)));
}

TEST(Tensor, WidensExactly) {
  EXPECT_THAT(floats<std::uint16_t>(TensorType::bf16, {0x3F80, 0xC040, 0x0001, 0x0000}),
              testing::ElementsAre(1.0f, -3.0f, 0x1p-133f, 0.0f));
  EXPECT_THAT(
      floats<std::uint16_t>(TensorType::f16, {0x3C00, 0xC200, 0x7BFF, 0x0001, 0x03FF, 0x8000, 0x0400}),
      testing::ElementsAre(1.0f, -3.0f, 65504.0f, 0x1p-24f, 1023 * 0x1p-24f, -0.0f, 0x1p-14f));
  EXPECT_THAT(floats<std::uint8_t>(TensorType::f8_e4m3, {0x38, 0xC4, 0x7E, 0x01, 0x07, 0x08, 0x00}),
              testing::ElementsAre(1.0f, -3.0f, 448.0f, 0x1p-9f, 7 * 0x1p-9f, 0x1p-6f, 0.0f));
  EXPECT_TRUE(std::isinf(floats<std::uint16_t>(TensorType::f16, {0x7C00})[0]));
  EXPECT_TRUE(std::isnan(floats<std::uint16_t>(TensorType::f16, {0x7E00})[0]));
  EXPECT_TRUE(std::isnan(floats<std::uint8_t>(TensorType::f8_e4m3, {0xFF})[0]));
}

// ---- config.json

struct ConfigCase {
  const char* pointer;
  const char* value;  // "remove" removes
  const char* words;
};

class Config : public testing::TestWithParam<ConfigCase> {};

TEST_P(Config, IsRefusedByKey) {
  Json json = Json::parse(read_file(fixture("v3") / "config.json").value());
  const Json::json_pointer at(GetParam().pointer);
  if (std::string_view(GetParam().value) == "remove") {
    json.at(at.parent_pointer()).erase(at.back());
  } else {
    json[at] = Json::parse(GetParam().value);
  }
  const auto config = parse_hf_config(json.dump(), "", "m", "config.json");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr(GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Keys, Config,
    testing::Values(
        ConfigCase{"/model_type", R"("llama")",
                   "model_type: found 'llama'; accepted: deepseek_v2, deepseek_v3"},
        ConfigCase{"/hidden_size", "remove",
                   "config.json: hidden_size: is missing; a whole number is needed"},
        ConfigCase{"/hidden_size", "-3",
                   "hidden_size: found -3; accepted are whole numbers from 1 to 2147483647"},
        ConfigCase{"/hidden_size", "1e30", "hidden_size: found 1e+30; accepted"},
        ConfigCase{"/vocab_size", "99999999999", "vocab_size: found 99999999999; accepted"},
        ConfigCase{"/hidden_act", R"("gelu")", R"(hidden_act: found "gelu"; accepted: silu)"},
        ConfigCase{"/attention_bias", "true", "attention_bias: found true; accepted is false"},
        ConfigCase{"/num_key_value_heads", "2",
                   "num_key_value_heads: found 2; accepted is num_attention_heads (4)"},
        ConfigCase{"/moe_layer_freq", "2", "moe_layer_freq: found 2; accepted is 1"},
        ConfigCase{"/scoring_func", R"("softmax")",
                   R"(scoring_func: found "softmax"; accepted: sigmoid for deepseek_v3)"},
        ConfigCase{"/topk_method", R"("greedy")", R"(topk_method: found "greedy"; accepted: noaux_tc)"},
        ConfigCase{"/rope_scaling/type", R"("linear")",
                   R"(rope_scaling.type: found "linear"; accepted: yarn, default)"},
        ConfigCase{"/rope_scaling/original_max_position_embeddings", "remove",
                   "rope_scaling.original_max_position_embeddings: is missing"},
        ConfigCase{"/rope_scaling/truncate", "false", "rope_scaling.truncate: found false; accepted is true"},
        ConfigCase{"/rope_scaling", "[]", "rope_scaling: found []; accepted is an object"},
        ConfigCase{"/qk_rope_head_dim", "7", "must be even"},
        ConfigCase{"/n_group", "3", "16 experts do not divide into 3 groups"},
        ConfigCase{"/num_experts_per_tok", "9", "2 kept groups hold only 8 experts"},
        ConfigCase{"/eos_token_id", "[1, 384]",
                   "eos_token_id: found 384; accepted are token ids below vocab_size (384)"},
        ConfigCase{"/eos_token_id", "384", "eos_token_id: found 384; accepted are token ids below"},
        ConfigCase{"/quantization_config", R"({"quant_method": "awq"})",
                   R"(quant_method: found "awq"; accepted: fp8)"},
        ConfigCase{"/quantization_config", R"({"quant_method": "fp8"})",
                   "weight_block_size: found none; accepted"}));

// A checkpoint of the shape of the fixture "v3" with drawn tensors, its MTP module among them, and the copies
// of embedding and head that DeepSeek's own has in that layer.
void write_with_mtp(const Copy& copy, bool with_head_norm = true) {
  for (const char* file : {"model.safetensors.index.json", "model-00001-of-00002.safetensors",
                           "model-00002-of-00002.safetensors"})
    fs::remove(copy.path() / file);
  std::vector<ExpectedTensor> tensors = expected_tensors(read_hf_config(copy.path()).value(), true);
  tensors.push_back({"model.layers.3.embed_tokens.weight", {384, 56}});
  tensors.push_back({"model.layers.3.shared_head.head.weight", {384, 56}});
  Json header;
  std::string data;
  for (const ExpectedTensor& tensor : tensors) {
    if (!with_head_norm && tensor.name == "model.layers.3.shared_head.norm.weight") continue;
    std::int64_t n = 1;
    for (const std::int64_t d : tensor.shape) n *= d;
    const double spread =
        tensor.shape.size() == 2 ? std::sqrt(3.0 / static_cast<double>(tensor.shape[1])) : 0.2;
    const double middle = tensor.shape.size() == 2 ? 0 : 1;
    Rng rng(5, tensor.name);
    const std::size_t begin = data.size();
    for (std::int64_t i = 0; i < n; ++i) {
      const auto value = static_cast<float>(middle + spread * (2 * rng.uniform() - 1));
      data.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  copy.write(kFile, std::string(reinterpret_cast<const char*>(&length), sizeof length) + text + data);
}

TEST(Checkpoint, ReadsTheModuleOfMultiTokenPrediction) {
  const Copy copy("v3");
  write_with_mtp(copy);
  const auto without = CheckpointWeights::open(copy.path());
  ASSERT_TRUE(without) << without.error().message;
  const auto weights = CheckpointWeights::open(copy.path(), true);
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_EQ((*weights)->passed_over(), 2u) << "the copies of embedding and head";
  EXPECT_GT((*weights)->tensors(), (*without)->tensors());
  EXPECT_EQ(hf_tensor_name("layers.3.mtp_join"), "model.layers.3.eh_proj.weight");

  // What the decoder guesses behind a prompt is what the module's plain form finds likeliest.
  const profiles::ModelProfile& p = (*weights)->profile();
  Decoder decoder(p, **weights, kernels::cpu::kernels(), kernels::WeightType::fp32, true);
  LatentCache cache(p.layers + 1, 8, 16, p.latent_width());
  kernels::cpu::ThreadPool pool(1);
  std::vector<std::int32_t> blocks{3, 1, 2, 0};
  std::vector<TokenId> tokens(40);
  Rng rng(8, "tokens");
  for (TokenId& token : tokens) token = static_cast<TokenId>(rng.below(384));
  const auto truth = reference_forward<double>(p, **weights, tokens, kernels::WeightType::fp32, true);
  const auto vocab = static_cast<std::size_t>(p.vocab);
  for (std::size_t at = 0; at + 1 < tokens.size(); ++at) {
    StepBatch batch;
    batch.items.push_back({.tokens = std::span(tokens).subspan(at, 1),
                           .start = static_cast<std::int32_t>(at),
                           .blocks = blocks,
                           .sample = true});
    std::vector<float> logits;
    decoder.forward(batch, cache, pool, logits);
    const SettledItem settled{.right = 1, .next = tokens[at + 1], .wanted = 1};
    DraftOutcome outcome;
    decoder.draft(batch, {&settled, 1}, cache, pool, {&outcome, 1});
    const auto row = truth.mtp_logits.begin() + static_cast<std::ptrdiff_t>(at * vocab);
    const auto best = std::max_element(row, row + static_cast<std::ptrdiff_t>(vocab));
    ASSERT_EQ(outcome.proposed, 1);
    EXPECT_NEAR(row[outcome.tokens[0]], *best, 1e-4) << at;
  }
}

TEST(Checkpoint, SaysWhatOfAnMtpModuleIsNotThere) {
  const Copy copy("v3");
  EXPECT_THAT(
      CheckpointWeights::open(copy.path(), true).error().message,
      HasSubstr("tensor 'model.layers.3.hnorm.weight' of the module of multi-token prediction is missing; "
                "--spec mtp asks for it with shape [56], and --spec off and --spec ngram do without"));
  write_with_mtp(copy, false);
  EXPECT_TRUE(CheckpointWeights::open(copy.path()));
  EXPECT_THAT(CheckpointWeights::open(copy.path(), true).error().message,
              HasSubstr("tensor 'model.layers.3.shared_head.norm.weight' of the module"));
  EXPECT_THAT(
      CheckpointWeights::open(fixture("v2-lite"), true).error().message,
      HasSubstr("has no module of multi-token prediction: config.json has no num_nextn_predict_layers"));
}

TEST(HfConfig, SaysAllThatIsWrongAtOnce) {
  Json json = Json::parse(read_file(fixture("v3") / "config.json").value());
  json["hidden_act"] = "relu";
  json["attention_bias"] = true;
  const auto config = parse_hf_config(json.dump(), "", "m", "c");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("c: hidden_act: "));
  EXPECT_THAT(config.error().message, HasSubstr("\nc: attention_bias: "));
  EXPECT_THAT(parse_hf_config("{", "", "m", "c").error().message, HasSubstr("c: is no JSON object"));
}

TEST(HfConfig, FollowsTransformersScales) {
  Json json = Json::parse(read_file(fixture("v3") / "config.json").value());
  const auto magnitude = [](const profiles::ModelProfile& p, double c) {
    return 0.1 * c * std::log(p.yarn.factor) + 1;
  };
  const auto read = [&] { return parse_hf_config(json.dump(), "", "m", "c").value().profile; };
  const auto amplitude = [&](const profiles::ModelProfile& p) {
    return magnitude(p, p.yarn.mscale) / magnitude(p, p.yarn.mscale_all_dim);
  };
  json["rope_scaling"]["mscale"] = 0.7;
  json["rope_scaling"]["mscale_all_dim"] = 0.9;
  EXPECT_NEAR(amplitude(read()), (0.07 * std::log(40.0) + 1) / (0.09 * std::log(40.0) + 1), 1e-12);
  json["rope_scaling"].erase("mscale");  // then m(1), while scores keep mscale_all_dim
  EXPECT_NEAR(amplitude(read()), 0.1 * std::log(40.0) + 1, 1e-12);
  EXPECT_EQ(read().yarn.mscale_all_dim, 0.9);
  json["rope_scaling"].erase("mscale_all_dim");
  EXPECT_NEAR(amplitude(read()), 0.1 * std::log(40.0) + 1, 1e-12);
  EXPECT_EQ(read().yarn.mscale_all_dim, 0);
  json["rope_scaling"]["attention_factor"] = 1.25;
  EXPECT_NEAR(amplitude(read()), 1.25, 1e-12);
  json["rope_scaling"].erase("factor");  // the ratio of the contexts
  EXPECT_EQ(read().yarn.factor, 40);
}

TEST(HfConfig, TakesTheEndFromTheGenerationConfig) {
  const std::string text = read_file(fixture("v3") / "config.json").value();
  EXPECT_EQ(parse_hf_config(text, "", "m", "c").value().profile.eos_token, 1);
  EXPECT_EQ(parse_hf_config(text, R"({"eos_token_id": [7]})", "m", "c").value().profile.eos_token, 7);
  const auto several = parse_hf_config(text, R"({"eos_token_id": [7, 9, 11]})", "m", "c");
  ASSERT_TRUE(several) << several.error().message;
  EXPECT_EQ(several->profile.eos_token, 7);
  EXPECT_THAT(several->profile.more_eos_tokens, testing::ElementsAre(9, 11));
}

TEST(HfConfig, ReadsTheShippedModelsShapes) {
  // DeepSeek-V3's published config.json, as far as it matters.
  const auto config = parse_hf_config(
      R"({"model_type": "deepseek_v3", "attention_bias": false, "first_k_dense_replace": 3, "hidden_act": "silu",
          "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
          "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256,
          "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8,
          "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536,
          "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
          "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                           "original_max_position_embeddings": 4096, "type": "yarn"},
          "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": false, "topk_group": 4,
          "topk_method": "noaux_tc", "v_head_dim": 128, "vocab_size": 129280, "eos_token_id": 1, "bos_token_id": 0,
          "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                  "weight_block_size": [128, 128]}})",
      "", "v3", "c");
  ASSERT_TRUE(config) << config.error().message;
  const profiles::ModelProfile ours = profiles::load_model_profile("v3").value();
  const profiles::ModelProfile& theirs = config->profile;
  EXPECT_EQ(theirs.hidden, ours.hidden);
  EXPECT_EQ(theirs.layers, ours.layers);
  EXPECT_EQ(theirs.dense_layers, ours.dense_layers);
  EXPECT_EQ(theirs.q_lora, ours.q_lora);
  EXPECT_EQ(theirs.moe.kept_groups, ours.moe.kept_groups);
  EXPECT_EQ(theirs.yarn.mscale, ours.yarn.mscale);
  EXPECT_EQ(config->mtp_layers, 1);
  ASSERT_TRUE(config->block_scales);
  // 671 billion parameters.
  std::int64_t numbers = 0;
  for (const ExpectedTensor& t : expected_tensors(*config)) {
    std::int64_t n = 1;
    for (const std::int64_t d : t.shape) n *= d;
    numbers += n;
  }
  EXPECT_NEAR(static_cast<double>(numbers), 671.0e9, 0.1e9);
}

TEST(HfNames, AreTheirs) {
  EXPECT_EQ(hf_tensor_name("layers.3.q_a"), "model.layers.3.self_attn.q_a_proj.weight");
  EXPECT_EQ(hf_tensor_name("layers.0.gate"), "model.layers.0.mlp.gate_proj.weight");
  EXPECT_EQ(hf_tensor_name("layers.12.experts.7.down"), "model.layers.12.mlp.experts.7.down_proj.weight");
  EXPECT_EQ(hf_tensor_name("layers.1.shared.up"), "model.layers.1.mlp.shared_experts.up_proj.weight");
  EXPECT_EQ(hf_tensor_name("layers.1.router_bias"), "model.layers.1.mlp.gate.e_score_correction_bias");
  EXPECT_EQ(hf_tensor_name("final_norm"), "model.norm.weight");
}

// ---- broken files

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

std::string file_with(const std::string& header, std::string_view data = "") {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + std::string(data);
}

std::string said(const std::string& file) {
  const auto tensors = parse_safetensors(bytes_of(file), "f");
  return tensors ? "" : tensors.error().message;
}

TEST(Safetensors, HeadersThatCannotBe) {
  EXPECT_THAT(said("abc"), HasSubstr("'f' is no whole safetensors file: it has 3 bytes"));
  EXPECT_THAT(said(std::string("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8)),
              HasSubstr("at most 100000000 are accepted"));
  EXPECT_THAT(said(std::string("\x10\0\0\0\0\0\0\0{}", 10)),
              HasSubstr("should end at byte 24, but the file has 10"));
  EXPECT_THAT(said(file_with("[1]")), HasSubstr("its header is no JSON object"));
  EXPECT_THAT(said(file_with(R"({"a": 1})")),
              HasSubstr("tensor 'a' of 'f': its entry in the header is no JSON object"));
  EXPECT_THAT(said(file_with(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})", "123")),
              HasSubstr("its data should end at byte 4 of the data, but the file holds only 3"));
  EXPECT_THAT(said(file_with(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})", "1234")),
              HasSubstr("F32 [2] takes 8 bytes, but its data_offsets hold 4"));
  EXPECT_THAT(said(file_with(R"({"a": {"dtype": "F33", "shape": [1], "data_offsets": [0, 4]}})", "1234")),
              HasSubstr("its dtype 'F33' is unknown"));
  EXPECT_THAT(
      said(file_with(R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]}})",
                     "1234")),
      HasSubstr("is larger than any file"));
  EXPECT_THAT(said(file_with(R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})", "1234")),
              HasSubstr("something else than whole numbers"));
  EXPECT_THAT(said(file_with(R"({"a": {"dtype": "F32", "shape": [0], "data_offsets": [4, 0]}})", "1234")),
              HasSubstr("are no range"));
  EXPECT_EQ(
      said(file_with(R"({"__metadata__": {}, "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}})",
                     "1234")),
      "");
}

// Whatever is accepted lies inside the file.
TEST(SafetensorsFuzz, CorruptedFilesAreRefusedOrStayInside) {
  const std::string good = read_file(fixture("halves") / kFile).value();
  std::uint64_t header = 0;
  std::memcpy(&header, good.data(), sizeof header);
  Rng rng(3, "safetensors corruption");
  int accepted = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    for (std::uint64_t n = 1 + rng.below(5); n > 0; --n)
      bad[rng.below(8 + header)] =
          static_cast<char>(rng.below(2) == 0 ? rng.below(256) : '0' + rng.below(10));
    if (i % 3 == 0) bad.resize(rng.below(bad.size()));
    const std::vector<std::byte> bytes = bytes_of(bad);
    const auto tensors = parse_safetensors(bytes, "f");
    if (!tensors) {
      EXPECT_FALSE(tensors.error().message.empty());
      continue;
    }
    ++accepted;
    for (const auto& [name, tensor] : *tensors) {
      EXPECT_GE(tensor.bytes.data(), bytes.data());
      EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), bytes.data() + bytes.size());
      if (const auto type = tensor_type(tensor.type)) {
        EXPECT_EQ(
            to_floats(*type, tensor.bytes).size() * static_cast<std::size_t>(*bytes_per_number(tensor.type)),
            tensor.bytes.size());
      }
    }
  }
  EXPECT_GT(accepted, 0);  // or nothing of this was tried
  EXPECT_LT(accepted, 3000);
}

}  // namespace
}  // namespace dsbench::engine::checkpoint
