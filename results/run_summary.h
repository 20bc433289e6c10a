#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/units.h"
#include "results/failover_summary.h"
#include "results/record.h"
#include "results/worker_share.h"

// What run.json says: the verdict, and everything it rests on. Filled by cli/, written and read by
// results/run_file.h, rendered by results/report/. Field names here are the keys there, with the unit as a
// suffix (offered_rps, ttft_ns …).
namespace dsbench::results {

// One latency metric over one stretch: the percentiles that its samples can carry.
struct LatencySummary {
  std::int64_t count = 0;  // finite samples
  std::int64_t infinite =
      0;  // requests that failed: an infinite latency each; they count in the percentiles' ranks
  Nanos min{0}, mean{0}, max{0};  // of the finite ones; 0 when count is 0
  struct Percentile {
    double q = 0;                // 0.5, 0.9, 0.95, 0.99, 0.999
    std::int64_t needs = 0;      // samples that this percentile needs before it is printed
    std::optional<Nanos> value;  // nothing: too few samples, or infinite
    bool infinite = false;       // the rank falls among failures
  };
  std::vector<Percentile> percentiles;
};

enum class StageKind : std::uint8_t { warm_up, probe, step, hold, descent, recovery, load };
inline constexpr int stage_kind_count = static_cast<int>(StageKind::load) + 1;
[[nodiscard]] std::string_view to_word(StageKind kind);

// The three answers that a step of the search can give about "good rate ≥ 99 % of offered".
enum class StepVerdict : std::uint8_t { good, bad, unclear };
[[nodiscard]] std::string_view to_word(StepVerdict verdict);

// Token compute that the engine accounts for, where the target tells (embedded, simulated, or a /metrics that
// has it).
struct Ledger {
  std::int64_t computed_tokens = 0;
  std::int64_t recomputed_tokens = 0;  // recompute tax = recomputed ÷ computed
  std::int64_t abandoned_tokens = 0;   // computed for requests that nobody waited for any more
  std::int64_t generated_tokens = 0;
  std::int64_t preemptions = 0;
};

struct StageSummary {
  std::uint32_t index = 0;
  std::string name;  // "step 3", "hold 1.5 × knee"
  StageKind kind = StageKind::load;
  Rate planned;  // what the profile asked, mean over the measured window
  Nanos start{0}, measure_from{0}, end{0};
  // Of requests due inside [measure_from, end).
  std::int64_t requests = 0;   // offered
  std::int64_t delivered = 0;  // really sent (first attempt), whenever
  std::int64_t completed = 0;  // came back whole
  std::int64_t good = 0;       // met every SLO
  std::int64_t attempts = 0;   // over all of these requests
  std::array<std::int64_t, reason_count> attempts_by_reason{};
  std::array<std::int64_t, reason_count> requests_by_reason{};
  Rate offered, delivered_rate, completed_rate, good_rate;  // the counts over (end − measure_from)
  double good_share = 0, good_share_lower = 0,
         good_share_upper = 1;  // one-sided 95 % bounds (Clopper and Pearson)
  StepVerdict verdict = StepVerdict::unclear;
  std::int64_t output_tokens = 0;  // of completed requests
  // Origin due: ttft, e2e (response latency). Origin sent, final attempt: ttft_service, e2e_service. send_lag
  // and read_lag are per attempt.
  LatencySummary ttft, ttft_service, tpot, itl, e2e, e2e_service, ntpot, send_lag, read_lag;
  std::optional<Ledger> ledger;             // over [start, end)
  std::vector<std::string> invalid_causes;  // empty: the generator was fit to measure this stage
};

// One second of the run.
struct TimelinePoint {
  std::int64_t second = 0;  // since the start of the run
  std::int64_t offered = 0, sent = 0, completed = 0, good = 0,
               failed = 0;                  // requests due, attempts sent, requests ended in it
  std::int64_t good_of_due = 0;             // of the requests due in it, how many turned out good
  std::int64_t in_flight = 0;               // requests, at its end
  std::optional<Nanos> ttft_p50, ttft_max;  // of requests whose first token came in it, origin due
  Nanos send_lag_max{0};
  std::optional<double> engine_running, engine_waiting, engine_kv_used_share;
  std::int32_t stage = -1;
};

struct Knee {
  std::optional<Rate>
      offered;  // the highest rate whose good share is ≥ 99 % with 95 % confidence: the safe load
  std::optional<Rate> lower,
      upper;  // the knee lies between: the highest measured good rate, the lowest measured bad one above it
  std::string sentence;
};

enum class CollapseVerdict : std::uint8_t { collapsed, none, undecided, not_tested };
[[nodiscard]] std::string_view to_word(CollapseVerdict verdict);
struct Collapse {
  CollapseVerdict verdict = CollapseVerdict::not_tested;
  std::optional<Rate> at;  // offered rate of the hold
  std::optional<Rate> good_rate, peak_good_rate;
  std::optional<double> ratio, ratio_lower, ratio_upper;  // good rate in the hold ÷ peak, 95 % interval
  std::optional<Rate>
      collapse_load;  // lowest measured offered rate at which the good rate was below 0.8 × peak
  std::string sentence;
};

enum class RecoveryVerdict : std::uint8_t { recovered, metastable, undecided, not_tested };
[[nodiscard]] std::string_view to_word(RecoveryVerdict verdict);
struct Recovery {
  RecoveryVerdict verdict = RecoveryVerdict::not_tested;
  std::optional<Rate> base;  // offered rate after the trigger
  std::optional<Nanos>
      time;  // from the end of the trigger (offered rate back at or below the knee) to the recovery
  std::optional<double> ratio, ratio_upper;  // good rate late in the recovery hold ÷ offered
  std::optional<Rate>
      highest_recovered;  // on the way down: the highest rate at which it was good again (hysteresis)
  std::string sentence;
};

// Something that was made to happen during the run: a fault of the target's, by the traffic's events.
struct RunEvent {
  Nanos at{0};                 // since the start of the run; when it was done
  std::optional<Nanos> until;  // when it was over
  std::string what;            // "cores:left=0.5"
  std::uint16_t target = 0;    // to which of the targets
  friend bool operator==(const RunEvent&, const RunEvent&) = default;
};

enum class Verdict : std::uint8_t { ready, not_ready, inconclusive, invalid, measured };
[[nodiscard]] std::string_view to_word(
    Verdict verdict);  // "READY", "NOT READY", "INCONCLUSIVE", "INVALID", "MEASURED"

// Whether the generator was fit to measure. unknown: nobody can tell any more (a run that was killed took it
// along), or the tool that made the requests did not say.
enum class Validity : std::uint8_t { valid, invalid, unknown };
[[nodiscard]] constexpr Validity validity_by(bool fit) {
  return fit ? Validity::valid : Validity::invalid;
}

struct Criterion {
  std::string name;      // "safe load ≥ 120/s"
  std::string measured;  // "184/s (between 184/s and 197/s)"
  StepVerdict verdict = StepVerdict::unclear;
};

// What became of some of the measured requests of a run, all stages together.
struct RequestSlice {
  std::int64_t requests = 0;  // that have ended
  std::int64_t completed = 0, good = 0, attempts = 0;
  std::int64_t prompt_tokens = 0, output_tokens = 0;  // of their last attempts
  double good_share = 0;                              // of requests
  std::optional<double> cached_share;                 // of the prompt tokens, where the server tells
  std::optional<double> reasoning_share;              // of the output tokens, where the server tells
  LatencySummary ttft, e2e;                           // origin due
};
// A class of the workload.
struct TenantSummary {
  std::string name;
  Slo slo;
  std::optional<double> planned_reasoning_share;  // what the workload says of it
  RequestSlice slice;
};
// Turns of sessions, both included: 0, 1, 2, 3, then powers of two.
struct TurnSummary {
  std::uint32_t from = 0, to = 0;
  RequestSlice slice;
};
// How much work one user makes: everything that was offered in a stage, its warm-up included. A chain, each
// link divided by the one before it.
struct Amplification {
  std::uint32_t stage = 0;
  std::string name;
  std::int64_t users = 0;  // sessions of which a request was due in the stage; single requests are one each
  std::int64_t requests = 0, attempts = 0;
  std::int64_t tokens = 0;                      // prompt and output, of all attempts
  std::optional<std::int64_t> computed_tokens;  // by the target's own account
  double requests_per_user = 0, attempts_per_request = 0, tokens_per_attempt = 0;
  std::optional<double> computed_per_token;
};

// Where the time of a stage's attempts went before the first byte of an answer, as far as the wire tells.
struct PhaseSummary {
  std::uint32_t stage = 0;
  std::string name;
  std::int64_t attempts = 0;         // that were sent
  std::int64_t connections = 0;      // of them, those that opened one; the others found one open
  LatencySummary dns, connect, tls;  // of those that opened a connection; tls: that had some
  LatencySummary first_byte;         // from the end of these phases to the first byte, of every attempt
};

// How prompts were made to have so many tokens as asked, by the server's own count or by its tokenizer's.
struct TokenCalibration {
  std::string target;
  std::string source = "usage";  // whose count it is: the server's, or "tokenizer": ours
  double bytes_per_token = 1;    // of synthetic text
  double request_overhead = 0;   // tokens of every request beside its text: the chat template
  double message_overhead = 0;   // of every further message
  std::int64_t probes = 0;       // requests that were made for it (of a tokenizer: texts)
  std::int64_t checks = 0;       // of them, those that only checked it
  double mean_error = 0;         // |usage − asked| ÷ asked of requests made to check it, mean and largest
  double largest_error = 0;
};

// Where the token counts of a run's answered attempts come from.
struct TokenCounts {
  std::int64_t prompts_by_usage = 0, prompts_as_asked = 0;  // attempts
  std::int64_t outputs_by_usage = 0, outputs_by_chunks = 0, outputs_retokenised = 0;
  // Of the prompts that the server counted: usage ÷ asked − 1 over their sums, and the mean and the largest
  // of |usage − asked| ÷ asked.
  std::optional<double> prompt_bias, prompt_mean_error, prompt_largest_error;
  std::int64_t images = 0, image_bytes = 0;    // sent, in all attempts
  std::vector<TokenCalibration> calibrations;  // by target
};

struct RunSummary {
  std::string kind;  // "rehearse" or "load"
  Verdict verdict = Verdict::measured;
  std::string sentence;  // one sentence why
  Validity validity = Validity::valid;
  std::vector<std::string> invalid_causes;
  std::vector<std::string> warnings;
  std::vector<Criterion> criteria;
  std::vector<StageSummary> stages;
  Knee knee;
  Collapse collapse;
  Recovery recovery;
  std::int64_t requests = 0, attempts = 0;  // in records.sqlite, all stages
  double retry_amplification = 1;           // attempts ÷ requests, over the whole run
  std::optional<Ledger> ledger;             // over the whole run
  std::vector<TimelinePoint> timeline;
  // Of a run with several targets, or with faults.
  std::vector<ProviderSummary> providers;
  std::vector<Fault> faults;
  std::optional<Failover> failover;
  std::vector<RunEvent> events = {};  // in the order of time
  Slo slo;
  std::vector<TenantSummary> tenants;  // where the workload has several classes
  std::optional<double> fairness;  // Jain's index of the tenants' good shares: 1 is fair, 1/n is one for all
  std::vector<TurnSummary> turns;  // where it has sessions
  std::vector<Amplification> amplification;  // by stage
  std::vector<PhaseSummary> phases;          // by stage, where the wire tells
  TokenCounts token_counts;
  // Of a run that several processes made: of one of them its share, of what was merged from them all shares
  // that came, and how many there should be.
  std::optional<WorkerShare> worker = {};
  std::vector<WorkerSummary> workers = {};
  std::int64_t workers_expected = 0;

  std::string target;              // "embedded", a URL without credentials, or "sim:FILE"
  std::string target_description;  // model, executor, server flags where known
  bool simulated = false;
  std::vector<std::string> command;  // argv, less --out
  std::string profile_json;          // profile, workload, policy and SLO as resolved, one JSON object
  std::uint64_t seed = 0;
  std::string ended = "complete";    // "complete", "interrupted", "aborted: why"
  Nanos started_at{0}, ended_at{0};  // wall clock, since the Unix epoch
  Nanos duration{0};                 // run time (virtual time when simulated)
  // Generator and host: ("cpu_model", "…"), ("kernel", "…"), …, in this order. No host name.
  std::vector<std::pair<std::string, std::string>> host;
  std::string dsbench_version, dsbench_commit, dsbench_build;
};

}  // namespace dsbench::results
