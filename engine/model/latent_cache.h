#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernels/cpu/packed_matrix.h"
#include "engine/kernels/kv_layout.h"

namespace dsbench::engine {

// The paged latent KV pool: per layer [block, slot], where a slot holds one token's normalised latent
// (kv_lora) and its turned rotary key, in the type that was asked for. Blocks belong to whoever the scheduler
// gave them to; nothing here knows.
class LatentCache {
 public:
  LatentCache(std::int32_t layers, std::int32_t blocks, std::int32_t block_size,
              const kernels::KvLayout& layout)
      : blocks_{blocks},
        block_size_{block_size},
        width_{layout.kv_lora + layout.rope},
        layout_{layout},
        data_(layers * layer_bytes() + std::int64_t{kernels::cpu::kPanel} * 4) {
    data_.fill(std::byte{0});
  }
  // In fp32, `width` floats a slot.
  LatentCache(std::int32_t layers, std::int32_t blocks, std::int32_t block_size, std::int32_t width)
      : LatentCache(layers, blocks, block_size, kernels::kv_layout(kernels::KvType::fp32, width, 0)) {}

  [[nodiscard]] std::int32_t blocks() const { return blocks_; }
  [[nodiscard]] std::int32_t block_size() const { return block_size_; }
  [[nodiscard]] std::int32_t width() const { return width_; }
  [[nodiscard]] const kernels::KvLayout& layout() const { return layout_; }

  [[nodiscard]] const std::byte* layer(std::int32_t i) const { return data_.data() + i * layer_bytes(); }

  // Puts a row of `width` floats into a slot; rounds them as the type wants it.
  void write(const kernels::cpu::KernelTable& table, std::int32_t layer_index, std::int64_t slot,
             const float* row) {
    std::byte* to = data_.data() + layer_index * layer_bytes() + slot * layout_.slot_bytes;
    switch (layout_.type) {
      case kernels::KvType::fp32:
        std::memcpy(to, row, static_cast<std::size_t>(width_) * sizeof(float));
        return;
      case kernels::KvType::bf16:
        write_bf16(to, row, width_);
        return;
      case kernels::KvType::int8:
      case kernels::KvType::fp8:
        break;
    }
    for (std::int32_t group = 0; group < layout_.groups; ++group) {
      const std::int32_t first = group * kernels::kKvGroup;
      const std::int32_t n = std::min(kernels::kKvGroup, layout_.kv_lora - first);
      float scale = 0;
      std::int32_t sum = 0;
      if (layout_.type == kernels::KvType::int8) {
        scale = table.quantise(row + first, n, reinterpret_cast<std::int8_t*>(to + first), &sum);
      } else {
        scale = table.quantise_e4m3(row + first, n, reinterpret_cast<std::uint8_t*>(to + first));
      }
      std::memcpy(to + layout_.scales_at + 4 * group, &scale, sizeof scale);
    }
    write_bf16(to + layout_.rope_at, row + layout_.kv_lora, layout_.rope);
  }

  // Every number of every slot and layer: tests poison what must not be read. fp32 only.
  void fill(float value) {
    auto* floats = reinterpret_cast<float*>(data_.data());
    std::fill_n(floats, data_.size() / 4, value);
  }

 private:
  [[nodiscard]] std::int64_t layer_bytes() const {
    return std::int64_t{blocks_} * block_size_ * layout_.slot_bytes;
  }
  static void write_bf16(std::byte* to, const float* row, std::int32_t n) {
    for (std::int32_t i = 0; i < n; ++i) {
      const std::uint16_t bits = kernels::cpu::to_bf16(row[i]);
      std::memcpy(to + 2 * std::ptrdiff_t{i}, &bits, sizeof bits);
    }
  }

  std::int32_t blocks_;
  std::int32_t block_size_;
  std::int32_t width_;
  kernels::KvLayout layout_;
  kernels::cpu::AlignedBuffer<std::byte> data_;
};

}  // namespace dsbench::engine
