#include "cli/weights_flags.h"

#include "cli/flags.h"
#include "engine/kernels/weight_type_name.h"

namespace dsbench::cli {

void add_weights_flags(CLI::App& app, WeightsOptions& o, const std::string& prefix,
                       const std::string& group) {
  add_text(app, "--" + prefix + "weights", o.type, "fp32|bf16|int8",
           "how --executor cpu keeps weights; int8: a scale per output channel, and activations rounded to "
           "int8 row by row")
      ->group(group);
  app.add_option("--" + prefix + "pin", o.pin,
                 "keep each engine thread on a processor of its own; for a machine that does nothing else")
      ->type_name("true|false")
      ->default_str("false")
      ->group(group);
}

Result<engine::kernels::WeightType> weight_type(const WeightsOptions& options) {
  if (const auto type = engine::kernels::weight_type_named(options.type)) return *type;
  return fail(ErrorKind::usage, "no weights '{}'; accepted: fp32, bf16, int8", options.type);
}

Result<void> refuse_idle_weights_flags(const std::vector<std::pair<std::string, std::string>>& given,
                                       std::string_view executor) {
  if (executor == "cpu") return {};
  for (const auto& [flag, value] : given) {
    if (flag.ends_with("-weights") || flag.ends_with("-pin")) {
      return fail(ErrorKind::usage, "{} has no effect on --executor {}; it belongs to --executor cpu", flag,
                  executor);
    }
  }
  return {};
}

}  // namespace dsbench::cli
