#include "cli/experiment_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/overload_flags.h"
#include "core/text.h"
#include "loadgen/codec/codec.h"
#include "profiles/catalog.h"

namespace dsbench::cli {

bool is_law_flag(std::string_view flag, std::string_view value) {
  return flag == "--engine-executor" && value.starts_with(law_prefix);
}

// A flag that would change nothing is a misunderstanding, and better said than passed over.
Result<void> refuse_idle_engine_flags(const ExperimentOptions& o) {
  const bool ours = std::any_of(o.targets.begin(), o.targets.end(),
                                [](const std::string& target) { return target == "embedded"; });
  if (ours) return {};
  const bool simulated = is_sim(o.targets.front());
  if (simulated && o.calibrate_tokens)
    return fail(ErrorKind::usage, "--calibrate-tokens has no effect on --target {}; it has no tokeniser",
                o.target);
  if (simulated && !o.tokenizer.empty())
    return fail(ErrorKind::usage, "--tokenizer has no effect on --target {}; it makes no text", o.target);
  for (const auto& [flag, value] : o.engine.given) {
    if (simulated &&
        (flag == "--engine-max-queued" || flag == "--engine-queue-timeout" ||
         flag == "--engine-max-running" || is_law_flag(flag, value) || is_kv_flag(flag) ||
         is_overload_flag(std::string_view{flag}.substr(std::string_view{"--engine-"}.size())))) {
      continue;
    }
    return fail(ErrorKind::usage, "{} has no effect on --target {}; {}", flag, o.target,
                simulated
                    ? "a simulated fleet takes --engine-max-queued, --engine-queue-timeout, "
                      "--engine-max-running, --engine-executor cost:… and the flags of overload control, and "
                      "everything else from its profile"
                    : "it belongs to the engine that dsbench starts itself (--target embedded)");
  }
  if (simulated) DSBENCH_CHECK(refuse_idle_kv_flags(o.engine.kv, o.engine.given, sim_prefix));
  return {};
}

// Images have a place in some APIs only.
Result<void> refuse_unsendable_images(const ExperimentOptions& o, const profiles::WorkloadProfile& workload) {
  const auto classes = profiles::classes_of(workload);
  const bool any =
      std::any_of(classes.begin(), classes.end(), [](const auto& c) { return c.images.has_value(); });
  if (!any || is_sim(o.targets.front())) return {};
  DSBENCH_TRY(const auto codec,
              loadgen::make_codec({o.api, o.model.empty() ? "any" : o.model, o.exact_lengths, o.stream}));
  if (codec->takes_images()) return {};
  return fail(ErrorKind::usage,
              "the workload '{}' sends images, and the API {} has no place for them; accepted: --api chat, "
              "responses or anthropic",
              workload.name, o.api);
}

// The tokenizer that counts what the server does not.
Result<std::shared_ptr<const profiles::Tokenizer>> load_tokenizer(const ExperimentOptions& o) {
  if (o.tokenizer.empty()) return nullptr;
  DSBENCH_TRY(const auto codec,
              loadgen::make_codec({o.api, o.model.empty() ? "any" : o.model, o.exact_lengths, o.stream}));
  if (!codec->tells_text()) {
    return fail(
        ErrorKind::usage,
        "--tokenizer {} cannot count the answers of --api {}, whose text is not known; accepted are all "
        "APIs but sglang, which counts every token itself, and http",
        o.tokenizer, o.api);
  }
  std::filesystem::path path = o.tokenizer;
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) path /= "tokenizer.json";
  DSBENCH_TRY(auto made, profiles::Tokenizer::load(path));
  return std::make_shared<const profiles::Tokenizer>(std::move(made));
}

Result<void> check_targets(const ExperimentOptions& o) {
  for (const std::string& target : o.targets) {
    if (is_url(target) || is_sim(target) || target == "embedded") continue;
    return fail(
        ErrorKind::usage,
        "no target '{}'; accepted: embedded, http://host:port, https://host, or sim:FLEET (shipped: {})",
        target, join(profiles::shipped_names("fleet")));
  }
  const auto simulated = std::count_if(o.targets.begin(), o.targets.end(), is_sim);
  if (simulated != 0 && simulated != static_cast<std::ptrdiff_t>(o.targets.size())) {
    return fail(ErrorKind::usage,
                "the targets {} are of two worlds; either all are simulated (sim:FLEET) or none is",
                o.target);
  }
  if (o.api_keys.size() > 1 && o.api_keys.size() != o.targets.size()) {
    return fail(ErrorKind::usage,
                "{} keys were given for {} targets; give one --api-key for each, 'none' for one "
                "without",
                o.api_keys.size(), o.targets.size());
  }
  if (o.api_keys.size() == 1 && o.targets.size() > 1) {
    return fail(ErrorKind::usage,
                "one key was given for {} targets, and no service should be sent another's key; give one "
                "--api-key for each target in their order, 'none' for one without",
                o.targets.size());
  }
  return {};
}

}  // namespace dsbench::cli
