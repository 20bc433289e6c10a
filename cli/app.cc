#include "cli/app.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/calibrate.h"
#include "cli/doctor.h"
#include "cli/exit_codes.h"
#include "cli/experiment.h"
#include "cli/gate.h"
#include "cli/kernels.h"
#include "cli/load.h"
#include "cli/merge.h"
#include "cli/profile.h"
#include "cli/rehearse.h"
#include "cli/report.h"
#include "cli/serve.h"
#include "core/text.h"
#include "core/version.h"

namespace dsbench::cli {
namespace {

constexpr std::array<std::string_view, 10> verbs{"rehearse", "load",   "serve", "kernels", "calibrate",
                                                 "gate",     "report", "merge", "profile", "doctor"};

std::string exit_code_footer() {
  std::string text = "Exit codes:\n";
  for (const auto& [code, sentence] : exit_code_texts)
    text += fmt::format("  {:>3}  {}\n", static_cast<int>(code), sentence);
  return text;
}

bool has_subcommand(const CLI::App& app, std::string_view verb, std::string_view name) {
  for (const CLI::App* one : app.get_subcommands([&](const CLI::App* a) { return a->get_name() == verb; })) {
    if (!one->get_subcommands([&](const CLI::App* a) { return a->get_name() == name; }).empty()) return true;
  }
  return false;
}

// CLI11's own codes (100 to 127) never leave us.
int explain(const CLI::App& app, const CLI::ParseError& e, int argc, char** argv) {
  if (e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(e);
  fmt::print(stderr, "dsbench: {}\n", e.what());
  if (argc > 1) {
    const std::string_view first = argv[1];
    const bool is_verb = std::find(verbs.begin(), verbs.end(), first) != verbs.end();
    const std::string_view near = nearest_word(first, verbs);
    if (!is_verb && !first.starts_with("-")) {
      fmt::print(stderr, "dsbench: there is no verb '{}'; accepted: {}{}\n", first, join(verbs),
                 near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
    } else if (is_verb) {
      fmt::print(stderr, "See: dsbench {}{} --help\n", first,
                 argc > 2 && has_subcommand(app, first, argv[2]) ? fmt::format(" {}", argv[2]) : "");
      return exit_usage;
    }
  }
  fmt::print(stderr, "See: dsbench --help\n");
  return exit_usage;
}

}  // namespace

int run(int argc, char** argv) {
  CLI::App app{"Finds where an LLM service collapses, before release day does.", "dsbench"};
  app.set_version_flag("--version", fmt::format("dsbench {} ({}, {})", version(), commit(), build()));
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  dsbench rehearse                                  the reference engine, started for you\n"
      "  dsbench rehearse --target http://127.0.0.1:8000   anything that speaks OpenAI's API\n"
      "  dsbench rehearse --target sim:laptop --seed 7     the same in virtual time\n"
      "  dsbench report RUN1 RUN2 --out both.html          two runs in one picture\n\n" +
      exit_code_footer());
  std::function<int()> chosen;
  const std::vector<std::string> command = recorded_command(argc, argv);
  add_rehearse(app, chosen, command);
  add_load(app, chosen, command);
  add_serve(app, chosen);
  add_kernels(app, chosen, command);
  add_calibrate(app, chosen);
  add_gate(app, chosen);
  add_report(app, chosen);
  add_merge(app, chosen);
  add_profile(app, chosen);
  add_doctor(app, chosen);
  if (argc < 2) {
    fmt::print(stderr, "{}", app.help());
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
    return chosen();
  } catch (const CLI::ParseError& e) {
    return explain(app, e, argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr,
               "dsbench: internal error: {}\nThis is a bug; please report it with the command line.\n",
               e.what());
    return exit_internal;
  }
}

}  // namespace dsbench::cli
