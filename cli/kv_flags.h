#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "engine/scheduler/scheduler_config.h"

namespace dsbench::cli {

// The flags about KV blocks and about guessing tokens ahead: `--kv-policy` and its like.
struct KvOptions {
  engine::KvConfig kv;
  std::string spec = "off";  // off, ngram, assumed
  std::int32_t spec_drafts = 2;
  double spec_acceptance = engine::SpecConfig{}.acceptance;

  // Of `--spec ngram`, on the CPU; else 0.
  [[nodiscard]] std::int32_t ngram_drafts() const { return spec == "ngram" ? spec_drafts : 0; }
  // Of `--spec assumed`: drafts that nobody computes, accepted as often as is asked for.
  [[nodiscard]] engine::SpecConfig assumed() const {
    return {.drafts = spec == "assumed" ? spec_drafts : 0, .acceptance = spec_acceptance};
  }
};

void add_kv_flags(CLI::App& app, KvOptions& options, const std::string& prefix, const std::string& group);

// Whether the flag (with whatever prefix) is one of these.
[[nodiscard]] bool is_kv_flag(std::string_view flag);

// Of the flags that were given: refuses what would have no effect on this executor ("sim:" for a simulated
// fleet).
[[nodiscard]] Result<void> refuse_idle_kv_flags(const KvOptions& options,
                                                const std::vector<std::pair<std::string, std::string>>& given,
                                                std::string_view executor);

}  // namespace dsbench::cli
