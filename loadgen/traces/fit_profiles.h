#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "loadgen/traces/prefix_fit.h"
#include "loadgen/traces/prompt_index.h"
#include "loadgen/traces/session_finder.h"
#include "loadgen/traces/session_fit.h"
#include "loadgen/traces/trace.h"
#include "loadgen/traces/trace_statistics.h"

namespace dsbench::loadgen {

struct FitOptions {
  std::string name = "fitted";
  std::string source;        // for the descriptions: where the trace is from, and its licence
  std::optional<Nanos> bin;  // of the rate curve; none: RateCurve::good_width
  std::int32_t classes = 8;  // of the workload, at most: the largest clients, or lengths of shared prefixes
  std::int32_t most_bins = 48;  // of the prompt length, over all classes
  std::uint64_t seed = 1;       // of the synthetic trace that the fit is compared with
  // Whether conversations become sessions. automatic: where that fits better.
  enum class Sessions : std::uint8_t { automatic, yes, no } sessions = Sessions::automatic;
};

// A pair of profiles, and what was found on the way to them.
struct FittedProfiles {
  std::string traffic_json, workload_json;  // laid out for people; no traffic for a source without times
  double cv = 0;                            // of the gaps between arrivals, rescaled by the local rate
  double raw_cv = 0;                        // as they are
  Nanos bin{0};
  std::size_t curve_points = 0, bins = 0, classes = 0;
  std::optional<SessionForest> sessions;  // where they are written as sessions
  std::optional<SessionLaws> laws;        // of all sessions
};

// "30s"; the length of a short trace, which is none to the second, is rounded.
[[nodiscard]] std::string bin_text(Nanos bin);

// Every request is an arrival; what prompts have in common are prefixes of pools.
[[nodiscard]] FittedProfiles profiles_of_requests(const Trace& trace, const PromptIndex& index,
                                                  const FitOptions& options, const ClientSkew& skew);

// Arrivals are the first requests of conversations (or their only ones), and what follows are turns. First
// requests have prefixes of pools in common; those without are put into classes: by tenant and length, for a
// long beginning says how a conversation goes on, or by how much the second request adds.
enum class ByWhat : std::uint8_t { length, growth };
[[nodiscard]] FittedProfiles profiles_of_sessions(const Trace& trace, const FitOptions& options,
                                                  const SessionForest& forest, const PrefixFit& prefixes,
                                                  ByWhat by_what);
// The prefixes that it is made of: what first requests have in common.
[[nodiscard]] PrefixFit prefixes_of_sessions(const Trace& trace, const PromptIndex& index,
                                             const FitOptions& options, const SessionForest& forest);

}  // namespace dsbench::loadgen
