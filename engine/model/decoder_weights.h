#pragma once

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

// All weights of a decoder in the form that its kernels read.
struct DecoderWeights {
  // Reads every tensor of the source once. The profile must have passed check_model_profile().
  DecoderWeights(const profiles::ModelProfile& profile, const WeightSource& source);

  std::vector<float> embedding;  // [vocab, hidden]
  std::vector<Layer> layers;
  std::vector<float> final_norm;
  kernels::cpu::PackedMatrix head;  // [vocab, hidden]
};

}  // namespace dsbench::engine
