#include "engine/kernels/cuda/gate.h"

#include "engine/kernels/cuda/launch.cuh"
#include "engine/kernels/cuda/vectors.cuh"

namespace dsbench::engine::kernels::cuda {

namespace {

constexpr int warps_per_block = 4;
constexpr int most_experts = 512;
constexpr int per_lane = most_experts / 32;

// One place in 33 stays free, so that lanes which walk through groups of 32 do not meet in one bank.
DSB_DEVICE int padded(int expert) {
  return expert + expert / 32;
}
constexpr int padded_experts = most_experts + most_experts / 32;

DSB_DEVICE float score_of(GateScoring scoring, float logit) {
  if (scoring == GateScoring::sigmoid) return simt::divide(1.0f, 1.0f + simt::exp_e(-logit));
  // ln(1 + e^x) without overflow
  return simt::square_root(simt::larger(logit, 0.0f) + simt::log_1p(simt::exp_e(-simt::absolute(logit))));
}

struct Best {
  float value;
  int index;
};

// The largest of all lanes' candidates; the lowest index wins a tie. An index of −1 stands for nothing.
DSB_DEVICE Best best_of_warp(Best mine) {
  for (int mask = 16; mask > 0; mask /= 2) {
    const Best other{simt::shuffle_xor(mine.value, mask), simt::shuffle_xor(mine.index, mask)};
    if (other.index >= 0 && (mine.index < 0 || other.value > mine.value ||
                             (other.value == mine.value && other.index < mine.index)))
      mine = other;
  }
  return mine;
}

// A warp to a token; lane l holds experts l, l+32, …
DSB_KERNEL(warps_per_block * 32, 4)
gate_kernel(GateArgs args) {
  const int lane = simt::thread() % 32;
  const int warp = simt::thread() / 32;
  const long long token = static_cast<long long>(simt::block_x()) * warps_per_block + warp;
  if (token >= args.tokens) return;  // whole warps
  float* const choosing = reinterpret_cast<float*>(simt::shared()) + warp * padded_experts;
  const float* logits = args.logits + token * args.experts;
  const float minus_infinity = -simt::infinity();

  float score[per_lane];
  DSB_UNROLL
  for (int i = 0; i < per_lane; ++i) {
    const int expert = lane + i * 32;
    score[i] = expert < args.experts ? logits[expert] : minus_infinity;
  }
  if (args.scoring == GateScoring::softmax) {
    float top = minus_infinity;
    DSB_UNROLL
    for (int i = 0; i < per_lane; ++i) top = simt::larger(top, score[i]);
    top = largest_over(top, 32);
    float sum = 0;
    DSB_UNROLL
    for (int i = 0; i < per_lane; ++i) {
      score[i] = lane + i * 32 < args.experts ? simt::exp_e(score[i] - top) : 0.0f;
      sum += score[i];
    }
    sum = sum_over(sum, 32);
    DSB_UNROLL
    for (int i = 0; i < per_lane; ++i) score[i] = simt::divide(score[i], sum);
  } else {
    DSB_UNROLL
    for (int i = 0; i < per_lane; ++i)
      score[i] = lane + i * 32 < args.experts ? score_of(args.scoring, score[i]) : 0.0f;
  }
  DSB_UNROLL
  for (int i = 0; i < per_lane; ++i) {
    const int expert = lane + i * 32;
    if (expert < args.experts)
      choosing[padded(expert)] = score[i] + (args.bias != nullptr ? args.bias[expert] : 0.0f);
  }
  simt::sync_warp();

  std::uint32_t kept = 0xffffffffu;
  const int group_size = args.experts / args.groups;
  if (args.groups > 1) {
    // Lane g ranks group g: by its two best scores when there is a bias, else by its best.
    float first = minus_infinity;
    float second = minus_infinity;
    if (lane < args.groups) {
      for (int i = 0; i < group_size; ++i) {
        const float v = choosing[padded(lane * group_size + i)];
        if (v > first) {
          second = first;
          first = v;
        } else if (v > second) {
          second = v;
        }
      }
    }
    const float rank_by = args.bias != nullptr && group_size > 1 ? first + second : first;
    int better = 0;
    for (int g = 0; g < args.groups; ++g) {
      const float other = simt::shuffle(rank_by, g);
      if (other > rank_by || (other == rank_by && g < lane)) ++better;
    }
    kept = simt::ballot(lane < args.groups && better < args.kept_groups);
  }

  float candidate[per_lane];
  std::uint32_t open = 0;  // bit i: this lane's expert i may still be chosen
  DSB_UNROLL
  for (int i = 0; i < per_lane; ++i) {
    const int expert = lane + i * 32;
    candidate[i] = minus_infinity;
    if (expert < args.experts) {
      if (((kept >> (args.groups > 1 ? expert / group_size : 0)) & 1u) != 0)
        candidate[i] = choosing[padded(expert)];
      open |= 1u << i;
    }
  }
  float sum = 0;
  float weight = 0;  // of this lane's choice: lane j keeps the j-th
  int chosen = 0;
  for (int j = 0; j < args.top_k; ++j) {
    Best best{minus_infinity, -1};
    DSB_UNROLL
    for (int i = 0; i < per_lane; ++i) {
      if (((open >> i) & 1u) != 0 && (best.index < 0 || candidate[i] > best.value))
        best = {candidate[i], lane + i * 32};
    }
    best = best_of_warp(best);
    const int owner = best.index % 32;
    float unbiased = 0;
    DSB_UNROLL
    for (int i = 0; i < per_lane; ++i) {
      if (best.index == lane + i * 32) {
        unbiased = score[i];
        open &= ~(1u << i);
      }
    }
    unbiased = simt::shuffle(unbiased, owner);
    sum += unbiased;
    if (lane == j) {
      weight = unbiased;
      chosen = best.index;
    }
  }
  if (lane < args.top_k) {
    if (args.renormalise) weight = simt::divide(weight, sum);
    args.ids[token * args.top_k + lane] = chosen;
    args.weights[token * args.top_k + lane] = weight * args.routed_scale;
  }
}

}  // namespace

bool gate_supports(int experts, int top_k, int groups) {
  return experts >= 1 && experts <= most_experts && top_k >= 1 && top_k <= 32 && top_k <= experts &&
         groups >= 1 && groups <= 32 && experts % groups == 0;
}

Status gate(const GateArgs& args, void* stream) {
  if (args.tokens == 0) return 0;
  if (!gate_supports(args.experts, args.top_k, args.groups)) return invalid_value;
  const LaunchShape shape{{static_cast<unsigned>(ceil_div<std::int64_t>(args.tokens, warps_per_block)), 1},
                          warps_per_block * 32,
                          warps_per_block * padded_experts * sizeof(float)};
  return launch(&gate_kernel, shape, stream, args);
}

}  // namespace dsbench::engine::kernels::cuda
