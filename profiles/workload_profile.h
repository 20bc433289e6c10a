#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "profiles/client_profile.h"
#include "profiles/length_law.h"
#include "profiles/slo_profile.h"

namespace dsbench::profiles {

// Prompt and output lengths that depend on each other: bins of the prompt length, each with the distribution
// of the output lengths in it. Within a bin the prompt is uniform on [prompt_from, prompt_to] and the output
// linear between equally probable quantiles. A workload that has it draws neither length from a law.
struct JointLengths {
  struct Bin {
    std::int32_t prompt_from = 1, prompt_to = 1;  // both included
    std::vector<double> output_quantiles;         // at 0, 1/n, …, 1; at least two
    double weight = 1;                            // equal for equiprobable bins
    friend bool operator==(const Bin&, const Bin&) = default;
  };
  std::vector<Bin> bins;  // by prompt length
  friend bool operator==(const JointLengths&, const JointLengths&) = default;
};

// Beginnings of prompts that several requests have in common: documents, tool descriptions, few-shot
// examples. Prefix k of the pool has a length and a text of its own, the same whenever it comes again; prefix
// k is chosen with P(k) ∝ k^−zipf.
struct PrefixPool {
  std::int64_t count = 1;
  LengthLaw tokens;
  double zipf = 1;   // 0: all equally often
  double share = 1;  // of the requests (of the sessions, where there are some) that have one of it
  friend bool operator==(const PrefixPool&, const PrefixPool&) = default;
};

// Pictures that people send with what they say. Each is one of a pool: picture k has bytes of its own, the
// same whenever it comes again. To the server they are real pictures (grey noise) of exactly so many bytes.
struct ImageShape {
  LengthLaw count;                                           // with each thing that a user or a tool says
  LengthLaw bytes{LengthLaw::Kind::constant, 65536, 65536};  // of a picture, before it is written as text
  std::int64_t pool = 64;                                    // different pictures, all equally often
  std::int32_t tokens = 0;                                   // that the plan counts for one; 0: none
  enum class Detail : std::uint8_t { automatic, low, high } detail = Detail::automatic;
  friend bool operator==(const ImageShape&, const ImageShape&) = default;
};

// What a client that talks on does after a request that failed for good (its retries included).
enum class OnFailure : std::uint8_t {
  stop,        // goes away: the session is over
  continue_,   // says the next thing, with what it has
  retry_turn,  // asks the same again, after another pause
};
[[nodiscard]] std::string_view to_word(OnFailure what);

// A conversation: turn k re-sends the history (all former turns, answers as long as they really were) and
// adds new words of the user.
struct SessionShape {
  LengthLaw turns;
  // One of the two says when the next turn is due: a think time after the end of the answer, or so long after
  // this turn was due (what a trace tells, which has no ends), but not before the answer has come.
  TimeLaw think_time;
  std::optional<TimeLaw> turn_gap;
  LengthLaw user_tokens;                   // new in each turn after the first, whose own are prompt_tokens
  std::optional<LengthLaw> output_tokens;  // of each turn after the first; nothing: as of the first
  bool keeps_history = true;
  bool keeps_answers = true;  // false: a history of what the user said alone
  // A conversation that goes on after a turn does so a second time, beside the first, from the same history:
  // an answer asked for again, a question put otherwise.
  struct Forks {
    double share = 0;  // of the turns that have a next one
    LengthLaw turns;   // of a fork
    friend bool operator==(const Forks&, const Forks&) = default;
  };
  std::optional<Forks> forks;
  OnFailure on_failure = OnFailure::stop;
  std::int32_t max_context_tokens = 0;  // a turn that would not fit ends the session; 0: no limit
  friend bool operator==(const SessionShape&, const SessionShape&) = default;
};

// An automated caller in a closed loop: tasks of several steps; after each answer a tool runs, and its result
// joins the context of the next step. A step may branch: `fan_out` requests in parallel, each with a
// context of its own; the next step begins when the last of them has ended, and takes their answers along.
struct AgentShape {
  TimeLaw period;                                      // from the end of a task to the beginning of the next
  LengthLaw steps;                                     // requests of a task, those of branches not counted
  TimeLaw tool_pause;                                  // between an answer and the next step
  LengthLaw tool_tokens;                               // that a tool's result adds to the context
  LengthLaw fan_out{LengthLaw::Kind::constant, 0, 0};  // branches of a step; 0: none
  LengthLaw branch_tokens;                             // prompt of a branch beside the system prompt
  double cancel_share = 0;              // of the requests: the caller has seen enough half-way and hangs up
  bool endless = true;                  // a task follows a task until the run ends; false: one task
  bool keeps_context = true;            // from task to task, until it is full
  std::int32_t max_context_tokens = 0;  // beyond it the next step starts with a fresh context; 0: no limit
  OnFailure on_failure = OnFailure::continue_;
  friend bool operator==(const AgentShape&, const AgentShape&) = default;
};

// What the requests of one kind of user are.
struct RequestShape {
  LengthLaw prompt_tokens, output_tokens;  // prompt_tokens: beside system prompt and prefix
  double rank_correlation = 0;             // Spearman's, of prompt and output; a Gaussian copula
  std::optional<JointLengths> lengths;     // in place of the two laws and the correlation
  std::int32_t system_prompt_tokens = 0;   // one text that every request of the class begins with
  std::vector<PrefixPool> prefix_pools;    // after it, in this order
  std::optional<ImageShape> images;
  double reasoning_share = 0;           // of the output tokens: thinking. For the report; sent as any other
  std::optional<SessionShape> session;  // at most one of the two
  std::optional<AgentShape> agent;
  friend bool operator==(const RequestShape&, const RequestShape&) = default;
};

// A tenant: a kind of user with a share of the arrivals, bounds and a patience of its own.
struct TenantClass : RequestShape {
  std::string name;
  double weight = 1;                    // of the arrivals (sessions, where there are some)
  std::optional<SloProfile> slo;        // nothing: that of the run
  std::optional<ClientProfile> client;  // nothing: that of the run
};

// What the requests are: all of one shape, or of several classes.
struct WorkloadProfile : RequestShape {
  std::string name;
  std::string description;
  std::vector<TenantClass> classes;  // empty: the profile's own shape is the only one
};

// The classes of a profile; a profile without some is one class of its own, named "all".
[[nodiscard]] std::vector<TenantClass> classes_of(const WorkloadProfile& profile);

// Schema "dsbench.workload/1".
[[nodiscard]] Result<WorkloadProfile> parse_workload(std::string_view json, std::string source);
// A shipped name or a path.
[[nodiscard]] Result<WorkloadProfile> load_workload(std::string_view name_or_path);
[[nodiscard]] std::string to_json(const WorkloadProfile& profile);

}  // namespace dsbench::profiles
