// Writes the report of every sample, and of two samples in one picture, into a folder: what the browser test
// opens.
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/files.h"
#include "results/gate/outcome_page.h"
#include "results/report/report.h"
#include "tests/fakes/sample_runs.h"

namespace {

using namespace dsbench;

// Two kinds of requests that part when the service is overloaded, and failures at the end.
results::report::LatencyPicture picture() {
  std::vector<results::HdrInterval> log;
  for (int s = 0; s < 240; ++s) {
    const double load = s < 160 ? s / 160.0 : (240 - s) / 80.0;
    for (const char* tag : {"ttft;0-climb", "ttft_service;0-climb"}) {
      results::HdrInterval i{
          .tag = tag, .start = std::chrono::seconds{s}, .length = std::chrono::seconds{1}, .histogram = {}};
      const double wait = tag[4] == ';' ? 1 : 0.6;
      for (int n = 0; n < 30; ++n) {
        i.histogram.record(from_seconds((0.04 + 0.002 * n) * (1 + 3 * load * wait)));
        if (n % 5 == 0) i.histogram.record(from_seconds((0.6 + 0.05 * n) * (1 + 4 * load * wait)));
      }
      if (s > 120 && s < 170) i.histogram.record_infinite(3);
      log.push_back(std::move(i));
    }
  }
  return results::report::picture_of(log);
}

// A gate with every verdict, of runs that drift.
std::string gate_page() {
  namespace gate = results::gate;
  gate::Outcome o;
  o.kind = "load";
  o.dsbench_version = "0";
  std::vector<double> round(10);
  for (std::size_t i = 0; i < round.size(); ++i) {
    round[i] =
        1 + 0.004 * static_cast<double>(i) + (i == 6 ? 0.12 : 0) + 0.002 * static_cast<double>(i * 7 % 5);
    o.baseline.push_back("gate/base-" + std::to_string(i + 1));
    o.candidate.push_back("gate/cand-" + std::to_string(i + 1));
  }
  const auto side = [&](double value, double step) {
    std::vector<double> values;
    for (std::size_t i = 0; i < round.size(); ++i)
      values.push_back(value * round[i] * (1 + step * static_cast<double>(i * 3 % 4)));
    return values;
  };
  o.judgement.metrics.push_back(
      gate::judge_values({"p50 ttft"}, side(0.08, 0.002), side(0.092, 0.001), 0.05, 0.05));
  o.judgement.metrics.push_back(
      gate::judge_values({"p50 tpot"}, side(0.02, 0.001), side(0.0185, 0.001), 0.05, 0.05));
  o.judgement.metrics.push_back(
      gate::judge_values({"p50 e2e"}, side(1.2, 0.001), side(1.21, 0.001), 0.05, 0.05));
  o.judgement.metrics.push_back(
      gate::judge_values({"p99 ttft"}, side(0.4, 0.08), side(0.41, 0.09), 0.05, 0.05));
  o.judgement.metrics.push_back(gate::judge_values(
      {"good_rate", gate::Better::higher, gate::Unit::per_second}, side(8, 0), side(8, 0), 0.05, 0.05));
  o.requirements = {
      {"p99 ttft <= 2s", "met in 10 of 10 runs", results::StepVerdict::good},
      {"p50 tpot < 10ms", "met in 0 of 10 runs; gate/cand-1: 18.5 ms", results::StepVerdict::bad}};
  o.looks = {{10, 0.05}};
  o.notes = {"after 5 runs a side it looked like a regression; 5 more confirmed it"};
  gate::conclude(o);
  gate::SideView a{.name = "baseline", .spectrum = {}, .over_time = {}, .typical = {}},
      b{.name = "candidate", .spectrum = {}, .over_time = {}, .typical = {}};
  for (int k = 0; k <= 36; ++k) {
    const double x = std::pow(10, k / 12.0);
    a.spectrum.emplace_back(x, 0.05 * std::pow(x, 0.3));
    b.spectrum.emplace_back(x, 0.058 * std::pow(x, 0.31));
  }
  for (int s = 0; s < 120; s += 2) {
    a.over_time.emplace_back(s, 0.08 + 0.01 * std::sin(s / 9.0));
    b.over_time.emplace_back(s, 0.092 + 0.011 * std::sin(s / 9.0) + (s > 60 ? 0.01 : 0));
  }
  a.typical = std::make_shared<const results::RunSummary>(tests::sample_run(tests::Sample::bounded));
  b.typical = std::make_shared<const results::RunSummary>(tests::sample_run(tests::Sample::collapsed));
  return gate::render_page(o, a, b);
}

}  // namespace

int main(int argc, char** argv) {
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
               results::report::render_html(tests::sample_run(sample), {.pictures = {picture()}})) &&
         ok;
  }
  const results::RunSummary a = tests::sample_run(tests::Sample::collapsed);
  const results::RunSummary b = tests::sample_run(tests::Sample::bounded);
  const std::array<const results::RunSummary*, 2> both{&a, &b};
  ok = write("gate.html", gate_page()) && ok;
  ok = write("both.html", results::report::render_html(both)) && ok;
  return ok ? 0 : 1;
}
