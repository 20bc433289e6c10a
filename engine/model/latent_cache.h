#pragma once

#include <cstdint>

#include "engine/kernels/cpu/packed_matrix.h"

namespace dsbench::engine {

// The paged latent KV pool: per layer [block, slot, width], where a slot holds one token's normalised latent
// (kv_lora) and its turned rotary key. Blocks belong to whoever the scheduler gave them to; nothing here
// knows.
class LatentCache {
 public:
  LatentCache(std::int32_t layers, std::int32_t blocks, std::int32_t block_size, std::int32_t width)
      : blocks_{blocks},
        block_size_{block_size},
        width_{width},
        data_(std::int64_t{layers} * blocks * block_size * width + kernels::cpu::kPanel) {
    data_.fill(0);
  }

  [[nodiscard]] std::int32_t blocks() const { return blocks_; }
  [[nodiscard]] std::int32_t block_size() const { return block_size_; }
  [[nodiscard]] std::int32_t width() const { return width_; }

  [[nodiscard]] float* layer(std::int32_t i) {
    return data_.data() + std::int64_t{i} * blocks_ * block_size_ * width_;
  }
  [[nodiscard]] const float* layer(std::int32_t i) const {
    return data_.data() + std::int64_t{i} * blocks_ * block_size_ * width_;
  }
  // Every slot of every layer: tests poison what must not be read.
  void fill(float value) { data_.fill(value); }

 private:
  std::int32_t blocks_;
  std::int32_t block_size_;
  std::int32_t width_;
  kernels::cpu::FloatBuffer data_;
};

}  // namespace dsbench::engine
