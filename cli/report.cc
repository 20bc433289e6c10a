#include "cli/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit_codes.h"
#include "cli/gate_options.h"
#include "cli/rebuild.h"
#include "cli/refuse.h"
#include "core/files.h"
#include "core/text.h"
#include "kernelbench/report/html.h"
#include "kernelbench/report/results_file.h"
#include "kernelbench/report/table.h"
#include "results/gate/outcome_file.h"
#include "results/gate/outputs.h"
#include "results/interop/export.h"
#include "results/interop/import.h"
#include "results/report/report.h"
#include "results/run_directory.h"
#include "results/run_file.h"

namespace dsbench::cli {
namespace {

struct ReportOptions {
  std::vector<std::string> runs;
  std::vector<std::string> labels;
  std::string format = "html";
  std::string out;
  std::string exported, stage;
};

// `what` it is, for the line that says where it went.
int write_out(const std::string& out, const std::string& text, std::string_view what = "report") {
  if (out == "-") {
    fmt::print("{}", text);
    return exit_ok;
  }
  if (const auto written = write_file_atomically(out, text); !written)
    return refuse("report", written.error());
  fmt::print(stderr, "{}: {}\n", what, out);
  return exit_ok;
}

bool is_kernel_result(const std::string& path) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return false;
  const auto text = read_file(path);
  return text && text->find(R"("dsbench.kernels/)") != std::string::npos;
}

// A result of dsbench kernels is a file, not a run directory.
int report_kernels(const ReportOptions& o) {
  if (o.runs.size() != 1) {
    return refuse(
        "report",
        {ErrorKind::usage,
         fmt::format("{} results, one of them of dsbench kernels: a kernel result is rendered alone; "
                     "dsbench kernels --compare sets two side by side",
                     o.runs.size())});
  }
  const std::string& path = o.runs.front();
  const auto text = read_file(path);
  if (!text) return refuse("report", text.error());
  const auto run = kernelbench::parse_results(*text, path);
  if (!run) return refuse("report", run.error());
  const std::string out = !o.out.empty() ? o.out
                          : o.format != "html"
                              ? "-"
                              : std::filesystem::path(path).replace_extension(".html").string();
  return write_out(out, o.format == "html"       ? kernelbench::render_kernels_html(*run)
                        : o.format == "markdown" ? kernelbench::render_kernels_markdown(*run)
                        : o.format == "json"     ? *text
                                                 : kernelbench::render_table(*run));
}

bool is_gate(const std::string& path) {
  return !results::gate::find_outcome(path).empty();
}

// What a gate came to: gate.json, or the folder of `gate run` that holds it.
int report_gate(const ReportOptions& o) {
  namespace gate = results::gate;
  if (o.runs.size() != 1) {
    return refuse("report", {ErrorKind::usage,
                             fmt::format("{} results, one of them of dsbench gate: a gate has both its sides "
                                         "and is rendered alone",
                                         o.runs.size())});
  }
  if (!o.labels.empty())
    return refuse("report", {ErrorKind::usage,
                             "--label has no effect on a gate: its sides are baseline and candidate"});
  const auto path = gate::find_outcome(o.runs.front());
  const auto text = read_file(path);
  if (!text) return refuse("report", text.error());
  const auto outcome = gate::parse_outcome(*text, path.string());
  if (!outcome) return refuse("report", outcome.error());
  const std::string out = !o.out.empty() ? o.out
                          : o.format != "html"
                              ? "-"
                              : std::filesystem::path(path).replace_extension(".html").string();
  return write_out(out, o.format == "html"       ? gate_page(*outcome, path.parent_path())
                        : o.format == "markdown" ? gate::render_markdown(*outcome)
                        : o.format == "json"     ? *text
                                                 : gate::render_text(*outcome, false));
}

int write_export(const ReportOptions& o) {
  if (o.runs.size() != 1)
    return refuse("report", {ErrorKind::usage,
                             fmt::format("--export takes one run, and {} were given", o.runs.size())});
  const auto found = results::find_run_directory(o.runs.front());
  if (!found) return refuse("report", found.error());
  const auto run = results::read_run(found->run_json());
  if (!run) return refuse("report", run.error());
  const auto text = results::export_run(*run, *found, o.exported, o.stage);
  if (!text) return refuse("report", text.error());
  return write_out(o.out.empty() ? "-" : o.out, *text, o.exported);
}

// A run that was cut off has records and no run.json: one is made of them, and rendered as any other.
Result<void> rebuild_what_was_cut_off(const std::vector<std::string>& runs) {
  for (const std::string& run : runs) {
    const results::RunDirectory directory{run};
    std::error_code none;
    if (std::filesystem::exists(directory.run_json(), none) ||
        !std::filesystem::exists(directory.records(), none))
      continue;
    DSBENCH_CHECK(rebuild(directory));
    fmt::print(stderr, "rebuilt: {} of what the run recorded before it was cut off\n",
               directory.run_json().string());
  }
  return {};
}

int report(const ReportOptions& o) {
  if (const auto rebuilt = rebuild_what_was_cut_off(o.runs); !rebuilt)
    return refuse("report", rebuilt.error());
  if (!o.exported.empty()) return write_export(o);
  if (!o.stage.empty())
    return refuse("report",
                  {ErrorKind::usage, "--stage has no effect without --export; a report has all stages"});
  if (std::any_of(o.runs.begin(), o.runs.end(), is_kernel_result)) return report_kernels(o);
  if (std::any_of(o.runs.begin(), o.runs.end(), is_gate)) return report_gate(o);
  std::vector<results::RunSummary> runs;
  for (const std::string& run : o.runs) {
    auto read = results::read_any_run(run);
    if (!read) return refuse("report", read.error());
    runs.push_back(std::move(*read));
  }
  // Another tool's file has no folder of ours for the report to lie in.
  std::string own_place;
  if (runs.size() == 1 && runs.front().kind != results::imported_kind) {
    const auto found = results::find_run_directory(o.runs.front());
    own_place = found ? found->report().string() : "";
  }
  if (!o.labels.empty() && o.labels.size() != runs.size()) {
    return refuse(
        "report",
        {ErrorKind::usage, fmt::format("{} runs and {} labels; give --label once for each run, or not at all",
                                       runs.size(), o.labels.size())});
  }
  std::string text;
  if (o.format == "html") {
    std::vector<const results::RunSummary*> pointers;
    for (const auto& run : runs) pointers.push_back(&run);
    results::report::ReportOptions page{.labels = o.labels};
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const auto found = runs[i].kind == results::imported_kind
                             ? std::nullopt
                             : std::optional{results::find_run_directory(o.runs[i])};
      page.pictures.push_back(found && *found ? results::report::read_latency_picture(**found)
                                              : results::report::LatencyPicture{});
    }
    text = results::report::render_html(pointers, page);
  } else {
    for (const auto& run : runs) {
      text += o.format == "markdown" ? results::report::render_markdown(run)
              : o.format == "json"   ? results::print_run(run)
                                     : results::report::render_text(run);
    }
  }
  const std::string out = !o.out.empty() ? o.out : o.format != "html" ? "-" : own_place;
  if (out.empty())
    return refuse(
        "report",
        {ErrorKind::usage,
         runs.size() > 1 ? "several runs in one report: say where to write it with --out FILE ('-' is stdout)"
                         : "say where to write the report with --out FILE ('-' is stdout)"});
  return write_out(out, text);
}

}  // namespace

void add_report(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* verb =
      app.add_subcommand("report",
                         "render one or more runs as HTML, Markdown, text or JSON; a run that was cut off "
                         "gets its run.json of its records first");
  verb->footer(
      "Examples:\n"
      "  dsbench report RUN                                    renders RUN/report.html again\n"
      "  dsbench report KILLED-RUN                             the same of a run that wrote no run.json\n"
      "  dsbench report RUN1 RUN2 --out both.html              both curves in one picture\n"
      "  dsbench report RUN --format markdown                  for a merge request\n"
      "  dsbench report dsbench-gate-20261122-180000           base and candidate of dsbench gate run\n"
      "  dsbench report kernels.json                           the roofline of dsbench kernels --out\n"
      "  dsbench report RUN --export otel --out metrics.json   for what other tools read\n"
      "  dsbench report vllm.json RUN --out both.html          beside what vllm bench serve measured");
  ReportOptions& o = *options;
  verb->add_option("runs", o.runs,
                   "run directories, or result files of vllm bench serve, SGLang, AIPerf or GuideLLM; or one "
                   "of dsbench kernels, or of dsbench gate")
      ->required()
      ->type_name("RUN");
  verb->add_option("--label", o.labels, "name of a run in a picture of several; once for each run")
      ->type_name("TEXT")
      ->default_str("what tells their commands apart");
  verb->add_option("--format", o.format, "what to render")
      ->check(CLI::IsMember({"html", "markdown", "text", "json"}))
      ->capture_default_str();
  verb->add_option("--out", o.out, "file to write; '-' is stdout")
      ->type_name("FILE")
      ->default_str("RUN/report.html; stdout for the other formats");
  verb->add_option("--export", o.exported,
                   "write the run in a form that other tools read, to --out or stdout; docs/interop.md")
      ->check(CLI::IsMember(
          std::vector<std::string>{results::export_formats.begin(), results::export_formats.end()}))
      ->type_name("FORMAT")
      ->default_str("none");
  verb->add_option("--stage", o.stage, "of an export with room for one stage: which, by its index or name")
      ->type_name("STAGE")
      ->default_str("the only one");
  verb->callback([options, &chosen] { chosen = [options] { return report(*options); }; });
}

}  // namespace dsbench::cli
