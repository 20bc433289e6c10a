#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "profiles/json_object.h"
#include "profiles/parameter.h"

namespace dsbench::profiles {

// What a step costs on some hardware, and how much of it there is. Schema "dsbench.hardware/1".
//
//   step time [s] = base + prefill_token · P + decode_token · D + kv_token · K
//
// with P tokens of prompt (or of recomputing) in the step, D sequences that compute their newest token, and K
// the sum of their context lengths after the step. Non-goals: the quadratic part of long prefills, and
// communication that depends on routing.
struct HardwareProfile {
  std::string name;
  std::string description;

  Parameter base_s;
  Parameter prefill_token_s;
  Parameter decode_token_s;
  Parameter kv_token_s;

  // The range of P, D and K in which the law was measured. Beyond it a simulation says that it extrapolates.
  Parameter max_prefill_tokens;
  Parameter max_decode_tokens;
  Parameter max_kv_tokens;

  // What fits, and the scheduler's bounds that go with it.
  Parameter kv_capacity_tokens;
  Parameter block_size;
  Parameter max_running;
  Parameter max_batched_tokens;
  Parameter max_model_len;

  // Every parameter with its name as in the file ("step_time.base_s"), for reports that must show where
  // numbers came from.
  void each_parameter(const std::function<void(std::string_view name, const Parameter&)>& f) const;
};

// By shipped name or by path.
[[nodiscard]] Result<HardwareProfile> load_hardware(std::string_view name_or_path);
[[nodiscard]] Result<HardwareProfile> parse_hardware(std::string_view text, const std::string& source);
// The fields of an object that stands inside another document (no schema of its own); complaints go to its
// root.
[[nodiscard]] HardwareProfile read_hardware(JsonObject& object);
// A text that parse_hardware() reads back: what `calibrate` writes.
[[nodiscard]] std::string print_hardware(const HardwareProfile& profile);

}  // namespace dsbench::profiles
