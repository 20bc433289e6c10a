#include "cli/doctor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/ceiling.h"
#include "cli/exit_codes.h"
#include "cli/flags.h"
#include "cli/measure_ceiling.h"
#include "cli/progress.h"
#include "cli/refuse.h"
#include "cli/signals.h"
#include "core/text.h"
#include "loadgen/wire/host_checks.h"

namespace dsbench::cli {
namespace {

using loadgen::CheckState;
using loadgen::HostCheck;

struct DoctorOptions {
  bool ceiling = false;
  std::int32_t seconds = 3;
  std::int32_t threads = 1;
  bool json = false;
  bool quiet = false;
};

std::string coloured(CheckState state, bool colour) {
  const std::string word = fmt::format("{:<8}", loadgen::to_word(state));
  if (!colour || state == CheckState::unknown) return word;
  const int code = state == CheckState::ok ? 32 : state == CheckState::warning ? 33 : 31;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, word);
}

std::string render(const std::vector<HostCheck>& checks, bool colour) {
  std::string text;
  for (const HostCheck& c : checks) {
    text += fmt::format("{} {:<22} {}\n", coloured(c.state, colour), c.name, c.found);
    const auto more = [&](const char* word, const std::string& what) {
      if (!what.empty()) text += fmt::format("{:31} {:<7} {}\n", "", word, what);
    };
    more("wanted", c.wanted);
    more("why", c.why);
    more("fix", c.fix);
  }
  return text;
}

std::string render(const Ceiling& c) {
  const auto rate = [](Rate r) { return fmt::format("{:.0f}/s", r.per_second()); };
  return fmt::format(
      "ceiling of the generator here ({} issuer thread{}, {} cores, everything recorded)\n"
      "  requests            {}{}\n"
      "  SSE events          {} one to a packet, {} with 64 to a packet\n"
      "  streams             {} at once, {:.0f} events/s each\n"
      "  send lag            p50 {}, p99 {} at {}; a thread that only sleeps: p99 {}\n",
      c.threads, c.threads == 1 ? "" : "s", c.cores, rate(c.requests),
      c.requests_limited_by == "generator" ? ""
                                           : fmt::format(" ({})", c.requests_limited_by == "null server"
                                                                      ? "limited by the null server"
                                                                      : "the search ended before the limit"),
      rate(c.events), rate(c.packed_events), c.streams, c.stream_events.per_second(),
      format_duration(c.send_lag_p50), format_duration(c.send_lag_p99), rate(c.lag_rate),
      format_duration(c.platform_jitter_p99));
}

std::string sentence(CheckState worst) {
  switch (worst) {
    case CheckState::bad:
      return "A measurement here would be invalid: put right what is bad.";
    case CheckState::warning:
      return "A measurement here is possible; mind the warnings.";
    default:
      return "Nothing here would spoil a measurement.";
  }
}

std::string to_json(const std::vector<HostCheck>& checks, const std::optional<Ceiling>& ceiling) {
  nlohmann::ordered_json json;
  json["schema"] = "dsbench.doctor/1";
  json["state"] = loadgen::to_word(loadgen::worst_of(checks));
  json["checks"] = nlohmann::ordered_json::array();
  for (const HostCheck& c : checks) {
    json["checks"].push_back({{"name", c.name},
                              {"state", loadgen::to_word(c.state)},
                              {"found", c.found},
                              {"wanted", c.wanted},
                              {"why", c.why},
                              {"fix", c.fix}});
  }
  if (ceiling) json["ceiling"] = nlohmann::ordered_json::parse(print_ceiling(*ceiling));
  return json.dump(2) + "\n";
}

int doctor(const DoctorOptions& options) {
  std::atomic<bool>& stop = handle_signals();
  Progress progress{options.quiet};
  const std::vector<HostCheck> checks = loadgen::check_host();
  std::optional<Ceiling> ceiling;
  if (options.ceiling) {
    CeilingOptions how;
    how.per_figure = std::chrono::seconds{options.seconds};
    how.threads = options.threads;
    progress.line(fmt::format("measuring five figures, about {} s", 12 * options.seconds));
    auto measured = measure_ceiling(how, stop, progress);
    progress.clear();
    if (!measured) {
      if (const int code = signal_exit_code(); code != 0) return code;
      return refuse("doctor", measured.error());
    }
    ceiling = std::move(*measured);
    if (const auto written = write_ceiling(ceiling_path(), *ceiling); !written) {
      return refuse("doctor", written.error());
    }
  }
  const CheckState worst = loadgen::worst_of(checks);
  if (options.json) {
    fmt::print("{}", to_json(checks, ceiling));
  } else {
    fmt::print("{}\n", render(checks, wants_colour(STDOUT_FILENO)));
    if (ceiling) fmt::print("{}  kept in             {}\n\n", render(*ceiling), ceiling_path().string());
    fmt::print("{}\n", sentence(worst));
  }
  return worst == CheckState::bad ? exit_invalid : exit_ok;
}

}  // namespace

void add_doctor(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* verb = app.add_subcommand(
      "doctor", "what on this machine would spoil a measurement; the generator's own ceiling");
  verb->footer(
      "Examples:\n"
      "  dsbench doctor                 descriptors, ports, clocks, timers, quotas: found, wanted, why, fix\n"
      "  dsbench doctor --ceiling       how much the generator itself can do here; about 40 s\n"
      "Ends with 7 when something is bad: a measurement would be invalid. See docs/doctor.md");
  verb->add_flag(
      "--ceiling", options->ceiling,
      "measure the generator against a server that does nothing, and keep the result for later runs");
  add_count(*verb, "--seconds", options->seconds, 1, 60, "with --ceiling: scales the length of the trials");
  add_count(*verb, "--threads", options->threads, 1, 256, "with --ceiling: issuer threads");
  verb->add_flag("--json", options->json, "print JSON instead of text");
  verb->add_flag("--quiet", options->quiet, "no progress on stderr");
  verb->callback([options, &chosen] { chosen = [options] { return doctor(*options); }; });
}

}  // namespace dsbench::cli
