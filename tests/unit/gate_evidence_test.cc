#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/files.h"
#include "results/gate/comparability.h"
#include "results/gate/judge.h"
#include "results/gate/noise_store.h"
#include "results/gate/outcome.h"
#include "results/run_file.h"

namespace dsbench::results::gate {
namespace {

using testing::HasSubstr;

LatencySummary latency(std::int64_t count, Nanos p50, std::optional<Nanos> p99) {
  LatencySummary l;
  l.count = count;
  l.mean = p50;
  l.percentiles = {{0.5, 11, p50, false}, {0.99, 662, p99, false}};
  return l;
}

RunSummary run_of(std::uint64_t seed, Nanos ttft) {
  RunSummary run;
  run.kind = "load";
  run.seed = seed;
  run.profile_json =
      R"({"traffic":{"arrivals":{"process":"poisson"},"pieces":[{"shape":"hold","rate":"2/s"}]},"workload":{"description":"words","prompt_tokens":48},"slo":{"ttft":"2s"},"client":{"retry":0}})";
  run.target_description = "model tiny, server dsbench, context 2048 tokens, dsbench serve --blocks 64";
  run.host = {{"cpu_model", "Z80"}, {"cores", "2"}, {"memory_bytes", "8589934592"}, {"kernel", "Linux 6"}};
  run.dsbench_version = "0.1.0";
  run.dsbench_commit = "abc";
  StageSummary stage;
  stage.name = "hold 2/s";
  stage.requests = 100;
  stage.completed = 98;
  stage.good = 97;
  stage.end = Nanos{50'000'000'000};
  stage.output_tokens = 1000;
  stage.good_rate = Rate::per_second(1.94);
  stage.ttft = latency(100, ttft, std::nullopt);
  stage.tpot = latency(100, Nanos{20'000'000}, std::nullopt);
  stage.e2e = latency(100, Nanos{900'000'000}, std::nullopt);
  run.stages = {stage};
  return run;
}

std::string value_of(const Evidence& e, std::string_view key) {
  for (const auto& [name, value] : e.key) {
    if (name == key) return value;
  }
  return "absent";
}

TEST(GateEvidence, numbers_of_a_run) {
  const Evidence e = evidence_of(run_of(3, Nanos{40'000'000}), "r");
  ASSERT_NE(e.find("p50 ttft"), nullptr);
  EXPECT_DOUBLE_EQ(*e.find("p50 ttft")->value, 0.040);
  EXPECT_TRUE(e.find("p50 ttft")->by_default);
  EXPECT_FALSE(e.find("p99 ttft")->value);
  EXPECT_EQ(e.find("p99 ttft")->missing, "needs 662 samples, has 100");
  EXPECT_DOUBLE_EQ(*e.find("good_share")->value, 0.97);
  EXPECT_DOUBLE_EQ(*e.find("failed_share")->value, 0.02);
  EXPECT_EQ(e.find("failed_share")->metric.better, Better::lower);
  EXPECT_EQ(e.find("good_rate")->metric.better, Better::higher);
  EXPECT_DOUBLE_EQ(*e.find("output_token_rate")->value, 20);
  EXPECT_TRUE(e.invalid.empty());
}

TEST(GateEvidence, a_percentile_among_failures_is_infinite_and_no_hole) {
  RunSummary run = run_of(1, Nanos{40'000'000});
  run.stages[0].ttft.percentiles[1] = {0.99, 662, std::nullopt, true};
  run.stages[0].ttft.infinite = 700;
  const Evidence e = evidence_of(run, "r");
  EXPECT_TRUE(std::isinf(*e.find("p99 ttft")->value));
  EXPECT_TRUE(std::isinf(*e.find("mean ttft")->value));
}

TEST(GateEvidence, several_stages_are_named_and_a_second_of_one_name_numbered) {
  RunSummary run = run_of(1, Nanos{40'000'000});
  run.stages.push_back(run.stages[0]);
  run.stages.push_back(run.stages[0]);
  run.stages[2].name = "ramp";
  const Evidence e = evidence_of(run, "r");
  EXPECT_NE(e.find("hold 2/s: p50 ttft"), nullptr);
  EXPECT_NE(e.find("hold 2/s #2: p50 ttft"), nullptr);
  EXPECT_NE(e.find("ramp: p50 ttft"), nullptr);
}

TEST(GateEvidence, a_rehearsal_tells_its_knee_and_recovery) {
  RunSummary run;
  run.kind = "rehearse";
  run.knee.offered = Rate::per_second(12);
  run.recovery.verdict = RecoveryVerdict::metastable;
  const Evidence e = evidence_of(run, "r");
  EXPECT_DOUBLE_EQ(*e.find("knee")->value, 12);
  EXPECT_TRUE(std::isinf(*e.find("recovery_time")->value)) << "it never came back";
  EXPECT_EQ(e.find("peak_good_rate")->missing, "no collapse was tested");
}

TEST(GateEvidence, what_is_invalid_or_not_whole_is_no_evidence) {
  RunSummary run = run_of(1, Nanos{40'000'000});
  run.validity = Validity::invalid;
  run.invalid_causes = {"send lag"};
  EXPECT_THAT(evidence_of(run, "r").invalid, testing::ElementsAre("send lag"));
  run = run_of(1, Nanos{40'000'000});
  run.ended = "interrupted";
  EXPECT_THAT(evidence_of(run, "r").invalid, testing::ElementsAre("not a whole run: interrupted"));
}

TEST(GateEvidence, the_key_of_a_run) {
  const Evidence e = evidence_of(run_of(3, Nanos{1}), "r");
  EXPECT_EQ(value_of(e, "workload"), R"({"prompt_tokens":48})") << "prose is no part of it";
  EXPECT_EQ(value_of(e, "arrivals"), R"({"process":"poisson"})");
  EXPECT_EQ(value_of(e, "rates"), R"({"pieces":[{"rate":"2/s","shape":"hold"}]})");
  EXPECT_EQ(value_of(e, "seed"), "3");
  EXPECT_EQ(value_of(e, "model"), "tiny");
  EXPECT_EQ(value_of(e, "server_flags"), "server dsbench, context 2048 tokens, dsbench serve --blocks 64");
  EXPECT_EQ(value_of(e, "hardware"), "Z80, 2 cores, 8 GiB");
  EXPECT_EQ(value_of(e, "client_version"), "0.1.0 abc ");
  ASSERT_EQ(e.key.size(), run_keys().size());
  for (std::size_t i = 0; i < e.key.size(); ++i) EXPECT_EQ(e.key[i].first, run_keys()[i]);
}

TEST(GateEvidence, kernels_are_one_number_a_process) {
  const auto e = parse_kernel_evidence(
      R"({"context":{"date":"now","gpu":"H200","driver":"570","cuda":12.9,"load_avg":[1]},
          "benchmarks":[
            {"name":"mla/64","run_name":"mla/64","run_type":"iteration","real_time":12.0,"time_unit":"us"},
            {"name":"mla/64","run_name":"mla/64","run_type":"iteration","real_time":10.0,"time_unit":"us"},
            {"name":"mla/64","run_name":"mla/64","run_type":"iteration","real_time":11.0,"time_unit":"us"},
            {"name":"mla/64_mean","run_name":"mla/64","run_type":"aggregate","aggregate_name":"mean","real_time":99,"time_unit":"us"},
            {"name":"moe_median","run_name":"moe","run_type":"aggregate","aggregate_name":"median","real_time":2,"time_unit":"ms"},
            {"name":"bad","run_name":"bad","error_occurred":true,"error_message":"oracle differs"}]})",
      "k.json");
  ASSERT_TRUE(e) << e.error().message;
  EXPECT_NEAR(*e->find("mla/64")->value, 11e-6, 1e-15);
  EXPECT_NEAR(*e->find("moe")->value, 2e-3, 1e-15);
  EXPECT_EQ(e->find("bad")->missing, "oracle differs");
  EXPECT_EQ(value_of(*e, "gpu"), "H200");
  EXPECT_EQ(value_of(*e, "cuda"), "12.9");
  EXPECT_EQ(value_of(*e, "date"), "absent");
  EXPECT_EQ(value_of(*e, "load_avg"), "absent");
  EXPECT_EQ(parse_kernel_evidence(R"({"benchmarks":[{"name":"x","real_time":1,"time_unit":"fortnights"}]})",
                                  "k.json")
                .error()
                .message,
            "k.json: benchmark x: time unit 'fortnights'; accepted: ns, us, ms, s");
  EXPECT_EQ(parse_kernel_evidence(R"({"benchmarks":[]})", "k.json").error().message,
            "k.json: it has no benchmark in it");
}

// As `dsbench kernels` writes it: Google Benchmark's list, and every cell beside it.
Evidence kernels_at(double seconds, double clock_hz, const char* state = "ok") {
  const std::string text = fmt::format(
      R"({{"context":{{"gpu":"H200","sm_mhz":"1980"}},"benchmarks":[],"dsbench":{{"schema":"dsbench.kernels/1","interrupted":false,
          "cells":[{{"name":"mla/64","kernel":"ours","role":"kernel","state":"{}","why":"row 3","time_s":{},"clock_hz":{}}},
                   {{"name":"mla/64","kernel":"cublas","role":"baseline","state":"ok","time_s":1e-5,"clock_hz":{}}},
                   {{"name":"control/copy","kernel":"","role":"kernel","state":"ok","time_s":2e-5}}]}}}})",
      state, seconds, clock_hz, clock_hz);
  auto e = parse_kernel_evidence(text, "k.json");
  EXPECT_TRUE(e) << e.error().message;
  return *e;
}

TEST(GateEvidence, cells_of_dsbench_kernels) {
  const Evidence e = kernels_at(1.5e-5, 1.9e9);
  EXPECT_DOUBLE_EQ(*e.find("mla/64/ours")->value, 1.5e-5);
  EXPECT_DOUBLE_EQ(*e.find("mla/64/ours")->clock_hz, 1.9e9);
  EXPECT_TRUE(e.find("mla/64/ours")->by_default);
  EXPECT_FALSE(e.find("mla/64/cublas")->by_default);
  EXPECT_FALSE(e.find("control/copy")->by_default);
  EXPECT_EQ(value_of(e, "sm_mhz"), "absent");
  EXPECT_EQ(kernels_at(1.5e-5, 1.9e9, "incorrect").find("mla/64/ours")->missing, "incorrect: row 3");
}

TEST(GateJudge, kernels_are_compared_in_cycles_where_the_clocks_differ) {
  const auto side = [](double level, double clock_hz) {
    std::vector<Evidence> runs;
    for (int i = 0; i < 6; ++i) runs.push_back(kernels_at(1e-5 * level * (1 + 0.001 * i), clock_hz));
    return runs;
  };
  const auto base = side(1, 1.98e9);
  EXPECT_EQ(judge(base, side(1.1, 1.98e9), {})->metrics[0].verdict, MetricVerdict::regressed);
  const auto throttled = judge(base, side(1.1, 1.8e9), {});
  EXPECT_EQ(throttled->metrics[0].verdict, MetricVerdict::inconclusive);
  EXPECT_EQ(throttled->metrics[0].note,
            "the clock differed by -9.1 %, and in cycles the change is +0.0 %: not beyond the margin");
  EXPECT_EQ(judge(base, side(1.3, 1.8e9), {})->metrics[0].verdict, MetricVerdict::regressed);
}

TEST(GateEvidence, paths_that_are_none) {
  const auto none = read_evidence("/nowhere/at/all");
  EXPECT_EQ(none.error().message,
            "/nowhere/at/all is no evidence: there is no such file; accepted: a run directory, its run.json, "
            "a JSON "
            "file of Google Benchmark's form, or a result of vllm bench serve, SGLang, AIPerf or GuideLLM");
  EXPECT_EQ(none.error().kind, ErrorKind::usage);
  const auto folder = std::filesystem::temp_directory_path() / "dsbench-gate-evidence-test";
  std::filesystem::create_directories(folder);
  EXPECT_THAT(read_evidence(folder).error().message, HasSubstr("there is no run.json in it"));
  ASSERT_TRUE(write_run(folder / "run.json", run_of(1, Nanos{40'000'000})));
  const auto run = read_evidence(folder);
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_DOUBLE_EQ(*run->find("p50 ttft")->value, 0.040);
  EXPECT_TRUE(read_evidence(folder / "run.json"));
  std::filesystem::remove_all(folder);
}

TEST(GateComparability, what_differs_is_told_with_both_values) {
  RunSummary other = run_of(2, Nanos{1});
  other.target_description = "model tiny, server dsbench, context 2048 tokens, dsbench serve --blocks 32";
  const std::vector<Evidence> a{evidence_of(run_of(1, Nanos{1}), "a")}, b{evidence_of(other, "b")};
  const auto found = compare_keys(a, b, {});
  ASSERT_TRUE(found);
  EXPECT_EQ(describe_refused(*found),
            "seed: baseline 1; candidate 2\n"
            "server_flags: baseline …ext 2048 tokens, dsbench serve --blocks 64; "
            "candidate …ext 2048 tokens, dsbench serve --blocks 32");
  const auto allowed = compare_keys(a, b, {"seed", "server_flags"});
  ASSERT_EQ(allowed->size(), 2U);
  EXPECT_EQ(describe_refused(*allowed), "");
  EXPECT_THAT(
      compare_keys(a, b, {"sead"}).error().message,
      HasSubstr(
          "--allow-mismatch sead: these runs have no such key; accepted: workload, arrivals, rates, slo, "
          "client, seed, model, server_flags, hardware, driver, client_version"));
  EXPECT_THAT(compare_keys(a, b, {"kind"}).error().message, HasSubstr("cannot be compared at all"));
}

TEST(GateComparability, seeds_are_compared_as_schedules) {
  std::vector<Evidence> a, b;
  for (const std::uint64_t s : {1, 2, 3}) a.push_back(evidence_of(run_of(s, Nanos{1}), "a"));
  for (const std::uint64_t s : {3, 1, 2}) b.push_back(evidence_of(run_of(s, Nanos{1}), "b"));
  EXPECT_TRUE(compare_keys(a, b, {})->empty());
  b.pop_back();
  EXPECT_EQ(describe_refused(*compare_keys(a, b, {})), "seed: baseline 1, 2, 3; candidate 1, 3");
}

TEST(GateComparability, one_side_must_be_of_one_kind_too) {
  RunSummary other = run_of(1, Nanos{1});
  other.host[0].second = "6502";
  const std::vector<Evidence> mixed{evidence_of(run_of(1, Nanos{1}), "a"), evidence_of(other, "b")};
  const auto found = compare_keys(mixed, mixed, {});
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ((*found)[0].key, "hardware");
}

std::vector<Evidence> runs_at(std::initializer_list<int> ttft_ms) {
  std::vector<Evidence> runs;
  std::uint64_t seed = 0;
  for (const int ms : ttft_ms) {
    ++seed;
    runs.push_back(evidence_of(run_of(seed, Nanos{ms * 1'000'000LL}), fmt::format("run{}", seed)));
  }
  return runs;
}

TEST(GateJudge, defaults_are_what_every_baseline_run_has) {
  const auto a = runs_at({100, 101, 102, 103, 104, 105}), b = runs_at({120, 121, 122, 123, 124, 125});
  const auto judged = judge(a, b, {});
  ASSERT_TRUE(judged) << judged.error().message;
  std::vector<std::string> names;
  for (const auto& m : judged->metrics) names.push_back(m.metric.name);
  EXPECT_THAT(names, testing::ElementsAre("p50 ttft", "p50 tpot", "p50 e2e", "good_rate"));
  EXPECT_THAT(judged->notes,
              testing::ElementsAre(
                  "p99 ttft is not gated: no value in 6 of 6 baseline runs (needs 662 samples, has 100)"));
  EXPECT_EQ(judged->metrics[0].verdict, MetricVerdict::regressed);
  EXPECT_NEAR(judged->metrics[0].p, 2.0 / 924, 1e-9);
  EXPECT_NEAR(judged->metrics[0].p_holm, 8.0 / 924, 1e-9) << "four metrics";
  EXPECT_EQ(judged->metrics[1].verdict, MetricVerdict::same) << "nothing but equal values";
  EXPECT_EQ(judge(b, a, {})->metrics[0].verdict, MetricVerdict::improved);
}

TEST(GateJudge, significant_but_small_is_not_a_regression) {
  const auto a = runs_at({1000, 1001, 1002, 1003, 1004, 1005}),
             b = runs_at({1020, 1021, 1022, 1023, 1024, 1025});
  const auto judged = judge(a, b, {});
  EXPECT_LT(judged->metrics[0].p_holm, 0.05);
  EXPECT_EQ(judged->metrics[0].verdict, MetricVerdict::same) << "2 % with a margin of 5 %";
  JudgeSettings strict;
  strict.margins["p50 ttft"] = 0.01;
  EXPECT_EQ(judge(a, b, strict)->metrics[0].verdict, MetricVerdict::regressed);
  strict.margins["p50 ttft"] = 0.021;
  EXPECT_EQ(judge(a, b, strict)->metrics[0].verdict, MetricVerdict::inconclusive);
  EXPECT_EQ(judge(a, b, strict)->metrics[0].note,
            "a change, but not shown to be beyond the margin nor within it");
}

TEST(GateJudge, large_but_not_significant_is_inconclusive) {
  const auto a = runs_at({100, 200, 120, 180, 110, 190}), b = runs_at({115, 220, 140, 230, 105, 215});
  const auto judged = judge(a, b, {});
  EXPECT_EQ(judged->metrics[0].verdict, MetricVerdict::inconclusive);
  // The interval's farther end: five ratios are left out at each, and the sixth largest is 215 / 110.
  EXPECT_EQ(judged->metrics[0].note, "too noisy to tell: shown to be the same only within 95.5 %");
}

TEST(GateJudge, what_a_candidate_run_does_not_tell_is_not_passed_over) {
  const auto a = runs_at({100, 100, 100, 100, 100, 100});
  auto b = runs_at({100, 100, 100, 100, 100, 100});
  for (Measured& m : b[2].metrics) {
    if (m.metric.name != "p50 ttft") continue;
    m.value.reset();
    m.missing = "needs 11 samples, has 3";
  }
  const auto judged = judge(a, b, {});
  EXPECT_EQ(judged->metrics[0].verdict, MetricVerdict::inconclusive);
  EXPECT_EQ(judged->metrics[0].note, "no value in 1 of 6 candidate runs (needs 11 samples, has 3)");
}

TEST(GateJudge, metrics_by_name_and_pattern) {
  const auto a = runs_at({100, 101, 102, 103, 104, 105});
  JudgeSettings settings;
  settings.metrics = {"good_*"};
  EXPECT_THAT(*gated_metrics(a, a, settings), testing::ElementsAre("good_rate", "good_share"));
  settings.metrics = {"p55 ttft"};
  const auto none = gated_metrics(a, a, settings);
  EXPECT_THAT(none.error().message,
              HasSubstr("--metric 'p55 ttft': the runs have no such metric; did you mean 'p50 ttft'?"));
  settings.metrics.clear();
  settings.margins["knee"] = 0.1;
  EXPECT_THAT(gated_metrics(a, a, settings).error().message,
              HasSubstr("--margin 'knee': the runs have no such metric"));
  EXPECT_TRUE(matches("a*c*", "abcd"));
  EXPECT_FALSE(matches("a*d", "abc"));
}

TEST(GateOutcome, bounds_hold_in_every_run_and_no_data_is_a_failure) {
  const auto runs = runs_at({100, 100, 300});
  const auto met = judge_requirements({"p50 ttft < 1s"}, runs);
  EXPECT_EQ((*met)[0].measured, "met in 3 of 3 runs");
  const auto missed = judge_requirements({"p50 ttft < 200ms"}, runs);
  EXPECT_EQ((*missed)[0].verdict, StepVerdict::bad);
  EXPECT_EQ((*missed)[0].measured, "met in 2 of 3 runs; run3: 300 ms");
  EXPECT_EQ((*judge_requirements({"p99 ttft < 1s"}, runs))[0].measured,
            "met in 0 of 3 runs; run1: n/a (needs 662, has 100)");
  EXPECT_EQ((*judge_requirements({"no such: p50 ttft < 1s"}, runs))[0].verdict, StepVerdict::bad);
  EXPECT_EQ(judge_requirements({"p50 ttft < 1s", "p50 ttft < 2s"}, runs).error().message,
            "--require 'p50 ttft < 2s': there is a bound on this already; give one");
}

TEST(GateOutcome, bounds_of_a_class) {
  RunSummary run = run_of(1, Nanos{100'000'000});
  TenantSummary gold;
  gold.name = "gold";
  gold.slice.requests = 100;
  gold.slice.completed = gold.slice.good = 90;
  gold.slice.ttft = latency(100, Nanos{700'000'000}, std::nullopt);
  run.tenants = {gold};
  const std::vector<Evidence> runs{evidence_of(run, "r")};
  EXPECT_EQ((*judge_requirements({"class gold: p50 ttft < 1s"}, runs))[0].verdict, StepVerdict::good);
  EXPECT_EQ((*judge_requirements({"class gold: good_share >= 95%"}, runs))[0].measured,
            "met in 0 of 1 runs; r: 90.00 %");
  EXPECT_EQ((*judge_requirements({"class iron: p50 ttft < 1s"}, runs))[0].measured,
            "met in 0 of 1 runs; r: no such class");
  EXPECT_THAT(judge_requirements({"class gold: p50 tpot < 1s"}, runs).error().message,
              HasSubstr("of a class a run tells ttft, e2e, good_share, completed_share and failed_share"));
}

TEST(GateOutcome, what_counts_most_comes_first) {
  Outcome o;
  o.judgement.metrics.resize(2);
  o.judgement.metrics[0].verdict = MetricVerdict::same;
  o.judgement.metrics[1].verdict = MetricVerdict::same;
  conclude(o);
  EXPECT_EQ(o.overall, Overall::passed);
  o.judgement.metrics[1].verdict = MetricVerdict::inconclusive;
  conclude(o);
  EXPECT_EQ(o.overall, Overall::inconclusive);
  o.requirements = {{"b", "", StepVerdict::bad}};
  conclude(o);
  EXPECT_EQ(o.overall, Overall::slo_missed);
  o.judgement.metrics[0].verdict = MetricVerdict::regressed;
  conclude(o);
  EXPECT_EQ(o.overall, Overall::regressed);
  o.invalid = {"run1: lag"};
  conclude(o);
  EXPECT_EQ(o.overall, Overall::invalid);
}

TEST(GateNoise, floors_are_kept_by_workload_and_machine_and_refuse_margins) {
  const auto path = std::filesystem::temp_directory_path() / "dsbench-gate-noise-test" / "noise.json";
  std::filesystem::remove_all(path.parent_path());
  const auto runs = runs_at({100, 110, 90, 105, 95, 100, 104, 93});
  const NoiseEntry entry = noise_of(runs, {"p50 ttft", "p50 tpot"}, "2026-01-01T00:00:00Z");
  ASSERT_TRUE(store_noise(path, entry));
  ASSERT_TRUE(store_noise(path, entry)) << "replaces itself";
  const auto entries = read_noise(path);
  ASSERT_TRUE(entries) << entries.error().message;
  ASSERT_EQ(entries->size(), 1U);
  const NoiseEntry* found = find_noise(*entries, evidence_of(run_of(99, Nanos{5}), "other seed"));
  ASSERT_NE(found, nullptr);
  RunSummary elsewhere = run_of(1, Nanos{5});
  elsewhere.host[0].second = "another processor";
  EXPECT_EQ(find_noise(*entries, evidence_of(elsewhere, "x")), nullptr);
  EXPECT_EQ(found->metrics.at("p50 tpot").floor, 0);
  const double floor = found->metrics.at("p50 ttft").floor;
  EXPECT_GT(floor, 0.03);
  EXPECT_NEAR(found->metrics.at("p50 ttft").floor_at(16), floor / 2, 1e-12);
  JudgeSettings settings;
  settings.margin = floor / 2;
  const auto refused = check_margins(*found, {"p50 ttft", "p50 tpot"}, settings, "load", 4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::usage);
  EXPECT_THAT(refused.error().message, HasSubstr("a margin below the noise floor would call noise a change"));
  EXPECT_THAT(refused.error().message, HasSubstr("p50 ttft: margin"));
  EXPECT_THAT(refused.error().message, testing::Not(HasSubstr("p50 tpot")));
  settings.margin = floor * 1.01;
  EXPECT_TRUE(check_margins(*found, {"p50 ttft"}, settings, "load", 4));
  std::ofstream{path} << "{\"schema\": \"something/1\"}";
  EXPECT_THAT(read_noise(path).error().message, HasSubstr("accepted: dsbench.gate-noise/1"));
  std::filesystem::remove_all(path.parent_path());
}

}  // namespace
}  // namespace dsbench::results::gate
