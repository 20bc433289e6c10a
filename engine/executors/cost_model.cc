#include "engine/executors/cost_model.h"

#include <algorithm>
#include <cmath>

namespace dsbench::engine {
namespace {

std::int64_t whole(const profiles::Parameter& parameter) {
  return std::llround(parameter.value);
}

}  // namespace

CostModel::CostModel(const profiles::HardwareProfile& hardware)
    : base_ns_{hardware.base_s.value * 1e9},
      prefill_token_ns_{hardware.prefill_token_s.value * 1e9},
      decode_token_ns_{hardware.decode_token_s.value * 1e9},
      kv_token_ns_{hardware.kv_token_s.value * 1e9},
      max_prefill_tokens_{whole(hardware.max_prefill_tokens)},
      max_decode_tokens_{whole(hardware.max_decode_tokens)},
      max_kv_tokens_{whole(hardware.max_kv_tokens)} {}

StepCost CostModel::step_time(const StepBatch& batch) const {
  const double ns = base_ns_ + prefill_token_ns_ * static_cast<double>(batch.prefill_tokens) +
                    decode_token_ns_ * static_cast<double>(batch.decode_tokens) +
                    kv_token_ns_ * static_cast<double>(batch.kv_tokens);
  return {Nanos{std::max<std::int64_t>(1, std::llround(ns))}, batch.prefill_tokens > max_prefill_tokens_ ||
                                                                  batch.decode_tokens > max_decode_tokens_ ||
                                                                  batch.kv_tokens > max_kv_tokens_};
}

SchedulerConfig scheduler_config(const profiles::HardwareProfile& hardware) {
  SchedulerConfig config;
  config.block_size = static_cast<std::int32_t>(whole(hardware.block_size));
  config.blocks = static_cast<std::int32_t>(whole(hardware.kv_capacity_tokens) / config.block_size);
  config.max_running = static_cast<std::int32_t>(whole(hardware.max_running));
  config.max_batched_tokens = static_cast<std::int32_t>(whole(hardware.max_batched_tokens));
  config.max_model_len = static_cast<std::int32_t>(whole(hardware.max_model_len));
  return config;
}

}  // namespace dsbench::engine
