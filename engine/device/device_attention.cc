#include "engine/device/device_decoder.h"

#include <algorithm>

#include "engine/device/device_limits.h"
#include "engine/kernels/cuda/decoder.h"
#include "engine/kernels/cuda/mla_decode_wgmma.h"
#include "engine/kernels/cuda/mla_prefill_wgmma.h"
#include "engine/kernels/cuda/mla_seesaw.h"
#include "engine/kernels/cuda/norm.h"

namespace dsbench::engine {

using kernels::cuda::mla_latent;
using kernels::cuda::mla_width;

kernels::cuda::MlaDecodeArgs DeviceDecoder::attention_args(const StepShape& shape, const StepGroup& group,
                                                           int first, int requests) const {
  const std::int64_t row = group.first_row + std::int64_t{first} * group.queries;
  const std::int64_t request = std::int64_t{group.first_request} + first;
  const auto* ints = at<std::int32_t>(r_ints);
  // Sizes are asked for before there is memory.
  const auto in = [](auto* base, std::int64_t offset) { return base == nullptr ? base : base + offset; };
  return {.q = in(at<std::uint16_t>(r_query), row * p_.heads * mla_width),
          .cache = nullptr,
          .block_table = in(ints, shape.tables_at() + request * shape.table_stride),
          .lengths = in(ints, shape.lengths_at() + request),
          .o = in(at<std::uint16_t>(r_mixed), row * p_.heads * mla_latent),
          .lse = in(at<float>(r_lse), row * p_.heads),
          .workspace = at(r_attention),
          .requests = requests,
          .queries = group.queries,
          .heads = p_.heads,
          .max_blocks = shape.table_stride,
          .fp8_cache = config_.kv == kernels::KvType::fp8};
}

Result<void> DeviceDecoder::attention(const kernels::cuda::MlaDecodeArgs& args) {
  using kernels::cuda::MlaWay;
  const MlaWay way = kernels::cuda::choose_mla_decode(args, kernels::cuda::compiled_arch());
  if (way == MlaWay::mma) return launched(kernels::cuda::mla_decode(args, device_->stream()), "attention");
  kernels::cuda::WgmmaMla prepared;
  DSBENCH_CHECK(launched(kernels::cuda::prepare_mla_decode_wgmma(prepared, args, config_.blocks + 1),
                         "preparing attention"));
  return launched(way == MlaWay::seesaw ? kernels::cuda::mla_decode_seesaw(prepared, device_->stream())
                                        : kernels::cuda::mla_decode_wgmma(prepared, device_->stream()),
                  "attention");
}

// heads = attention of the groups' rows, the key half of kv_b absorbed into the queries.
Result<void> DeviceDecoder::attend_absorbed(const DeviceLayer& layer, std::byte* cache,
                                            const StepShape& shape) {
  if (shape.absorbed_rows == 0) return {};
  DSBENCH_CHECK(multiply({.a = at(r_q),
                          .w = layer.absorb.values.data(),
                          .c = at(r_query),
                          .groups = p_.heads,
                          .rows = shape.absorbed_rows,
                          .n = p_.kv_lora,
                          .k = p_.nope_dim,
                          .a_row = std::int64_t{p_.heads} * p_.qk_dim(),
                          .c_row = std::int64_t{p_.heads} * mla_width,
                          .a_group = p_.qk_dim(),
                          .c_group = mla_width}));
  DSBENCH_CHECK(
      launched(kernels::cuda::query_rope({.q = at(r_q),
                                          .cos_sin = cos_sin_.as<float>(),
                                          .positions = at<std::int32_t>(r_ints) + shape.positions_at(),
                                          .to = at(r_query),
                                          .tokens = shape.absorbed_rows,
                                          .heads = p_.heads,
                                          .nope = p_.nope_dim,
                                          .rope = p_.rope_dim,
                                          .latent = p_.kv_lora,
                                          .scale = score_ratio_},
                                         device_->stream()),
               "turning queries"));
  for (const StepGroup& group : shape.groups) {
    const int launch = requests_at_once(p_, group);
    for (int first = 0; first < group.requests; first += launch) {
      kernels::cuda::MlaDecodeArgs args =
          attention_args(shape, group, first, std::min(launch, group.requests - first));
      args.cache = cache;
      DSBENCH_CHECK(attention(args));
    }
  }
  return multiply({.a = at(r_mixed),
                   .w = layer.value_up.values.data(),
                   .c = at(r_heads),
                   .groups = p_.heads,
                   .rows = shape.absorbed_rows,
                   .n = p_.v_dim,
                   .k = p_.kv_lora,
                   .a_row = std::int64_t{p_.heads} * p_.kv_lora,
                   .c_row = std::int64_t{p_.heads} * p_.v_dim,
                   .a_group = p_.kv_lora,
                   .c_group = p_.v_dim});
}

// heads = attention of a prefill's rows: latents of its context out of the cache, and keys and values up from
// them, head by head.
Result<void> DeviceDecoder::attend_prefill(const DeviceLayer& layer, const std::byte* cache,
                                           const StepPrefill& prefill, const StepShape& shape) {
  void* const stream = device_->stream();
  const auto* ints = at<std::int32_t>(r_ints);
  auto* const q = at<std::uint16_t>(r_q) + std::int64_t{prefill.first_row} * p_.heads * p_.qk_dim();
  const auto* const slots = ints + prefill.slots_at;
  const kernels::cuda::Status fetched = config_.kv == kernels::KvType::fp8
                                            ? kernels::cuda::latent_read({.cache = cache,
                                                                          .index = slots,
                                                                          .to = at(r_context),
                                                                          .rows = prefill.context,
                                                                          .latent = p_.kv_lora,
                                                                          .rope = p_.rope_dim},
                                                                         stream)
                                            : kernels::cuda::gather_rows({.from = cache,
                                                                          .index = slots,
                                                                          .to = at(r_context),
                                                                          .rows = prefill.context,
                                                                          .row_bytes = mla_width * 2},
                                                                         stream);
  DSBENCH_CHECK(launched(fetched, "fetching a context"));
  const auto up = [&](const DeviceMatrix& w, Room to, int head_width) {
    return multiply({.a = at(r_context),
                     .w = w.values.data(),
                     .c = at(to),
                     .groups = p_.heads,
                     .rows = prefill.context,
                     .n = w.n,
                     .k = p_.kv_lora,
                     .a_row = mla_width,
                     .c_row = std::int64_t{p_.heads} * head_width,
                     .c_group = head_width});
  };
  DSBENCH_CHECK(up(layer.key_up, r_keys, p_.qk_dim()));
  DSBENCH_CHECK(up(layer.value_up, r_values, p_.v_dim));
  DSBENCH_CHECK(launched(kernels::cuda::key_rope({.latents = at(r_context),
                                                  .keys = at(r_keys),
                                                  .tokens = prefill.context,
                                                  .heads = p_.heads,
                                                  .nope = p_.nope_dim,
                                                  .rope = p_.rope_dim,
                                                  .latent = p_.kv_lora},
                                                 stream),
                         "giving heads their rotary keys"));
  DSBENCH_CHECK(
      launched(kernels::cuda::query_rope({.q = q,
                                          .cos_sin = cos_sin_.as<float>(),
                                          .positions = ints + shape.positions_at() + prefill.first_row,
                                          .to = q,
                                          .tokens = prefill.queries,
                                          .heads = p_.heads,
                                          .nope = p_.nope_dim,
                                          .rope = p_.rope_dim,
                                          .latent = p_.nope_dim,
                                          .scale = score_ratio_},
                                         stream),
               "turning queries"));
  const kernels::cuda::MlaPrefillArgs args{
      .q = q,
      .k = at(r_keys),
      .v = at(r_values),
      .o = at<std::uint16_t>(r_heads) + std::int64_t{prefill.first_row} * p_.heads * p_.v_dim,
      .queries = prefill.queries,
      .context = prefill.context,
      .heads = p_.heads};
  if (kernels::cuda::compiled_arch() != 90)
    return launched(kernels::cuda::mla_prefill(args, stream), "attention of a prefill");
  kernels::cuda::WgmmaPrefill prepared;
  DSBENCH_CHECK(
      launched(kernels::cuda::prepare_mla_prefill_wgmma(prepared, args), "preparing attention of a prefill"));
  return launched(kernels::cuda::mla_prefill_wgmma(prepared, stream), "attention of a prefill");
}

// block = o · attention(h); the latents go into the cache.
Result<void> DeviceDecoder::attend(const DeviceLayer& layer, int layer_index, const StepShape& shape) {
  void* const stream = device_->stream();
  const int rows = shape.rows;
  const auto* positions = at<std::int32_t>(r_ints) + shape.positions_at();
  const auto* slots = at<std::int32_t>(r_ints) + shape.slots_at();
  const std::size_t layer_bytes =
      (static_cast<std::size_t>(config_.blocks) + 1) * kDeviceBlock * entry_bytes();
  std::byte* const cache = cache_.as<std::byte>() + static_cast<std::size_t>(layer_index) * layer_bytes;

  DSBENCH_TRY(const Operand h, operand(layer.kv_a, at(r_h), rows, r_codes, r_scales));
  DSBENCH_CHECK(product(layer.kv_a, h, rows, at(r_kv)));
  DSBENCH_CHECK(launched(kernels::cuda::latent_write({.kv = at(r_kv),
                                                      .weight = layer.kv_norm.data(),
                                                      .cos_sin = cos_sin_.as<float>(),
                                                      .positions = positions,
                                                      .slots = slots,
                                                      .cache = cache,
                                                      .tokens = rows,
                                                      .latent = p_.kv_lora,
                                                      .rope = p_.rope_dim,
                                                      .eps = static_cast<float>(p_.rms_eps),
                                                      .fp8 = config_.kv == kernels::KvType::fp8},
                                                     stream),
                         "writing latents"));
  if (p_.q_lora > 0) {
    DSBENCH_CHECK(product(layer.q_a, h, rows, at(r_q_latent)));
    DSBENCH_CHECK(launched(kernels::cuda::rmsnorm({.x = at(r_q_latent),
                                                   .weight = layer.q_norm.data(),
                                                   .y = at(r_q_latent),
                                                   .tokens = rows,
                                                   .hidden = p_.q_lora,
                                                   .eps = static_cast<float>(p_.rms_eps)},
                                                  stream),
                           "normalising queries"));
    DSBENCH_TRY(const Operand q, operand(layer.q_b, at(r_q_latent), rows, r_codes, r_scales));
    DSBENCH_CHECK(product(layer.q_b, q, rows, at(r_q)));
  } else {
    DSBENCH_CHECK(product(layer.q_b, h, rows, at(r_q)));
  }
  DSBENCH_CHECK(attend_absorbed(layer, cache, shape));
  for (const StepPrefill& prefill : shape.prefills)
    DSBENCH_CHECK(attend_prefill(layer, cache, prefill, shape));
  DSBENCH_TRY(const Operand heads, operand(layer.o, at(r_heads), rows, r_codes, r_scales));
  return product(layer.o, heads, rows, at(r_block));
}

}  // namespace dsbench::engine
