#include "engine/server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <sstream>

namespace dsbench::engine::server {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

// vLLM's boundaries (vllm/v1/metrics/loggers.py), with finer ones below where a small model on a CPU would
// fall into the first.
Buckets first_token_buckets() {
  return {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
          1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
}
Buckets token_gap_buckets() {
  return {.001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3,
          .4,   .5,    .75,  1,   2.5,  5,   7.5,  10, 20,  40, 80};
}
Buckets request_time_buckets() {
  return {.01, .025, .05, .1, .3, .5, .8,  1,   1.5, 2,   2.5,  5,   10,
          15,  20,   30,  40, 50, 60, 120, 240, 480, 960, 1920, 7680};
}
// 1, 2, 5, 10 … 1 000 000 tokens.
Buckets token_count_buckets() {
  Buckets buckets;
  for (double decade = 1; decade < 1e6; decade *= 10)
    for (const double mantissa : {1.0, 2.0, 5.0}) buckets.push_back(mantissa * decade);
  buckets.push_back(1e6);
  return buckets;
}

// vLLM's words in the order of FinishReason; the last three are ours where vLLM has "error".
constexpr std::array<const char*, kFinishReasons> kFinishedReasons{"stop",          "length", "abort",
                                                                   "queue_timeout", "error",  "expired"};

}  // namespace

struct ServerMetrics::Impl {
  explicit Impl(std::string_view model_name) : model{{"model_name", std::string(model_name)}} {}

  Gauge& gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(model);
  }
  Counter& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(model);
  }
  Histogram& histogram(const char* name, const char* help, Buckets buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(model,
                                                                                     std::move(buckets));
  }
  // Prometheus counters only go up; the engine's count is the truth.
  static void catch_up(Counter& counter, std::int64_t total) {
    if (const double behind = static_cast<double>(total) - counter.Value(); behind > 0)
      counter.Increment(behind);
  }

  prometheus::Registry registry;
  prometheus::Labels model;

  Gauge& running = gauge("vllm:num_requests_running", "Requests that are being computed.");
  Gauge& waiting = gauge("vllm:num_requests_waiting", "Requests that wait to be computed.");
  Gauge& kv_usage =
      gauge("vllm:kv_cache_usage_perc", "KV blocks in use, as a fraction: 1 means 100 percent.");
  Counter& preemptions =
      counter("vllm:num_preemptions_total", "Requests put back into the queue because KV blocks ran out.");
  Counter& prompt_tokens = counter("vllm:prompt_tokens_total", "Prompt tokens computed for the first time.");
  Counter& generation_tokens = counter("vllm:generation_tokens_total", "Tokens generated.");
  Family<Counter>& finished_family = prometheus::BuildCounter()
                                         .Name("vllm:request_success_total")
                                         .Help("Requests finished, by reason.")
                                         .Register(registry);
  std::array<Counter*, kFinishReasons> finished{};
  Histogram& first_token =
      histogram("vllm:time_to_first_token_seconds", "From submission to the engine until the first token.",
                first_token_buckets());
  Histogram& gap = histogram("vllm:inter_token_latency_seconds", "Between two tokens of one request.",
                             token_gap_buckets());
  Histogram& e2e = histogram(
      "vllm:e2e_request_latency_seconds",
      "From submission to the engine until the last token, of requests that ended with stop or length.",
      request_time_buckets());
  Histogram& queue =
      histogram("vllm:request_queue_time_seconds",
                "From submission to the engine until first admitted to run.", request_time_buckets());
  Histogram& request_prompt =
      histogram("vllm:request_prompt_tokens", "Prompt tokens of a finished request.", token_count_buckets());
  Histogram& request_generation = histogram(
      "vllm:request_generation_tokens", "Tokens generated for a finished request.", token_count_buckets());
  Counter& computed =
      counter("dsbench_computed_tokens_total", "All token compute: prefill, decode and recompute.");
  Counter& recomputed =
      counter("dsbench_recomputed_tokens_total", "Tokens computed again after a preemption.");
  Counter& abandoned =
      counter("dsbench_abandoned_tokens_total", "Token compute spent on requests that were then cancelled.");
  Counter& expired = counter("dsbench_expired_tokens_total",
                             "Token compute after the moment when the answer was of no use.");
  Counter& avoided = counter("dsbench_recompute_avoided_tokens_total",
                             "Tokens that a preempted request found again in the prefix cache.");
  Counter& attempts = counter("dsbench_attempts_total", "Requests that came, refused ones included.");
  Counter& retries =
      counter("dsbench_retries_total", "Of these, those that said they were not the first attempt.");
  Counter& expert_imbalance =
      counter("dsbench_expert_imbalance_sum",
              "Rows of the busiest expert over the mean of all, summed over dsbench_expert_steps_total.");
  Counter& expert_steps = counter("dsbench_expert_steps_total", "Engine steps that routed to experts.");
  Counter& prefix_queries =
      counter("vllm:prefix_cache_queries_total", "Prompt tokens that were looked up in the prefix cache.");
  Counter& prefix_hits =
      counter("vllm:prefix_cache_hits_total", "Prompt tokens that were found in the prefix cache.");
  Counter& drafts = counter("vllm:spec_decode_num_draft_tokens_total", "Drafts that were verified.");
  Counter& accepted_drafts =
      counter("vllm:spec_decode_num_accepted_tokens_total", "Drafts that turned out right.");
  Counter& tried_drafts =
      counter("dsbench_spec_decode_num_tried_tokens_total", "Drafts that stood behind right ones only.");
  Gauge& acceptance = gauge("dsbench_spec_decode_acceptance",
                            "Accepted drafts over those that stood behind right ones only; NaN: none yet.");
  Family<Gauge>& acceptance_set_family =
      prometheus::BuildGauge()
          .Name("dsbench_spec_decode_acceptance_set")
          .Help("The acceptance that the drafts were made for; absent where nobody set one.")
          .Register(registry);
  Gauge& blocks_cached =
      gauge("dsbench_kv_blocks_cached", "KV blocks that hold a cached prefix and nobody uses: free ones.");
  Gauge& blocks_withheld = gauge("dsbench_kv_blocks_withheld", "KV blocks out of use by a cut of capacity.");
  Family<Counter>& refused_family = prometheus::BuildCounter()
                                        .Name("vllm:admission_rejections_total")
                                        .Help("Requests refused before they were queued, by reason.")
                                        .Register(registry);
  std::array<Counter*, kRefusalCauses> refused_by{};
  Counter& refused = counter("dsbench_requests_refused_total", "Requests that were not let in.");
  Gauge& running_limit = gauge("dsbench_running_limit", "How many requests may run: the adaptive limit.");
  Counter& steps = counter("dsbench_steps_total", "Engine steps.");
  Counter& busy = counter("dsbench_busy_seconds_total", "Time inside engine steps.");
  Counter& slow_readers =
      counter("dsbench_slow_readers_total", "Streams dropped because their client read too slowly.");
  Counter& keep_alives =
      counter("dsbench_keep_alives_total", "Comments and blank lines sent to clients that waited.");
  Counter& cut_offs = counter("dsbench_cut_offs_total", "Requests ended by the cut-offs of --api.");
  Gauge& connections = gauge("dsbench_http_connections", "Open HTTP connections.");
  Family<Gauge>& fault_active_family = prometheus::BuildGauge()
                                           .Name("dsbench_fault_active")
                                           .Help("1 while the fault is on.")
                                           .Register(registry);
  Family<Counter>& fault_applied_family = prometheus::BuildCounter()
                                              .Name("dsbench_fault_applied_total")
                                              .Help(
                                                  "Requests that a fault was applied to; of a fault of the "
                                                  "engine: how often it began.")
                                              .Register(registry);
  std::array<Gauge*, fault_kinds> fault_active{};
  std::array<Counter*, fault_kinds> fault_applied{};
  Family<Counter>& responses = prometheus::BuildCounter()
                                   .Name("http_requests_total")
                                   .Help("HTTP responses, by handler, method and status.")
                                   .Register(registry);
};

ServerMetrics::ServerMetrics(std::string_view model_name) : impl_{std::make_unique<Impl>(model_name)} {
  for (std::size_t i = 0; i < kFinishedReasons.size(); ++i) {
    auto labels = impl_->model;
    labels.emplace("finished_reason", kFinishedReasons[i]);
    impl_->finished[i] = &impl_->finished_family.Add(labels);
  }
  for (std::size_t i = 0; i < kRefusalCauses; ++i) {
    auto labels = impl_->model;
    labels.emplace("reason", std::string(to_string(static_cast<RefusalCause>(i))));
    impl_->refused_by[i] = &impl_->refused_family.Add(labels);
  }
  for (std::size_t i = 0; i < fault_kinds; ++i) {
    auto labels = impl_->model;
    labels.emplace("fault", to_word(static_cast<FaultKind>(i)));
    impl_->fault_active[i] = &impl_->fault_active_family.Add(labels);
    impl_->fault_applied[i] = &impl_->fault_applied_family.Add(labels);
  }
}

ServerMetrics::~ServerMetrics() = default;

void ServerMetrics::queued_for(Nanos time) {
  impl_->queue.Observe(to_seconds(time));
}
void ServerMetrics::first_token_after(Nanos time) {
  impl_->first_token.Observe(to_seconds(time));
}
void ServerMetrics::token_gap(Nanos time) {
  impl_->gap.Observe(to_seconds(time));
}

void ServerMetrics::request_done(Nanos e2e, const Finish& finish) {
  impl_->e2e.Observe(to_seconds(e2e));
  impl_->request_prompt.Observe(finish.prompt_tokens);
  impl_->request_generation.Observe(finish.output_tokens);
}

void ServerMetrics::responded(std::string_view handler, std::string_view method, int status) {
  impl_->responses
      .Add({{"handler", std::string(handler)},
            {"method", std::string(method)},
            {"status", std::to_string(status)}})
      .Increment();
}

void ServerMetrics::slow_reader_dropped() {
  impl_->slow_readers.Increment();
}

void ServerMetrics::keep_alive_sent() {
  impl_->keep_alives.Increment();
}

void ServerMetrics::cut_off() {
  impl_->cut_offs.Increment();
}

void ServerMetrics::show_faults(const FaultBoard& board, Nanos now) {
  for (std::size_t i = 0; i < fault_kinds; ++i) {
    const auto kind = static_cast<FaultKind>(i);
    impl_->fault_active[i]->Set(board.active(kind, now) != nullptr ? 1 : 0);
    Impl::catch_up(*impl_->fault_applied[i], board.applied(kind));
  }
}

std::string ServerMetrics::render(const EngineStats& stats, std::int64_t connections) {
  Impl& m = *impl_;
  m.running.Set(static_cast<double>(stats.running));
  m.waiting.Set(static_cast<double>(stats.waiting));
  m.kv_usage.Set(stats.blocks_total > 0
                     ? static_cast<double>(stats.blocks_used) / static_cast<double>(stats.blocks_total)
                     : 0);
  m.connections.Set(static_cast<double>(connections));
  Impl::catch_up(m.preemptions, stats.preemptions);
  Impl::catch_up(m.prompt_tokens, stats.prompt_tokens);
  Impl::catch_up(m.generation_tokens, stats.generated_tokens);
  for (std::size_t i = 0; i < m.finished.size(); ++i)
    Impl::catch_up(*m.finished[i], stats.requests_finished[i]);
  Impl::catch_up(m.computed, stats.computed_tokens);
  Impl::catch_up(m.recomputed, stats.recomputed_tokens);
  Impl::catch_up(m.abandoned, stats.abandoned_tokens);
  Impl::catch_up(m.expired, stats.expired_tokens);
  Impl::catch_up(m.avoided, stats.recompute_avoided_tokens);
  Impl::catch_up(m.attempts, stats.attempts);
  Impl::catch_up(m.retries, stats.retries);
  Impl::catch_up(m.expert_steps, stats.expert_steps);
  if (const double behind = stats.expert_imbalance - m.expert_imbalance.Value(); behind > 0)
    m.expert_imbalance.Increment(behind);
  Impl::catch_up(m.prefix_queries, stats.prefix_queries);
  Impl::catch_up(m.prefix_hits, stats.prefix_hits);
  Impl::catch_up(m.drafts, stats.draft_tokens);
  Impl::catch_up(m.accepted_drafts, stats.accepted_drafts);
  Impl::catch_up(m.tried_drafts, stats.tried_drafts);
  m.acceptance.Set(static_cast<double>(stats.accepted_drafts) / static_cast<double>(stats.tried_drafts));
  if (stats.acceptance_set) m.acceptance_set_family.Add(m.model).Set(*stats.acceptance_set);
  m.blocks_cached.Set(static_cast<double>(stats.blocks_cached));
  m.blocks_withheld.Set(static_cast<double>(stats.blocks_withheld));
  Impl::catch_up(m.refused, stats.requests_refused);
  for (std::size_t i = 0; i < m.refused_by.size(); ++i) Impl::catch_up(*m.refused_by[i], stats.refused_by[i]);
  if (stats.running_limit) m.running_limit.Set(static_cast<double>(*stats.running_limit));
  Impl::catch_up(m.steps, stats.steps);
  if (const double behind = to_seconds(stats.busy) - m.busy.Value(); behind > 0) m.busy.Increment(behind);

  std::ostringstream out;
  prometheus::TextSerializer{}.Serialize(out, m.registry.Collect());
  return std::move(out).str();
}

}  // namespace dsbench::engine::server
