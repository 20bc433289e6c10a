#include "cli/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/exit_codes.h"
#include "cli/refuse.h"
#include "core/files.h"
#include "kernelbench/report/html.h"
#include "kernelbench/report/results_file.h"
#include "kernelbench/report/table.h"
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
};

int write_out(const std::string& out, const std::string& text) {
  if (out == "-") {
    fmt::print("{}", text);
    return exit_ok;
  }
  if (const auto written = write_file_atomically(out, text); !written)
    return refuse("report", written.error());
  fmt::print(stderr, "report: {}\n", out);
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

int report(const ReportOptions& o) {
  if (std::any_of(o.runs.begin(), o.runs.end(), is_kernel_result)) return report_kernels(o);
  std::vector<results::RunDirectory> directories;
  std::vector<results::RunSummary> runs;
  for (const std::string& run : o.runs) {
    auto found = results::find_run_directory(run);
    if (!found) return refuse("report", found.error());
    auto read = results::read_run(found->run_json());
    if (!read) return refuse("report", read.error());
    directories.push_back(std::move(*found));
    runs.push_back(std::move(*read));
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
    text = results::report::render_html(pointers, {o.labels, ""});
  } else {
    for (const auto& run : runs) {
      text += o.format == "markdown" ? results::report::render_markdown(run)
              : o.format == "json"   ? results::print_run(run)
                                     : results::report::render_text(run);
    }
  }
  const std::string out = !o.out.empty()       ? o.out
                          : o.format != "html" ? "-"
                          : runs.size() == 1   ? directories.front().report().string()
                                               : "";
  if (out.empty())
    return refuse("report",
                  {ErrorKind::usage,
                   "several runs in one report: say where to write it with --out FILE ('-' is stdout)"});
  return write_out(out, text);
}

}  // namespace

void add_report(CLI::App& app, std::function<int()>& chosen) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* verb = app.add_subcommand("report", "render one or more runs as HTML, Markdown, text or JSON");
  verb->footer(
      "Examples:\n"
      "  dsbench report RUN                                    renders RUN/report.html again\n"
      "  dsbench report RUN1 RUN2 --out both.html              both curves in one picture\n"
      "  dsbench report RUN --format markdown                  for a merge request\n"
      "  dsbench report kernels.json                           the roofline of dsbench kernels --out");
  ReportOptions& o = *options;
  verb->add_option("runs", o.runs, "run directories, or one result file of dsbench kernels")
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
  verb->callback([options, &chosen] { chosen = [options] { return report(*options); }; });
}

}  // namespace dsbench::cli
