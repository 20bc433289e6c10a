#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "kernelbench/measure/run.h"
#include "kernelbench/measure/stand.h"
#include "kernelbench/report/compare.h"
#include "kernelbench/suite.h"

namespace dsbench::cli {

struct KernelsOptions {
  std::string device = "cpu";
  std::string suite = "standard";
  bool quick = false, full = false;
  std::string cases;  // a file in place of a suite
  std::vector<std::string> filter, kernel, skip;
  std::vector<std::string> plugins;
  Nanos plugin_timeout{60'000'000'000};
  std::int32_t repetitions = 9;
  Nanos time{200'000'000};
  std::string l2 = "flush", mode = "single";
  std::int32_t threads = 0;
  double memory_gb = 4;
  double check_gflop = 4;
  bool check_only = false;
  bool list = false;
  bool json = false, quiet = false;
  std::string out;

  std::vector<std::string> compare;  // two files: nothing is run
  std::string baseline;
  bool gate = false, strict = false;
  double margin_percent = 3;
  double control_limit_percent = 1;
  std::vector<std::string> allow_mismatch;
  std::string min_roofline;

  std::string worker;  // hidden: be the process of this plug-in

  [[nodiscard]] kernelbench::Backend backend() const;
  [[nodiscard]] kernelbench::Suite chosen_suite() const;
  [[nodiscard]] bool timing() const;
  [[nodiscard]] kernelbench::StandOptions stand() const;
  [[nodiscard]] kernelbench::CompareOptions comparison() const;
  // What a plug-in's process needs to be told to measure as this one does.
  [[nodiscard]] std::vector<std::string> worker_flags() const;
  // Combinations that make no sense, each with what would.
  [[nodiscard]] Result<void> validate() const;
};

void add_kernels_flags(CLI::App& verb, KernelsOptions& options);

}  // namespace dsbench::cli
