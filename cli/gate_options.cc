#include "cli/gate_options.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "cli/ceiling.h"
#include "cli/exit_codes.h"
#include "cli/flags.h"
#include "cli/progress.h"
#include "core/files.h"
#include "results/gate/outcome_page.h"
#include "results/gate/outputs.h"

namespace dsbench::cli {
namespace {

namespace gate = results::gate;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// "5%" or "0.05".
Result<double> parse_share(std::string_view text, std::string_view flag) {
  const bool percent = text.ends_with('%');
  const std::string_view digits = percent ? text.substr(0, text.size() - 1) : text;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (percent) value /= 100;
  if (error != std::errc{} || end != digits.data() + digits.size() || !(value >= 0 && value <= 10)) {
    return fail(ErrorKind::usage, "{} '{}' is no share; accepted: 5% or 0.05, from 0 to 1000%", flag, text);
  }
  return value;
}

// To the end of a file that other steps write to as well.
Result<void> append(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return fail(ErrorKind::io, "cannot append to {}: {}", path, std::strerror(errno));
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int why = errno;
      ::close(fd);
      return fail(ErrorKind::io, "cannot append to {}: {}", path, std::strerror(why));
    }
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  ::close(fd);
  return {};
}

}  // namespace

std::vector<std::string> split_list(const std::vector<std::string>& given) {
  std::vector<std::string> words;
  for (const std::string& text : given) {
    for (std::size_t from = 0; from <= text.size();) {
      const std::size_t to = std::min(text.find(',', from), text.size());
      if (to > from) words.push_back(text.substr(from, to - from));
      from = to + 1;
    }
  }
  return words;
}

void add_judge_flags(CLI::App& app, GateFlags& f) {
  const std::string group = "Judging";
  app.add_option(
         "--margin", f.margins,
         "what is too small a change to matter: 5%, or of one metric, 'p99 ttft=8%'; any number of times")
      ->type_name("P|METRIC=P")
      ->default_str("3% for kernels, 5% for runs")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option(
         "--metric", f.metrics,
         "gate this metric, as in 'p95 ttft', 'climb: p50 tpot', 'knee' or 'BM_*'; any number of times")
      ->type_name("NAME")
      ->default_str(
          "load: p50 ttft, p99 ttft, p50 tpot, p50 e2e, good_rate; rehearse: knee, peak_good_rate, "
          "recovery_time; kernels: all")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--alpha", f.alpha,
                 "chance of calling any metric of two identical builds, over all metrics and looks")
      ->check(CLI::Range(1e-6, 0.5))
      ->type_name("P")
      ->capture_default_str()
      ->group(group);
  app.add_option(
         "--require", f.requirements,
         "an absolute bound on every candidate run, as in 'p99 ttft <= 2s' (docs/load.md); no data is a "
         "failure; any number of times")
      ->type_name("BOUND")
      ->default_str("none")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--allow-mismatch", f.allow, "keys that may differ between runs, as in server_flags,model")
      ->type_name("KEY,...")
      ->default_str("none")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--inconclusive", f.inconclusive, "what it means that the evidence does not decide")
      ->check(CLI::IsMember({"fail", "pass", "warn"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--noise", f.noise, "where `gate selftest` keeps the noise floors; 'none': know of none")
      ->type_name("FILE")
      ->default_str("gate-noise.json beside the ceiling of `dsbench doctor`")
      ->group(group);
}

void add_output_flags(CLI::App& app, GateFlags& f) {
  const std::string group = "Output";
  app.add_flag("--json", f.json, "print the outcome as JSON instead of the table")->group(group);
  app.add_flag("--quiet", f.quiet, "no progress on stderr")->group(group);
  const auto file = [&](const char* flag, std::string& value, const char* help) {
    app.add_option(flag, value, help)->type_name("FILE")->default_str("none")->group(group);
  };
  file(
      "--html", f.html,
      "write the page of `dsbench report`: both sides over each other; `gate run` keeps one beside its runs");
  file("--junit", f.junit, "write JUnit XML");
  file("--markdown", f.markdown,
       "write Markdown; appended to $GITHUB_STEP_SUMMARY as well, where that is set");
  file("--bmf", f.bmf, "write Bencher Metric Format");
  file("--github-benchmark", f.github_smaller,
       "write what github-action-benchmark takes as customSmallerIsBetter");
  file("--github-benchmark-bigger", f.github_bigger, "the same for the metrics of which more is better");
}

void add_runs_flags(CLI::App& app, RunsFlags& f) {
  const std::string group = "Runs";
  add_count(app, "--runs", f.runs, 2, 1000, "runs of each side before the first look")->group(group);
  app.add_option("--max-runs", f.max_runs,
                 "runs of each side while the evidence does not decide; up to three looks")
      ->check(CLI::Range(2, 3000))
      ->type_name("N")
      ->default_str("as many as --runs: one look")
      ->group(group);
  app.add_option("--confirm", f.confirm, "fresh runs of each side before a regression is believed; 0: none")
      ->check(CLI::Range(0, 1000))
      ->type_name("N")
      ->default_str("half of --runs")
      ->group(group);
  app.add_option("--spending", f.spending, "how the error level is split over several looks")
      ->check(CLI::IsMember({"pocock", "obrien-fleming"}))
      ->capture_default_str()
      ->group(group);
}

Result<gate::Sequence> sequence_of(const RunsFlags& f, double alpha) {
  const auto runs = static_cast<std::size_t>(f.runs);
  return gate::plan_sequence(runs, f.max_runs == 0 ? runs : static_cast<std::size_t>(f.max_runs), alpha,
                             f.spending == "pocock" ? gate::Spending::pocock : gate::Spending::obrien_fleming,
                             f.confirm < 0 ? (runs + 1) / 2 : static_cast<std::size_t>(f.confirm));
}

Result<gate::JudgeSettings> settings_of(const GateFlags& f) {
  gate::JudgeSettings settings;
  settings.alpha = f.alpha;
  settings.metrics = f.metrics;
  for (const std::string& text : f.margins) {
    const std::size_t equals = text.rfind('=');
    DSBENCH_TRY(
        const double share,
        parse_share(std::string_view{text}.substr(equals == std::string::npos ? 0 : equals + 1), "--margin"));
    if (equals == std::string::npos) {
      if (settings.margin)
        return fail(ErrorKind::usage, "--margin '{}': a margin of all metrics was given already", text);
      settings.margin = share;
    } else if (!settings.margins.emplace(text.substr(0, equals), share).second) {
      return fail(ErrorKind::usage, "--margin '{}': a margin of this metric was given already", text);
    }
  }
  return settings;
}

std::string noise_path(const GateFlags& f) {
  if (f.noise == "none") return "";
  if (!f.noise.empty()) return f.noise;
  const auto ceiling = ceiling_path();
  return ceiling.empty() ? "" : (ceiling.parent_path() / "gate-noise.json").string();
}

std::string gate_page(const gate::Outcome& outcome, const std::filesystem::path& folder) {
  return gate::render_page(outcome, gate::view_side(outcome, false, folder),
                           gate::view_side(outcome, true, folder));
}

int exit_code_of(const gate::Outcome& outcome, const GateFlags& flags) {
  switch (outcome.overall) {
    case gate::Overall::invalid:
      return exit_invalid;
    case gate::Overall::regressed:
      return exit_regression;
    case gate::Overall::slo_missed:
      return exit_slo_missed;
    case gate::Overall::inconclusive:
      return flags.inconclusive == "fail" ? exit_inconclusive : exit_ok;
    case gate::Overall::passed:
      break;
  }
  return exit_ok;
}

Result<int> publish(const gate::Outcome& outcome, const GateFlags& f) {
  if (f.json) {
    fmt::print("{}", gate::render_json(outcome));
  } else {
    fmt::print("{}", gate::render_text(outcome, wants_colour(STDOUT_FILENO)));
  }
  std::fflush(stdout);
  if (outcome.overall == gate::Overall::inconclusive && f.inconclusive == "warn")
    fmt::print(stderr, "dsbench gate: warning: {}\n", outcome.sentence);
  if (!f.html.empty()) DSBENCH_CHECK(write_file_atomically(f.html, gate_page(outcome)));
  if (!f.junit.empty()) DSBENCH_CHECK(write_file_atomically(f.junit, gate::render_junit(outcome)));
  if (!f.markdown.empty()) DSBENCH_CHECK(write_file_atomically(f.markdown, gate::render_markdown(outcome)));
  if (!f.bmf.empty()) DSBENCH_CHECK(write_file_atomically(f.bmf, gate::render_bmf(outcome)));
  if (!f.github_smaller.empty())
    DSBENCH_CHECK(
        write_file_atomically(f.github_smaller, gate::render_github_benchmark(outcome, gate::Better::lower)));
  if (!f.github_bigger.empty())
    DSBENCH_CHECK(
        write_file_atomically(f.github_bigger, gate::render_github_benchmark(outcome, gate::Better::higher)));
  if (const std::string summary = environment("GITHUB_STEP_SUMMARY"); !summary.empty())
    DSBENCH_CHECK(append(summary, gate::render_markdown(outcome) + "\n"));
  // The runner reads its commands from both streams; stdout may be JSON.
  if (environment("GITHUB_ACTIONS") == "true") fmt::print(stderr, "{}", gate::render_annotations(outcome));
  return exit_code_of(outcome, f);
}

}  // namespace dsbench::cli
