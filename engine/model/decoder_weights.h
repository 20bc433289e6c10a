#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"
#include "engine/model/weights.h"
#include "profiles/model_profile.h"

namespace dsbench::engine {

// A feed-forward block: gate and up [intermediate, hidden], down [hidden, intermediate].
struct Ffn {
  kernels::cpu::PackedMatrix gate;
  kernels::cpu::PackedMatrix up;
  kernels::cpu::PackedMatrix down;
};

// The rows that tokens are looked up in: floats, or bf16 for bf16 and int8 weights.
class Embedding {
 public:
  Embedding(std::vector<float> rows, std::int32_t hidden, kernels::WeightType type);
  void copy_row(std::int64_t token, float* to) const;
  [[nodiscard]] std::int64_t bytes() const;

 private:
  std::int32_t hidden_;
  std::vector<float> floats_;
  std::vector<std::uint16_t> halves_;
};

struct Layer {
  std::vector<float> attention_norm;
  std::vector<float> ffn_norm;
  kernels::cpu::PackedMatrix q_a;  // [q_lora, hidden]; empty without q_lora
  std::vector<float> q_norm;
  kernels::cpu::PackedMatrix q_b;   // [heads·(nope + rope), q_lora or hidden]
  kernels::cpu::PackedMatrix kv_a;  // [kv_lora + rope, hidden]
  std::vector<float> kv_norm;
  std::vector<kernels::cpu::PackedMatrix>
      absorb;  // per head [kv_lora, nope]: the key half of kv_b, turned over
  std::vector<kernels::cpu::PackedMatrix> value_up;  // per head [v, kv_lora]: the value half of kv_b
  kernels::cpu::PackedMatrix o;                      // [hidden, heads·v]
  Ffn ffn;                                           // dense, or the shared experts as one
  kernels::cpu::PackedMatrix router;                 // [experts, hidden]; MoE only
  std::vector<float> router_bias;
  std::vector<Ffn> experts;
};

// The module of multi-token prediction as DeepSeek-V3 has it (arXiv 2412.19437, 2.2): from what the model
// made of a token and from the embedding of the token behind it, one more layer guesses the token behind
// that. Embedding and head are the model's.
struct MtpModule {
  std::vector<float> embedding_norm;  // enorm
  std::vector<float> hidden_norm;     // hnorm
  kernels::cpu::PackedMatrix join;    // eh_proj [hidden, 2·hidden]: embedding, then hidden
  Layer layer;
  std::vector<float> norm;  // before the head
};

// How kv_b and the embedding are kept beside weights of `type`: int8 only where a whole row of activations
// meets a whole row of weights. kv_b goes head by head, and rounding each head's few numbers to int8 on their
// own would cost more accuracy than its bytes (1 in 70 of V2-Lite's) are worth.
[[nodiscard]] constexpr kernels::WeightType finer(kernels::WeightType type) {
  return type == kernels::WeightType::int8 ? kernels::WeightType::bf16 : type;
}

// All weights of a decoder in the form that its kernels read. Routers and norms are fp32 whatever the type.
struct DecoderWeights {
  // Reads every tensor of the source once, those of the MTP module where it is wanted. The profile must have
  // passed check_model_profile().
  DecoderWeights(const profiles::ModelProfile& profile, const WeightSource& source, kernels::WeightType type,
                 bool with_mtp = false);

  // What all of it takes, padding included.
  [[nodiscard]] std::int64_t bytes() const;

  kernels::WeightType type;
  Embedding embedding;  // [vocab, hidden]
  std::vector<Layer> layers;
  std::vector<float> final_norm;
  kernels::cpu::PackedMatrix head;  // [vocab, hidden]
  std::optional<MtpModule> mtp;
};

}  // namespace dsbench::engine
