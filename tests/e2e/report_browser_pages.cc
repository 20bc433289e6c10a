// Writes the report of every sample, and of two samples in one picture, into a folder: what the browser test
// opens.
#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include "core/files.h"
#include "results/report/report.h"
#include "tests/fakes/sample_runs.h"

int main(int argc, char** argv) {
  using namespace dsbench;
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  const auto write = [&](const std::string& name, const std::string& content) {
    const auto written = write_file_atomically(folder / name, content);
    if (!written) std::fprintf(stderr, "%s\n", written.error().message.c_str());
    return written.has_value();
  };
  bool ok = true;
  for (const tests::Sample sample : tests::all_samples) {
    ok = write(std::string(tests::name_of(sample)) + ".html",
               results::report::render_html(tests::sample_run(sample))) &&
         ok;
  }
  const results::RunSummary a = tests::sample_run(tests::Sample::collapsed);
  const results::RunSummary b = tests::sample_run(tests::Sample::bounded);
  const std::array<const results::RunSummary*, 2> both{&a, &b};
  ok = write("both.html", results::report::render_html(both)) && ok;
  return ok ? 0 : 1;
}
