#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "loadgen/workload.h"
#include "profiles/workload_profile.h"

// Workloads of a line or two, and what a source makes of an outcome.
namespace dsbench::loadgen {

inline profiles::WorkloadProfile workload_of(const std::string& inside) {
  const auto profile =
      profiles::parse_workload(R"({"schema": "dsbench.workload/1", )" + inside + "}", "w.json");
  EXPECT_TRUE(profile) << (profile ? "" : profile.error().message);
  return profile ? *profile : profiles::WorkloadProfile{};
}

inline results::RequestRecord outcome(const Attempt& attempt, results::Reason reason = results::Reason::ok,
                                      std::int32_t output_tokens = 7) {
  results::RequestRecord record;
  record.request = attempt.request;
  record.reason = reason;
  record.output_tokens = output_tokens;
  return record;
}

inline std::vector<FollowUp> next_of(const SharedSource& source, const Attempt& attempt,
                                     results::Reason reason = results::Reason::ok,
                                     std::int32_t output_tokens = 7) {
  std::vector<FollowUp> follow_ups;
  source.next(attempt, outcome(attempt, reason, output_tokens), follow_ups);
  return follow_ups;
}

// One that thinks in steps, branches out and joins.
inline constexpr const char* agent = R"("prompt_tokens":50,"output_tokens":20,"system_prompt_tokens":30,
    "agent":{"period":"60s","steps":2,"tool_pause":"1s","tool_tokens":7,"fan_out":3,"branch_tokens":11,
             "max_context_tokens":300})";

}  // namespace dsbench::loadgen
