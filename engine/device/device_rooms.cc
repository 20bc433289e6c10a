#include "engine/device/device_decoder.h"

#include <algorithm>

#include "engine/device/device_limits.h"
#include "engine/kernels/cuda/mla_decode_wgmma.h"

namespace dsbench::engine {

using kernels::cuda::mla_latent;
using kernels::cuda::mla_width;

// What keys and values of one context may take.
static constexpr std::int64_t kMostPrefillBytes = std::int64_t{512} << 20;

PrefillRule prefill_rule(const profiles::ModelProfile& p, const DeviceDecoderConfig& config) {
  if (!takes_keys_up(p)) return {};
  const std::int64_t per_token = std::int64_t{2} * (p.heads * (p.qk_dim() + p.v_dim) + p.latent_width());
  return {.least_queries = config.least_prefill,
          .most_context = static_cast<std::int32_t>(
              std::min<std::int64_t>(kMostPrefillBytes / per_token, p.max_context))};
}

StepShape widest_decode(const DeviceDecoderConfig& config) {
  StepShape shape;
  shape.rows = shape.wanted = shape.requests = round_requests(config.max_requests);
  shape.table_stride = round_blocks((config.max_tokens + kDeviceBlock - 1) / kDeviceBlock);
  shape.groups = {{.queries = 1, .requests = shape.requests}};
  shape.absorbed_rows = shape.rows;
  return shape;
}

StepShape widest_prefill(const profiles::ModelProfile& p, const DeviceDecoderConfig& config) {
  StepShape shape;
  shape.rows = config.max_rows;
  shape.wanted = std::min(config.max_requests, config.max_rows);
  const std::int32_t queries = std::min(most_queries(p), config.max_rows);
  shape.requests = (config.max_rows + queries - 1) / queries;
  shape.table_stride = (config.max_tokens + kDeviceBlock - 1) / kDeviceBlock;
  shape.groups = {{.queries = queries, .requests = shape.requests}};
  shape.absorbed_rows = shape.rows;
  if (const PrefillRule rule = prefill_rule(p, config);
      rule.least_queries > 0 && config.max_rows >= rule.least_queries) {
    shape.prefill_ints = std::min(rule.most_context, config.max_tokens);
    shape.prefills = {{.queries = config.max_rows, .context = static_cast<std::int32_t>(shape.prefill_ints)}};
  }
  return shape;
}

// Bytes of every buffer.
DeviceDecoder::Rooms DeviceDecoder::rooms(const StepShape& shape) const {
  const auto rows = static_cast<std::size_t>(shape.rows);
  const auto wanted = static_cast<std::size_t>(shape.wanted);
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const std::size_t hidden = size(p_.hidden);
  const std::size_t heads = size(p_.heads);
  const std::size_t shared = size(std::int64_t{p_.moe.shared_experts} * p_.moe.intermediate);
  const std::size_t dense = p_.dense_layers > 0 || p_.moe_layers() == 0 ? size(p_.dense_intermediate) : 0;
  const std::size_t inter = std::max(dense, shared);
  const bool fp8 = config_.weights == DeviceWeightType::fp8;
  const std::size_t moe_layers = size(p_.moe_layers());
  const std::size_t experts = size(p_.moe.experts);
  const std::size_t pairs = moe_layers > 0 ? rows * size(p_.moe.top_k) : 0;
  const std::size_t narrow = size(p_.moe.intermediate);
  Rooms room{};
  room[r_ints] = size(shape.ints()) * sizeof(std::int32_t);
  for (const Room r : {r_x, r_h, r_block}) room[r] = rows * hidden * kHalf;
  if (config_.mtp) {
    room[r_sources] = rows * sizeof(std::int32_t);
    room[r_carried] = rows * hidden * kHalf;
  }
  room[r_q_latent] = rows * size(p_.q_lora) * kHalf;
  room[r_kv] = rows * mla_width * kHalf;
  room[r_q] = rows * heads * size(p_.qk_dim()) * kHalf;
  room[r_query] = rows * heads * mla_width * kHalf;
  room[r_mixed] = rows * heads * mla_latent * kHalf;
  room[r_lse] = rows * heads * sizeof(float);
  // One prefill at a time.
  std::int32_t context = 0;
  for (const StepPrefill& prefill : shape.prefills) context = std::max(context, prefill.context);
  room[r_context] = size(context) * mla_width * kHalf;
  room[r_keys] = size(context) * heads * size(p_.qk_dim()) * kHalf;
  room[r_values] = size(context) * heads * size(p_.v_dim) * kHalf;
  room[r_heads] = rows * heads * size(p_.v_dim) * kHalf;
  room[r_gate_up] = rows * 2 * inter * kHalf;
  room[r_gated] = rows * inter * kHalf;
  if (fp8) {
    room[r_codes] = rows * std::max({hidden, size(p_.q_lora), heads * size(p_.v_dim), inter});
    room[r_scales] = room[r_codes] / kScaleGroup * sizeof(float) + sizeof(float);
    room[r_pair_scales] = pairs * (hidden / kScaleGroup + 1) * sizeof(float);
    room[r_pair_codes] = pairs * narrow;
    room[r_pair_code_scales] = pairs * (narrow / kScaleGroup + 1) * sizeof(float);
  }
  room[r_router] = rows * experts * sizeof(float);
  room[r_chosen] = moe_layers * pairs * sizeof(std::int32_t);
  room[r_chosen_weight] = pairs * sizeof(float);
  room[r_slots] = pairs * sizeof(std::int32_t);
  room[r_offsets] = (experts + 1) * sizeof(std::int32_t);
  room[r_pairs] = pairs * hidden * kHalf;
  room[r_pair_gate_up] = pairs * 2 * narrow * kHalf;
  room[r_pair_gated] = pairs * narrow * kHalf;
  room[r_pair_out] = pairs * hidden * kHalf;
  room[r_last] = wanted * hidden * kHalf;
  room[r_logits] = wanted * size(p_.vocab) * kHalf;
  room[r_ids] = wanted * sizeof(std::int32_t);
  room[r_parts] = kernels::cuda::most_parts_bytes(kernels::cuda::device_shape());
  for (const StepGroup& group : shape.groups) {
    const int launch = requests_at_once(p_, group);
    for (const int requests : {launch, group.requests % launch}) {
      if (requests == 0) continue;
      const kernels::cuda::MlaDecodeArgs args = attention_args(shape, group, 0, requests);
      room[r_attention] = std::max({room[r_attention], kernels::cuda::mla_decode_workspace_bytes(args),
                                    kernels::cuda::mla_decode_wgmma_workspace_bytes(args)});
    }
  }
  return room;
}

// Contents are lost where room is made, and with them what graphs had written down.
Result<void> DeviceDecoder::reserve(const StepShape& shape) {
  const Rooms room = rooms(shape);
  const auto hold = [&](DeviceBuffer& buffer, std::size_t bytes, bool host) -> Result<void> {
    if (buffer.bytes() >= bytes) return {};
    buffer = {};  // first back, then anew
    DSBENCH_TRY(buffer, host ? device_->allocate_host(bytes) : device_->allocate(bytes));
    graphs_.clear();
    return {};
  };
  for (std::size_t i = 0; i < r_count; ++i) DSBENCH_CHECK(hold(buffers_[i], room[i], false));
  DSBENCH_CHECK(hold(host_ints_, room[r_ints], true));
  DSBENCH_CHECK(hold(host_ids_, room[r_ids], true));
  DSBENCH_CHECK(hold(host_sources_, room[r_sources], true));
  return hold(host_chosen_, room[r_chosen], true);
}

Bytes DeviceDecoder::workspace_bytes(const profiles::ModelProfile& profile,
                                     const DeviceDecoderConfig& config) {
  const DeviceDecoder sized(profile, config, nullptr);
  const Rooms decode = sized.rooms(widest_decode(config));
  const Rooms prefill = sized.rooms(widest_prefill(profile, config));
  std::size_t sum = static_cast<std::size_t>(profile.max_context) *
                    static_cast<std::size_t>(profile.rope_dim) * sizeof(float);
  for (std::size_t i = 0; i < r_count; ++i) sum += std::max(decode[i], prefill[i]);
  return Bytes{static_cast<std::int64_t>(sum)};
}

}  // namespace dsbench::engine
