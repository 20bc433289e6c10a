#pragma once

#include <cstdint>
#include <cstring>

#include "kernelbench/kernels_cpu/float_rows.h"
#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/split_attention.h"

namespace dsbench::kernelbench::cpu {

// Queries (operand 0), entries and outputs of absorbed latent attention, in f32 or with an FP8 cache: e4m3
// codes of the latent, an f32 scale for every 128 of them, the rotary numbers in bf16; queries and outputs
// are bf16 then.
class LatentRows {
 public:
  static bool supports(const Problem& p) {
    if (p.dtype == "f32") return latent_widths_fit(p);
    return p.dtype == "fp8" && p["kv_lora"] % kGroup == 0 && p["kv_lora"] / kGroup <= kernels::kMostScales;
  }

  LatentRows(const Cell& cell, std::int64_t rows)
      : cell_{cell},
        kv_lora_{cell.problem["kv_lora"]},
        width_{kv_lora_ + cell.problem["rope"]},
        outputs_{cell, rows, kv_lora_} {
    if (cell.problem.dtype != "fp8") return;
    form_ = {.codes = static_cast<std::int32_t>(kv_lora_),
             .group = kGroup,
             .rest_at = static_cast<std::int32_t>(kv_lora_ + kv_lora_ / kGroup * 4),
             .scales = scales,
             .context = &form_};
  }
  LatentRows(const LatentRows&) = delete;  // form_ holds its own address
  LatentRows& operator=(const LatentRows&) = delete;

  [[nodiscard]] bool fp8() const { return form_.codes > 0; }
  [[nodiscard]] std::int64_t kv_lora() const { return kv_lora_; }
  [[nodiscard]] std::int64_t width() const { return width_; }
  [[nodiscard]] std::int64_t entry_bytes() const {
    return fp8() ? form_.rest_at + 2 * (width_ - kv_lora_) : 4 * width_;
  }
  // Of the request whose first row is `row`: all but its positions.
  [[nodiscard]] kernels::AttentionArgs args(std::int64_t row) const {
    kernels::AttentionArgs args;
    args.heads = static_cast<std::int32_t>(cell_.problem["heads"]);
    args.kv_lora = static_cast<std::int32_t>(kv_lora_);
    args.width = static_cast<std::int32_t>(width_);
    args.scale = kLatentScale;
    if (fp8()) {
      args.half_q = cell_.input<std::uint16_t>(0) + row * width_;
      args.coded = &form_;
      args.slot_bytes = entry_bytes();
    } else {
      args.q = cell_.input<float>(0) + row * width_;
    }
    return args;
  }
  [[nodiscard]] float* o() { return outputs_.o(); }
  void finish(std::int64_t row) const { outputs_.finish(row); }

 private:
  static constexpr std::int32_t kGroup = 128;

  static void scales(const void* context, const void* entry, float* to) {
    const auto& form = *static_cast<const kernels::CodedEntries*>(context);
    std::memcpy(to, static_cast<const std::uint8_t*>(entry) + form.codes,
                sizeof(float) * static_cast<std::size_t>(form.codes / form.group));
  }

  Cell cell_;
  std::int64_t kv_lora_;
  std::int64_t width_;
  FloatRows outputs_;
  kernels::CodedEntries form_;
};

}  // namespace dsbench::kernelbench::cpu
