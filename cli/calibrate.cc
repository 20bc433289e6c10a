#include "cli/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit_codes.h"
#include "cli/flags.h"
#include "cli/refuse.h"
#include "core/files.h"
#include "core/text.h"
#include "engine/step_log_reader.h"
#include "kernelbench/report/results_file.h"
#include "kernelbench/report/table.h"
#include "kernelbench/step_law.h"
#include "profiles/hardware_profile.h"
#include "profiles/model_profile.h"
#include "profiles/step_law_fit.h"

namespace dsbench::cli {
namespace {

using profiles::HardwareProfile;
using profiles::Parameter;
using profiles::Provenance;

struct CalibrateOptions {
  std::vector<std::string> steps;
  std::string kernels;
  std::string model = "tiny";
  std::string dtype = "f32";
  std::string like = "laptop-tiny";
  std::string name = "calibrated";
  std::string out;
  std::optional<std::int32_t> kv_tokens, block_size, max_running, max_batched_tokens, max_model_len;
  bool json = false;
};

// The law with what there is to say of it.
struct Calibration {
  profiles::StepLawFit fit;
  std::string source;  // of the four parameters
  std::vector<kernelbench::KernelStepLaw::Share> shares;
};

Result<Calibration> from_steps(const CalibrateOptions& o) {
  std::vector<profiles::StepSample> samples;
  for (const std::string& path : o.steps) {
    DSBENCH_TRY(const std::vector<engine::StepRecord> steps, engine::read_step_log(path));
    for (const engine::StepRecord& s : steps) {
      // A step of nothing, and one that an injected fault made instant, are no evidence.
      if (s.duration <= Nanos{0} || s.prefill_tokens + s.decode_tokens == 0) continue;
      samples.push_back({.prefill_tokens = static_cast<double>(s.prefill_tokens),
                         .decode_tokens = static_cast<double>(s.decode_tokens),
                         .kv_tokens = static_cast<double>(s.kv_tokens),
                         .seconds = to_seconds(s.duration)});
    }
  }
  Calibration c;
  auto fit = profiles::fit_step_law(samples);
  if (!fit) return fail(ErrorKind::usage, "{}: {}", o.steps.front(), fit.error().message);
  c.fit = *fit;
  c.source = fmt::format(
      "least squares over {} engine steps ({} more dropped as outliers); relative error of a step: median "
      "{:.1f} %, p90 {:.1f} %; on steps "
      "that the fit did not see: {:.1f} %, {:.1f} %",
      c.fit.steps, c.fit.dropped, 100 * c.fit.median_error, 100 * c.fit.p90_error,
      100 * c.fit.held_out_median_error, 100 * c.fit.held_out_p90_error);
  return c;
}

Result<Calibration> from_kernels(const CalibrateOptions& o, const HardwareProfile& like) {
  DSBENCH_TRY(const std::string text, read_file(o.kernels));
  DSBENCH_TRY(const kernelbench::KernelRun run, kernelbench::parse_results(text, o.kernels));
  DSBENCH_TRY(const profiles::ModelProfile model, profiles::load_model_profile(o.model));
  kernelbench::StepRange range{
      .max_prefill_tokens = like.max_batched_tokens.value,
      .max_decode_tokens = like.max_running.value,
      .max_context = std::min(like.max_model_len.value, like.kv_capacity_tokens.value),
      .max_kv_tokens = like.kv_capacity_tokens.value};
  DSBENCH_TRY(kernelbench::KernelStepLaw law, kernelbench::step_law_from_kernels(run, model, o.dtype, range));
  Calibration c;
  c.fit = law.fit;
  c.shares = std::move(law.shares);
  std::string machine = "an unnamed machine";
  for (const auto& [key, value] : run.facts) {
    if (key == "gpu" || (key == "cpu_model" && machine == "an unnamed machine")) machine = value;
  }
  std::string beyond;
  for (const auto& share : c.shares) {
    if (share.beyond) beyond += (beyond.empty() ? "; beyond the measured sizes: " : ", ") + share.op;
  }
  c.source = fmt::format(
      "sum of measured kernels ({}) over the layers of {} with {} products on {}; the law meets such sums "
      "within {:.1f} % (median) and "
      "{:.1f} % (p90); without scheduler, server, communication and overlap{}",
      std::filesystem::path(o.kernels).filename().string(), model.name, o.dtype, machine,
      100 * c.fit.median_error, 100 * c.fit.p90_error, beyond);
  return c;
}

HardwareProfile with_capacity(const CalibrateOptions& o, HardwareProfile hardware) {
  const std::string from = hardware.name;
  for (Parameter* p : {&hardware.kv_capacity_tokens, &hardware.block_size, &hardware.max_running,
                       &hardware.max_batched_tokens, &hardware.max_model_len})
    p->source = fmt::format("as in {}: {}", from, p->source);
  const auto given = [](Parameter& p, const std::optional<std::int32_t>& value) {
    if (value)
      p = {.value = static_cast<double>(*value),
           .provenance = Provenance::assumed,
           .source = "given to dsbench calibrate"};
  };
  given(hardware.kv_capacity_tokens, o.kv_tokens);
  given(hardware.block_size, o.block_size);
  given(hardware.max_running, o.max_running);
  given(hardware.max_batched_tokens, o.max_batched_tokens);
  given(hardware.max_model_len, o.max_model_len);
  return hardware;
}

HardwareProfile with_law(HardwareProfile hardware, const Calibration& c, const std::string& name,
                         const std::string& description) {
  hardware.name = name;
  hardware.description = description;
  const auto measured = [&](double value) {
    return Parameter{.value = value, .provenance = Provenance::measured, .source = c.source};
  };
  hardware.base_s = measured(c.fit.base_s);
  hardware.prefill_token_s = measured(c.fit.prefill_token_s);
  hardware.decode_token_s = measured(c.fit.decode_token_s);
  hardware.kv_token_s = measured(c.fit.kv_token_s);
  const auto range = [](double value) {
    return Parameter{.value = std::max(1.0, value),
                     .provenance = Provenance::measured,
                     .source = "the largest step that the law was fitted to"};
  };
  hardware.max_prefill_tokens = range(c.fit.max_prefill_tokens);
  hardware.max_decode_tokens = range(c.fit.max_decode_tokens);
  hardware.max_kv_tokens = range(c.fit.max_kv_tokens);
  return hardware;
}

std::string render(const HardwareProfile& hardware, const Calibration& c) {
  using kernelbench::format_seconds;
  std::string text =
      fmt::format("step time = {} + {} · prompt tokens + {} · decoding sequences + {} · KV tokens\n",
                  format_seconds(c.fit.base_s), format_seconds(c.fit.prefill_token_s),
                  format_seconds(c.fit.decode_token_s), format_seconds(c.fit.kv_token_s));
  text += fmt::format(
      "fitted to {} steps of up to {:.0f} prompt tokens, {:.0f} sequences, {:.0f} KV tokens ({} outliers "
      "dropped)\n",
      c.fit.steps, c.fit.max_prefill_tokens, c.fit.max_decode_tokens, c.fit.max_kv_tokens, c.fit.dropped);
  text += fmt::format(
      "relative error of a step: median {:.1f} %, p90 {:.1f} %; of steps not fitted: {:.1f} %, {:.1f} %\n",
      100 * c.fit.median_error, 100 * c.fit.p90_error, 100 * c.fit.held_out_median_error,
      100 * c.fit.held_out_p90_error);
  const double running = hardware.max_running.value;
  const double full =
      c.fit.base_s + running * c.fit.decode_token_s + hardware.kv_capacity_tokens.value * c.fit.kv_token_s;
  if (full > 0)
    text += fmt::format("a full decode step ({:.0f} sequences, {:.0f} KV tokens): {}, {:.0f} tokens/s\n",
                        running, hardware.kv_capacity_tokens.value, format_seconds(full), running / full);
  if (!c.shares.empty()) {
    double sum = 0;
    for (const auto& s : c.shares) sum += s.seconds;
    text += "\nwhere a full decode step goes\n";
    for (const auto& s : c.shares) {
      text += fmt::format("  {:<18} {:>10}  {:>5.1f} %  {}{}\n", s.op, format_seconds(s.seconds),
                          100 * s.seconds / sum,
                          s.at_roofline ? "no cell: taken at its roofline"
                                        : fmt::format("at {:.0f} % of its roofline", 100 * s.efficiency),
                          s.beyond ? ", beyond the sizes that were measured" : "");
    }
  }
  return text;
}

int calibrate(const CalibrateOptions& o) {
  if (o.steps.empty() == o.kernels.empty())
    return refuse("calibrate", {ErrorKind::usage,
                                "give either --from-steps (what dsbench serve --step-log wrote) or "
                                "--from-kernels (what dsbench kernels --out wrote)"});
  auto like = profiles::load_hardware(o.like);
  if (!like) return refuse("calibrate", like.error());
  const HardwareProfile capacity = with_capacity(o, std::move(*like));
  auto calibration = o.steps.empty() ? from_kernels(o, capacity) : from_steps(o);
  if (!calibration) return refuse("calibrate", calibration.error());
  const std::string description =
      o.steps.empty()
          ? fmt::format("Made by dsbench calibrate from kernel results ({}) for model {}. Capacity as in {}.",
                        std::filesystem::path(o.kernels).filename().string(), o.model, o.like)
          : fmt::format("Made by dsbench calibrate from an engine's step log. Capacity as in {}.", o.like);
  const HardwareProfile hardware = with_law(capacity, *calibration, o.name, description);
  const std::string text = profiles::print_hardware(hardware);
  // What is written must be what serve and sim: accept.
  if (auto again = profiles::parse_hardware(text, "the profile"); !again)
    return refuse("calibrate", again.error());
  if (o.json) {
    fmt::print("{}", text);
  } else {
    fmt::print("{}", render(hardware, *calibration));
  }
  if (!o.out.empty()) {
    if (const auto written = write_file_atomically(o.out, text); !written)
      return refuse("calibrate", written.error());
    fmt::print(stderr, "profile: {} (dsbench serve --executor cost:{})\n", o.out, o.out);
  }
  return exit_ok;
}

}  // namespace

void add_calibrate(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* verb = app.add_subcommand(
      "calibrate", "fit the step-time law from an engine's step log or from kernel results");
  verb->footer(
      "Examples:\n"
      "  dsbench serve --step-log steps.csv                                  serve some load, then\n"
      "  dsbench calibrate --from-steps steps.csv --out mine.json            the law of this engine here\n"
      "  dsbench kernels --out kernels.json\n"
      "  dsbench calibrate --from-kernels kernels.json --model v2-lite --out v2-lite.json\n"
      "  dsbench serve --executor cost:./mine.json                           behaves like it");
  CalibrateOptions& o = *options;
  verb->add_option("--from-steps", o.steps, "step logs of dsbench serve; several are fitted together")
      ->type_name("FILE")
      ->default_str("none");
  verb->add_option("--from-kernels", o.kernels, "a result of dsbench kernels")
      ->type_name("FILE")
      ->default_str("none");
  add_text(*verb, "--model", o.model, "NAME|FILE",
           "with --from-kernels: the model whose step is put together");
  verb->add_option("--dtype", o.dtype, "with --from-kernels: of the dense products and the experts")
      ->check(CLI::IsMember({"f32", "f32.bf16", "int8", "bf16", "fp8"}))
      ->capture_default_str();
  add_text(*verb, "--like", o.like, "NAME|FILE", "hardware profile that capacity and bounds are taken from");
  add_text(*verb, "--name", o.name, "NAME", "of the profile that is written");
  add_count(*verb, "--kv-tokens", o.kv_tokens, 1, 2'000'000'000, "capacity of the KV cache", "as in --like");
  add_count(*verb, "--block-size", o.block_size, 1, 65536, "tokens of a KV block", "as in --like");
  add_count(*verb, "--max-running", o.max_running, 1, 1'000'000, "sequences in a step", "as in --like");
  add_count(*verb, "--max-batched-tokens", o.max_batched_tokens, 1, 10'000'000, "tokens in a step",
            "as in --like");
  add_count(*verb, "--max-model-len", o.max_model_len, 1, 100'000'000, "tokens of a sequence",
            "as in --like");
  verb->add_option("--out", o.out, "write the hardware profile here")
      ->type_name("FILE")
      ->default_str("nowhere");
  verb->add_flag("--json", o.json, "the profile on stdout in place of the summary");
  verb->callback([options, &chosen] { chosen = [options] { return calibrate(*options); }; });
}

}  // namespace dsbench::cli
