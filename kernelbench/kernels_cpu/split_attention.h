#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "engine/kernels/cpu/packed_matrix.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split.h"

namespace dsbench::kernelbench::cpu {

inline constexpr float kLatentScale = 0.07216878364870323F;  // 192^-0.5, of latent attention

// The kernel reads whole vectors of latents; what is too much must be the rotary part.
[[nodiscard]] inline bool latent_widths_fit(const Problem& p) {
  return (p["kv_lora"] + 15) / 16 * 16 <= p["kv_lora"] + p["rope"];
}

// Where the entries stand that ids name, without the holes (-1).
template <class Place>
void append_named(const std::int32_t* ids, std::int64_t count, std::vector<const void*>& to,
                  const Place& place) {
  for (std::int64_t i = 0; i < count; ++i) {
    if (ids[i] >= 0) to.push_back(place(std::int64_t{ids[i]}));
  }
}

// Into how many parts a request of so many entries goes: all threads have the same number of parts then, none
// of which is shorter than two blocks of keys.
[[nodiscard]] inline std::int64_t splits_of(std::int64_t batch, std::int64_t entries, int threads) {
  return std::clamp<std::int64_t>(entries / 256, 1, threads / std::gcd(batch, std::int64_t{threads}));
}

// The parts of every request side by side, then their results joined by weight of e^lse.
class SplitAttention {
 public:
  // Results go to o [·, kv_lora] and to the operand of lse. `coded`: args.coded will be given.
  SplitAttention(const Cell& cell, std::int64_t queries, std::int64_t heads, std::int64_t kv_lora,
                 std::int64_t width, float* o, bool coded = false)
      : cell_{cell}, kv_lora_{kv_lora}, o_{o} {
    const std::int64_t size =
        kernels::attention_scratch(static_cast<std::int32_t>(queries), static_cast<std::int32_t>(heads),
                                   static_cast<std::int32_t>(width),
                                   coded ? engine::kernels::KvType::fp8 : engine::kernels::KvType::fp32);
    scratch_.resize(static_cast<std::size_t>(cell.pool->threads()));
    for (kernels::FloatBuffer& one : scratch_) one.grow(size);
  }

  void begin() {
    parts_.clear();
    groups_.clear();
  }
  // One request: `args` for all its entries, of which it has `entries`, in blocks of args.block_size or as
  // they are listed. `row` is its first row of o and lse.
  void add(const kernels::AttentionArgs& args, std::int64_t entries, std::int64_t row, std::int64_t splits) {
    const bool listed = args.entries != nullptr;
    const std::int64_t block = listed ? kernels::kPanel : args.block_size;
    const std::int64_t blocks = (entries + block - 1) / block;
    splits = std::clamp<std::int64_t>(splits, 1, blocks);
    groups_.push_back(
        {parts_.size(), static_cast<std::size_t>(splits), row, std::int64_t{args.queries} * args.heads});
    for (std::int64_t s = 0; s < splits; ++s) {
      const std::int64_t first = blocks * s / splits * block;
      const std::int64_t last = std::min(entries, blocks * (s + 1) / splits * block);
      kernels::AttentionArgs& part = parts_.emplace_back(args);
      if (listed) {
        part.entries = args.entries + first;
      } else {
        part.blocks = args.blocks + first / block;
      }
      part.first_position = static_cast<std::int32_t>(args.first_position - first);
      part.positions = static_cast<std::int32_t>(last - first);
    }
  }

  // Calls done(row) for every row of o that is there.
  template <class Done>
  void run(const Done& done) {
    std::size_t partial = 0;
    for (const Group& group : groups_) {
      if (group.parts > 1) partial += group.parts * static_cast<std::size_t>(group.rows);
    }
    partial_o_.grow(static_cast<std::int64_t>(partial) * kv_lora_);
    partial_lse_.grow(static_cast<std::int64_t>(partial));
    std::int64_t at = 0;
    for (const Group& group : groups_) {
      for (std::size_t i = group.first; i < group.first + group.parts; ++i) {
        kernels::AttentionArgs& args = parts_[i];
        args.out = o_ + group.row * kv_lora_;
        args.lse = cell_.output<float>(1) + group.row;
        if (group.parts == 1) continue;
        args.out = partial_o_.data() + at * kv_lora_;
        args.lse = partial_lse_.data() + at;
        at += group.rows;
      }
    }
    // The longest go first.
    order_.resize(parts_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [this](std::size_t a, std::size_t b) {
      return parts_[a].positions > parts_[b].positions;
    });
    cell_.pool->run(static_cast<int>(parts_.size()), [&](int unit, int thread) {
      kernels::AttentionArgs args = parts_[order_[static_cast<std::size_t>(unit)]];
      args.scratch = scratch_[static_cast<std::size_t>(thread)].data();
      cell_.table->attention(args);
    });
    for (const Group& group : groups_) {
      in_parts(*cell_.pool, group.rows, static_cast<std::int64_t>(group.parts) * kv_lora_,
               [&](std::int64_t begin, std::int64_t end) {
                 if (group.parts > 1) join(group, begin, end);
                 for (std::int64_t r = begin; r < end; ++r) done(group.row + r);
               });
    }
  }
  void run() {
    run([](std::int64_t) {});
  }

  void nothing(std::int64_t row, std::int64_t rows) {
    std::fill_n(o_ + row * kv_lora_, rows * kv_lora_, 0.0F);
    std::fill_n(cell_.output<float>(1) + row, rows, -std::numeric_limits<float>::infinity());
  }

 private:
  struct Group {
    std::size_t first = 0;
    std::size_t parts = 0;
    std::int64_t row = 0;
    std::int64_t rows = 0;
  };

  // The rows [begin, end) of a group.
  void join(const Group& group, std::int64_t begin, std::int64_t end) {
    std::vector<const float*> rows(group.parts);
    std::vector<float> weights(group.parts);
    for (std::int64_t r = begin; r < end; ++r) {
      float largest = -std::numeric_limits<float>::infinity();
      for (std::size_t s = 0; s < group.parts; ++s) {
        const kernels::AttentionArgs& args = parts_[group.first + s];
        rows[s] = args.out + r * kv_lora_;
        largest = std::max(largest, args.lse[r]);
      }
      float sum = 0;
      for (std::size_t s = 0; s < group.parts; ++s) {
        weights[s] = std::exp(parts_[group.first + s].lse[r] - largest);
        sum += weights[s];
      }
      for (float& weight : weights) weight /= sum;
      cell_.table->combine(rows.data(), weights.data(), static_cast<std::int32_t>(group.parts),
                           static_cast<std::int32_t>(kv_lora_), o_ + (group.row + r) * kv_lora_);
      cell_.output<float>(1)[group.row + r] = largest + std::log(sum);
    }
  }

  Cell cell_;
  std::int64_t kv_lora_;
  float* o_;
  std::vector<kernels::FloatBuffer> scratch_;
  std::vector<kernels::AttentionArgs> parts_;
  std::vector<std::size_t> order_;
  std::vector<Group> groups_;
  kernels::FloatBuffer partial_o_;
  kernels::FloatBuffer partial_lse_;
};

}  // namespace dsbench::kernelbench::cpu
