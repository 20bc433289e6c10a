#pragma once

#include "results/run_summary.h"

// Which key carries which field of run.json, said once for printing and for reading. The archive A is the
// printer or the reader of results/run_file.cc; the second argument is const for the one and mutable for the
// other. A has
//   known(key, field)                Validity: true, false or null
//   value(key, field)                bool, integers, double, string; optionals of numbers
//   ns(key, field), rps(key, field)  Nanos, Rate and optionals of them
//   word(key, field)                 an enum by its to_word()
//   texts, pairs, by_reason, json    string lists, (key, value) lists, counts by reason, a JSON object kept
//   as text object, objects(key, field, f)   nested: f(archive of the inner object, field)
namespace dsbench::results {

template <class A, class P>
void describe_percentile(A& a, P& p) {
  a.value("q", p.q);
  a.value("needs", p.needs);
  a.ns("value_ns", p.value);
  a.value("infinite", p.infinite);
}

template <class A, class L>
void describe_latency(A& a, L& l) {
  a.value("count", l.count);
  a.value("infinite", l.infinite);
  a.ns("min_ns", l.min);
  a.ns("mean_ns", l.mean);
  a.ns("max_ns", l.max);
  a.objects("percentiles", l.percentiles, [](A& inner, auto& p) { describe_percentile(inner, p); });
}

template <class A, class L>
void describe_ledger(A& a, L& l) {
  a.value("computed_tokens", l.computed_tokens);
  a.value("recomputed_tokens", l.recomputed_tokens);
  a.value("abandoned_tokens", l.abandoned_tokens);
  a.value("generated_tokens", l.generated_tokens);
  a.value("preemptions", l.preemptions);
}

template <class A, class S>
void describe_stage(A& a, S& s) {
  const auto latency = [](A& inner, auto& l) { describe_latency(inner, l); };
  a.value("index", s.index);
  a.value("name", s.name);
  a.word("kind", s.kind);
  a.rps("planned_rps", s.planned);
  a.ns("start_ns", s.start);
  a.ns("measure_from_ns", s.measure_from);
  a.ns("end_ns", s.end);
  a.value("requests", s.requests);
  a.value("delivered", s.delivered);
  a.value("completed", s.completed);
  a.value("good", s.good);
  a.value("attempts", s.attempts);
  a.by_reason("attempts_by_reason", s.attempts_by_reason);
  a.by_reason("requests_by_reason", s.requests_by_reason);
  a.rps("offered_rps", s.offered);
  a.rps("delivered_rate_rps", s.delivered_rate);
  a.rps("completed_rate_rps", s.completed_rate);
  a.rps("good_rate_rps", s.good_rate);
  a.value("good_share", s.good_share);
  a.value("good_share_lower", s.good_share_lower);
  a.value("good_share_upper", s.good_share_upper);
  a.word("verdict", s.verdict);
  a.value("output_tokens", s.output_tokens);
  a.object("ttft", s.ttft, latency);
  a.object("ttft_service", s.ttft_service, latency);
  a.object("tpot", s.tpot, latency);
  a.object("itl", s.itl, latency);
  a.object("e2e", s.e2e, latency);
  a.object("e2e_service", s.e2e_service, latency);
  a.object("ntpot", s.ntpot, latency);
  a.object("send_lag", s.send_lag, latency);
  a.object("read_lag", s.read_lag, latency);
  a.optional_object("ledger", s.ledger, [](A& inner, auto& l) { describe_ledger(inner, l); });
  a.texts("invalid_causes", s.invalid_causes);
}

template <class A, class P>
void describe_point(A& a, P& p) {
  a.value("second", p.second);
  a.value("offered", p.offered);
  a.value("sent", p.sent);
  a.value("completed", p.completed);
  a.value("good", p.good);
  a.value("failed", p.failed);
  a.value("good_of_due", p.good_of_due);
  a.value("in_flight", p.in_flight);
  a.ns("ttft_p50_ns", p.ttft_p50);
  a.ns("ttft_max_ns", p.ttft_max);
  a.ns("send_lag_max_ns", p.send_lag_max);
  a.value("engine_running", p.engine_running);
  a.value("engine_waiting", p.engine_waiting);
  a.value("engine_kv_used_share", p.engine_kv_used_share);
  a.value("stage", p.stage);
}

template <class A, class K>
void describe_knee(A& a, K& k) {
  a.rps("offered_rps", k.offered);
  a.rps("lower_rps", k.lower);
  a.rps("upper_rps", k.upper);
  a.value("sentence", k.sentence);
}

template <class A, class C>
void describe_collapse(A& a, C& c) {
  a.word("verdict", c.verdict);
  a.rps("at_rps", c.at);
  a.rps("good_rate_rps", c.good_rate);
  a.rps("peak_good_rate_rps", c.peak_good_rate);
  a.value("ratio", c.ratio);
  a.value("ratio_lower", c.ratio_lower);
  a.value("ratio_upper", c.ratio_upper);
  a.rps("collapse_load_rps", c.collapse_load);
  a.value("sentence", c.sentence);
}

template <class A, class R>
void describe_recovery(A& a, R& r) {
  a.word("verdict", r.verdict);
  a.rps("base_rps", r.base);
  a.ns("time_ns", r.time);
  a.value("ratio", r.ratio);
  a.value("ratio_upper", r.ratio_upper);
  a.rps("highest_recovered_rps", r.highest_recovered);
  a.value("sentence", r.sentence);
}

template <class A, class S>
void describe_slo(A& a, S& s) {
  a.ns("ttft_ns", s.ttft);
  a.ns("tpot_ns", s.tpot);
  a.ns("e2e_ns", s.e2e);
}

template <class A, class C>
void describe_criterion(A& a, C& c) {
  a.value("name", c.name);
  a.value("measured", c.measured);
  a.word("verdict", c.verdict);
}

template <class A, class S>
void describe_slice(A& a, S& s) {
  const auto latency = [](A& inner, auto& l) { describe_latency(inner, l); };
  a.value("requests", s.requests);
  a.value("completed", s.completed);
  a.value("good", s.good);
  a.value("attempts", s.attempts);
  a.value("prompt_tokens", s.prompt_tokens);
  a.value("output_tokens", s.output_tokens);
  a.value("good_share", s.good_share);
  a.value("cached_share", s.cached_share);
  a.value("reasoning_share", s.reasoning_share);
  a.object("ttft", s.ttft, latency);
  a.object("e2e", s.e2e, latency);
}

template <class A, class T>
void describe_tenant(A& a, T& t) {
  a.value("name", t.name);
  a.object("slo", t.slo, [](A& inner, auto& s) { describe_slo(inner, s); });
  a.value("planned_reasoning_share", t.planned_reasoning_share);
  describe_slice(a, t.slice);
}

template <class A, class T>
void describe_turn(A& a, T& t) {
  a.value("from", t.from);
  a.value("to", t.to);
  describe_slice(a, t.slice);
}

template <class A, class M>
void describe_amplification(A& a, M& m) {
  a.value("stage", m.stage);
  a.value("name", m.name);
  a.value("users", m.users);
  a.value("requests", m.requests);
  a.value("attempts", m.attempts);
  a.value("tokens", m.tokens);
  a.value("computed_tokens", m.computed_tokens);
  a.value("requests_per_user", m.requests_per_user);
  a.value("attempts_per_request", m.attempts_per_request);
  a.value("tokens_per_attempt", m.tokens_per_attempt);
  a.value("computed_per_token", m.computed_per_token);
}

template <class A, class P>
void describe_phases(A& a, P& p) {
  const auto latency = [](A& inner, auto& l) { describe_latency(inner, l); };
  a.value("stage", p.stage);
  a.value("name", p.name);
  a.value("attempts", p.attempts);
  a.value("connections", p.connections);
  a.object("dns", p.dns, latency);
  a.object("connect", p.connect, latency);
  a.object("tls", p.tls, latency);
  a.object("first_byte", p.first_byte, latency);
}

template <class A, class C>
void describe_calibration(A& a, C& c) {
  a.value("target", c.target);
  a.value("source", c.source);
  a.value("bytes_per_token", c.bytes_per_token);
  a.value("request_overhead", c.request_overhead);
  a.value("message_overhead", c.message_overhead);
  a.value("probes", c.probes);
  a.value("checks", c.checks);
  a.value("mean_error", c.mean_error);
  a.value("largest_error", c.largest_error);
}

template <class A, class T>
void describe_token_counts(A& a, T& t) {
  a.value("prompts_by_usage", t.prompts_by_usage);
  a.value("prompts_as_asked", t.prompts_as_asked);
  a.value("outputs_by_usage", t.outputs_by_usage);
  a.value("outputs_by_chunks", t.outputs_by_chunks);
  a.value("outputs_retokenised", t.outputs_retokenised);
  a.value("prompt_bias", t.prompt_bias);
  a.value("prompt_mean_error", t.prompt_mean_error);
  a.value("prompt_largest_error", t.prompt_largest_error);
  a.value("images", t.images);
  a.value("image_bytes", t.image_bytes);
  a.objects("calibrations", t.calibrations, [](A& inner, auto& c) { describe_calibration(inner, c); });
}

template <class A, class F>
void describe_fault(A& a, F& f) {
  a.value("provider", f.provider);
  a.word("kind", f.kind);
  a.ns("at_ns", f.at);
  a.ns("heal_ns", f.heal);
}

template <class A, class P>
void describe_provider(A& a, P& p) {
  a.value("index", p.index);
  a.value("name", p.name);
  a.value("attempts", p.attempts);
  a.value("requests", p.requests);
  a.value("good", p.good);
  a.by_reason("attempts_by_reason", p.attempts_by_reason);
  a.value("prompt_tokens", p.prompt_tokens);
  a.value("resent_tokens", p.resent_tokens);
  a.value("reprefilled_tokens", p.reprefilled_tokens);
  a.value("ejections", p.ejections);
}

template <class A, class I>
void describe_incident(A& a, I& i) {
  a.value("provider", i.provider);
  a.value("cause", i.cause);
  a.ns("start_ns", i.start);
  a.ns("end_ns", i.end);
  a.ns("detection_ns", i.detection);
  a.ns("detection_last_ns", i.detection_last);
  a.ns("failover_ns", i.failover);
  a.value("good_share_before", i.good_share_before);
  a.value("requests_lost", i.requests_lost);
  a.value("requests_late", i.requests_late);
  a.value("sessions_moved", i.sessions_moved);
  a.value("reprefilled_tokens", i.reprefilled_tokens);
  a.ns("failback_ns", i.failback);
}

template <class A, class F>
void describe_failover(A& a, F& f) {
  a.value("sentence", f.sentence);
  a.ns("objective_ns", f.objective);
  a.objects("incidents", f.incidents, [](A& inner, auto& i) { describe_incident(inner, i); });
  a.value("changes", f.changes);
  a.value("changes_per_minute", f.changes_per_minute);
  a.value("sessions_moved", f.sessions_moved);
  a.value("reprefilled_tokens", f.reprefilled_tokens);
  a.value("resent_tokens", f.resent_tokens);
  a.objects("seconds", f.seconds, [](A& inner, auto& s) {
    inner.value("second", s.second);
    inner.value("provider", s.provider);
    inner.value("sent", s.sent);
    inner.value("good", s.good);
    inner.value("failed", s.failed);
  });
}

template <class A, class W>
void describe_worker(A& a, W& w) {
  a.value("index", w.index);
  a.value("count", w.count);
  a.value("found", w.found);
  a.value("start", w.start);
  a.ns("start_at_ns", w.start_at);
  a.ns("began_at_ns", w.began_at);
  a.ns("lateness_ns", w.lateness);
  a.ns("clock_offset_ns", w.clock_offset);
  a.ns("round_trip_ns", w.round_trip);
  a.value("plan_digest", w.plan_digest);
  a.value("schedule_digest", w.schedule_digest);
  a.value("scheduled", w.scheduled);
}

template <class A, class W>
void describe_merged_worker(A& a, W& w) {
  describe_worker(a, w.share);
  a.value("ended", w.ended);
  a.value("valid", w.valid);
  a.value("requests", w.requests);
  a.value("attempts", w.attempts);
  a.value("completed", w.completed);
  a.value("good", w.good);
  a.ns("send_lag_p99_ns", w.send_lag_p99);
  a.ns("send_lag_max_ns", w.send_lag_max);
  a.value("cpu_model", w.cpu_model);
}

// Everything after "schema".
template <class A, class Run>
void describe_run(A& a, Run& r) {
  a.required_word("verdict", r.verdict);
  a.value("sentence", r.sentence);
  a.required_object("validity", r, [](A& inner, auto& run) {
    inner.known("valid", run.validity);
    inner.texts("invalid_causes", run.invalid_causes);
  });
  a.value("kind", r.kind);
  a.value("ended", r.ended);
  a.texts("warnings", r.warnings);
  a.objects("criteria", r.criteria, [](A& inner, auto& c) { describe_criterion(inner, c); });
  a.object("knee", r.knee, [](A& inner, auto& k) { describe_knee(inner, k); });
  a.object("collapse", r.collapse, [](A& inner, auto& c) { describe_collapse(inner, c); });
  a.object("recovery", r.recovery, [](A& inner, auto& c) { describe_recovery(inner, c); });
  a.value("requests", r.requests);
  a.value("attempts", r.attempts);
  a.value("retry_amplification", r.retry_amplification);
  a.optional_object("ledger", r.ledger, [](A& inner, auto& l) { describe_ledger(inner, l); });
  a.objects("providers", r.providers, [](A& inner, auto& p) { describe_provider(inner, p); });
  a.objects("faults", r.faults, [](A& inner, auto& f) { describe_fault(inner, f); });
  a.optional_object("failover", r.failover, [](A& inner, auto& f) { describe_failover(inner, f); });
  a.objects("events", r.events, [](A& inner, auto& e) {
    inner.ns("at_ns", e.at);
    inner.ns("until_ns", e.until);
    inner.value("what", e.what);
    inner.value("target", e.target);
  });
  a.object("slo", r.slo, [](A& inner, auto& s) { describe_slo(inner, s); });
  a.objects("tenants", r.tenants, [](A& inner, auto& t) { describe_tenant(inner, t); });
  a.value("fairness", r.fairness);
  a.objects("turns", r.turns, [](A& inner, auto& t) { describe_turn(inner, t); });
  a.objects("amplification", r.amplification, [](A& inner, auto& m) { describe_amplification(inner, m); });
  a.objects("phases", r.phases, [](A& inner, auto& p) { describe_phases(inner, p); });
  a.object("token_counts", r.token_counts, [](A& inner, auto& t) { describe_token_counts(inner, t); });
  a.optional_object("worker", r.worker, [](A& inner, auto& w) { describe_worker(inner, w); });
  a.objects("workers", r.workers, [](A& inner, auto& w) { describe_merged_worker(inner, w); });
  a.value("workers_expected", r.workers_expected);
  a.value("target", r.target);
  a.value("target_description", r.target_description);
  a.value("simulated", r.simulated);
  a.texts("command", r.command);
  a.value("seed", r.seed);
  a.json("profile", r.profile_json);
  a.ns("started_at_ns", r.started_at);
  a.ns("ended_at_ns", r.ended_at);
  a.ns("duration_ns", r.duration);
  a.value("dsbench_version", r.dsbench_version);
  a.value("dsbench_commit", r.dsbench_commit);
  a.value("dsbench_build", r.dsbench_build);
  a.pairs("host", r.host);
  a.objects("stages", r.stages, [](A& inner, auto& s) { describe_stage(inner, s); });
  a.objects("timeline", r.timeline, [](A& inner, auto& p) { describe_point(inner, p); });
}

}  // namespace dsbench::results
