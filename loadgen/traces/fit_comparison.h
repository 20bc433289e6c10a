#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "loadgen/traces/fit_line.h"
#include "loadgen/traces/fit_profiles.h"
#include "loadgen/traces/prompt_index.h"
#include "loadgen/traces/trace.h"
#include "loadgen/traces/trace_statistics.h"
#include "profiles/traffic_profile.h"
#include "profiles/workload_profile.h"

namespace dsbench::loadgen {

// What is compared of the prompts' common beginnings, as an endless cache would find them.
struct PrefixHits {
  double share = 0;                         // of input tokens
  double share_of_blocks = 0;               // the same counted in the source's blocks
  std::vector<double> by_age, by_position;  // see PrefixMeter
};
// Nothing where the source has no hashes.
[[nodiscard]] std::optional<PrefixHits> prefix_hits(const Trace& trace, const PromptIndex& index);

// Compares what is drawn from fitted profiles with the trace that they were fitted to. Keeps what several
// comparisons have in common; refers to the trace and its hits, which must outlive it.
class FitJudge {
 public:
  // `name`, `seed`: of the draws.
  FitJudge(const Trace& trace, const std::optional<PrefixHits>& hits, std::string name, std::uint64_t seed);
  ~FitJudge();
  FitJudge(const FitJudge&) = delete;
  FitJudge& operator=(const FitJudge&) = delete;

  // Draws as many requests from the profiles as they make in the trace's time (of a small trace several
  // times, to compare means that have no accidents of their own), and says how far they are from the trace.
  // Errors: what the profiles' own checks say.
  [[nodiscard]] Result<std::vector<FitLine>> compare(const FittedProfiles& fitted);

 private:
  struct Source;
  struct Drawn;
  [[nodiscard]] Drawn draw(const FittedProfiles& fitted, const profiles::TrafficProfile* traffic,
                           const profiles::WorkloadProfile& workload);
  [[nodiscard]] const std::vector<Nanos>& arrivals(const profiles::TrafficProfile& traffic,
                                                   const std::string& traffic_json, std::size_t draw);
  std::unique_ptr<const Source> source_;
  std::string name_;
  std::uint64_t seed_;
  std::string arrivals_of_;  // the traffic whose schedules are kept
  std::vector<std::vector<Nanos>> arrivals_;
};

}  // namespace dsbench::loadgen
