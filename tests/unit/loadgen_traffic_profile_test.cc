#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "loadgen/from_profiles.h"
#include "profiles/catalog.h"
#include "profiles/client_profile.h"
#include "profiles/slo_profile.h"
#include "profiles/traffic_profile.h"
#include "profiles/workload_profile.h"

namespace dsbench::profiles {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(TrafficText, PrintsWhatItParses) {
  const std::vector<std::string> texts{
      "poisson hold(10/s,30s)",
      "constant ramp(10/s..200/s,300s)",
      "gamma(cv 2.5) steps(20/s..200/s by 20/s,hold 30s)",
      "poisson spike(10/s,200/s,at 30s,for 10s,total 120s)",
      "poisson curve(0s 10/s,300s 40/s,300s 5/s,600s 5/s)",
      "poisson hold(0.25/s,1500ms) ramp(0/s..5/s,10s) steps(5/s..1/s by 2/s,hold 1s)",
  };
  for (const std::string& text : texts) {
    const auto profile = parse_traffic_text(text);
    ASSERT_TRUE(profile) << profile.error().message;
    EXPECT_EQ(print_traffic_text(*profile), text);
  }
}

TEST(TrafficText, SpacesAndCommasJoinPieces) {
  const auto a = parse_traffic_text("hold(10/s,30s) ramp(10/s..20/s,1m)");
  const auto b = parse_traffic_text(" hold( 10/s , 30s ),ramp(10/s .. 20/s, 1m) , poisson");
  ASSERT_TRUE(a);
  ASSERT_TRUE(b) << b.error().message;
  EXPECT_EQ(a->pieces, b->pieces);
}

TEST(TrafficText, ErrorsSayWhatIsAccepted) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"hodl(10/s,30s)",
       "'hodl' is no piece of a traffic profile; accepted: hold(10/s,30s), ramp(10/s..200/s,5m), "
       "steps(20/s..200/s by 20/s,hold 30s), spike(10/s,200/s,at 30s,for 10s,total 2m), "
       "curve(0s 10/s,5m 40/s,10m 5/s), constant, poisson, "
       "gamma(cv 2); did "
       "you mean 'hold'?"},
      {"hold(10/s,30s", "'hold(10/s,30s' has no closing parenthesis"},
      {"hold(10,30s)",
       "hold(10,30s): '10' is not a rate; write a number with its unit, as in 12.5/s, 300/m or 40/h"},
      {"hold(10/s)", "hold(10/s): 'hold(10/s)' cannot be read; write it as hold(10/s,30s)"},
      {"hold", "hold: '' is not a rate; write a number with its unit, as in 12.5/s, 300/m or 40/h"},
      {"hold(10/s,30)",
       "hold(10/s,30): '30' is not a duration; write a number with its unit, as in 500ms, 30s, 4m or 1h30m"},
      {"hold(10/s,0s)",
       "hold(10/s,0s): hold lasts no time; give a duration above nought, as in hold(10/s,30s)"},
      {"ramp(10/s-20/s,5m)",
       "ramp(10/s-20/s,5m): '10/s-20/s' is not a rate; write a number with its unit, as in 12.5/s, 300/m or "
       "40/h"},
      {"steps(20/s..205/s by 20/s,hold 30s)",
       "steps(20/s..205/s by 20/s,hold 30s): 205/s is no whole number of steps of 20/s away from 20/s; the "
       "nearest ends are "
       "200/s and 220/s"},
      {"steps(20/s..200/s by 0/s,hold 30s)",
       "steps(20/s..200/s by 0/s,hold 30s): steps by 0/s never arrive; give a distance above nought, as in "
       "by 20/s"},
      {"spike(10/s,200/s,at 30s,for 100s,total 2m)",
       "spike(10/s,200/s,at 30s,for 100s,total 2m): a spike at 30s for 100s does not fit into a total of "
       "120s"},
      {"poisson constant hold(1/s,1s)", "'constant' is a second arrival process; give at most one"},
      {"constant(5/s,10s)",
       "'constant(5/s,10s)' cannot be read; constant is a law of arrivals and stands without arguments: a "
       "steady rate is hold(10/s,30s)"},
      {"gamma(2) hold(1/s,1s)", "'gamma(2)' cannot be read; write it as gamma(cv 2)"},
      {"gamma(cv 50) hold(1/s,1s)",
       "gamma(cv 50): found a coefficient of variation of 50; accepted: 0.05 to 20 (1 is Poisson)"},
      {"poisson", "traffic 'poisson': no pieces; give at least one, as in hold(10/s,30s)"},
      {"hold(0/s,1m)", "traffic 'hold(0/s,1m)': the rate is 0/s throughout: nothing would be sent"},
      {"hold(1000000/s,1h)",
       "traffic 'hold(1000000/s,1h)': about 3.6e+09 requests would be sent; at most 5e+07 are accepted in "
       "one run"},
  };
  for (const auto& [text, message] : rows) {
    const auto profile = parse_traffic_text(text);
    ASSERT_FALSE(profile) << text;
    EXPECT_EQ(profile.error().message, message);
    EXPECT_EQ(profile.error().kind, ErrorKind::usage);
  }
}

TEST(TrafficPlan, StagesFollowThePieces) {
  const auto profile = parse_traffic(R"({"schema": "dsbench.traffic/1", "pieces": [
    {"shape": "hold", "rate": "10/s", "duration": "20s", "warm_up": "5s", "stage": "base"},
    {"shape": "ramp", "from": "10/s", "to": "30/s", "duration": "10s"},
    {"shape": "steps", "from": "30/s", "to": "10/s", "by": "10/s", "hold": "5s", "stage": "down"},
    {"shape": "spike", "base": "10/s", "peak": "50/s", "at": "5s", "for": "2s", "total": "10s"}]})",
                                     "test.json");
  ASSERT_TRUE(profile) << profile.error().message;
  const TrafficPlan plan = plan_of(*profile);
  std::vector<std::string> names;
  for (const auto& stage : plan.stages) names.push_back(stage.name);
  EXPECT_EQ(names, (std::vector<std::string>{"base", "ramp 10/s..30/s", "down: step 30.0/s",
                                             "down: step 20.0/s", "down: step 10.0/s", "before the spike",
                                             "spike 50/s", "after the spike"}));
  EXPECT_EQ(plan.stages[0].measure_from, 5s);
  EXPECT_EQ(plan.stages[1].start, 20s);
  EXPECT_DOUBLE_EQ(plan.stages[1].planned.per_second(), 20);
  EXPECT_EQ(plan.length, 55s);
  EXPECT_DOUBLE_EQ(plan.requests, 200 + 200 + 300 + 50 + 100 + 30);
}

TEST(TrafficProfile, JsonRoundTrips) {
  const auto profile = parse_traffic_text(
      "gamma(cv 2) hold(10/s,30s) ramp(1/s..2/s,1m) steps(1/s..3/s by 1/s,hold 1s) "
      "spike(1/s,9/s,at 1s,for 1s,total 3s)");
  ASSERT_TRUE(profile);
  const auto again = parse_traffic(to_json(*profile), "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->pieces, profile->pieces);
  EXPECT_EQ(again->arrivals, profile->arrivals);
}

TEST(TrafficPlan, ACurveIsCutIntoStages) {
  auto profile = parse_traffic_text("constant curve(0s 0/s,10s 100/s,10s 20/s,25s 20/s)");
  ASSERT_TRUE(profile) << profile.error().message;
  std::get<CurvePiece>(profile->pieces[0].shape).stage_length = 10s;
  const TrafficPlan plan = plan_of(*profile);
  ASSERT_EQ(plan.stages.size(), 3u);
  EXPECT_EQ(plan.stages[0].name, "curve +0 s");
  EXPECT_DOUBLE_EQ(plan.stages[0].planned.per_second(), 50);
  EXPECT_DOUBLE_EQ(plan.stages[1].planned.per_second(), 20);
  EXPECT_EQ(plan.stages[2].end - plan.stages[2].start, Nanos{5s});
  EXPECT_DOUBLE_EQ(plan.requests, 500 + 300);
}

TEST(TrafficProfile, MultiplesOfABaseRateAndMixes) {
  const auto profile = parse_traffic(R"({"schema":"dsbench.traffic/1","base_rate":"4/s","pieces":[
    {"shape":"hold","rate":"2.5x","duration":"10s","mix":{"people":3,"agents":1}},
    {"shape":"curve","points":[["0s","1x"],["20s","12/s"]]},
    {"shape":"hold","rate":"1x","duration":"10s","mix":{"people":3,"agents":1}}],
    "beside":[{"name":"nodes","unit":"nodes","points":[["0s",10],["30s",20.5]]}]})",
                                     "f");
  ASSERT_TRUE(profile) << profile.error().message;
  EXPECT_EQ(print_traffic_text(*profile), "poisson hold(10/s,10s) curve(0s 4/s,20s 12/s) hold(4/s,10s)");
  const TrafficPlan plan = plan_of(*profile);
  ASSERT_EQ(plan.mixes.size(), 2u);
  EXPECT_EQ(plan.stages[0].mix, 1u);
  EXPECT_EQ(plan.stages[1].mix, 0u);
  EXPECT_EQ(plan.stages[2].mix, 1u);
  ASSERT_EQ(profile->beside.size(), 1u);
  EXPECT_DOUBLE_EQ(profile->beside[0].points[1].second, 20.5);
  const auto again = parse_traffic(to_json(*profile), "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->pieces, profile->pieces);

  const auto smaller = scaled(*profile, {.compress = 10, .rate = 0.5, .base_rate = Rate::per_second(8)});
  ASSERT_TRUE(smaller) << smaller.error().message;
  EXPECT_EQ(print_traffic_text(*smaller), "poisson hold(10/s,1s) curve(0s 4/s,2s 12/s) hold(4/s,1s)");
  EXPECT_DOUBLE_EQ(smaller->base_rate->per_second(), 4);
  EXPECT_EQ(smaller->beside[0].points[1].first, Nanos{3s});
}

TEST(TrafficProfile, ScalesAndMultiplesThatCannotBeAreRefused) {
  const auto flat = parse_traffic_text("hold(10/s,10s)");
  EXPECT_THAT(scaled(*flat, {.compress = 1, .rate = 1, .base_rate = Rate::per_second(1)}).error().message,
              HasSubstr("has no base rate"));
  EXPECT_THAT(scaled(*flat, {.compress = 1, .rate = 1e9, .base_rate = {}}).error().message,
              HasSubstr("at most 5e+07"));
  const auto wrong = parse_traffic(R"({"schema":"dsbench.traffic/1","pieces":[
    {"shape":"hold","rate":"2x","duration":"10s"},{"shape":"curve","points":[["1s","1/s"],["x","2/s"]]},
    {"shape":"curve","points":[1,2]}]})",
                                   "f");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message,
              HasSubstr("'2x' is a multiple of the base rate, and the profile has no base_rate"));
  EXPECT_THAT(wrong.error().message, HasSubstr("'x' is not a duration"));
  EXPECT_THAT(wrong.error().message, HasSubstr("expected an array of pairs"));
  EXPECT_THAT(parse_traffic_text("curve(1s 1/s,2s 1/s)").error().message,
              HasSubstr("its first point must be at 0s"));
  EXPECT_THAT(parse_traffic_text("curve(0s 1/s,2s 1/s,1s 1/s)").error().message,
              HasSubstr("point 3 of the curve is at 1s, before the one at 2s"));
}

TEST(TrafficProfile, EveryMistakeIsReported) {
  const auto profile =
      parse_traffic(R"({"schema": "dsbench.traffic/1", "arrivals": {"process": "gamma", "cv": 0},
    "pieces": [{"shape": "hold", "rate": 10, "duraton": "20s"}]})",
                    "bad.json");
  ASSERT_FALSE(profile);
  EXPECT_THAT(profile.error().message,
              HasSubstr("bad.json: arrivals.cv: found a coefficient of variation of 0; accepted: "
                        "0.05 to 20 (1 is Poisson)"));
  EXPECT_THAT(profile.error().message, HasSubstr("'10' is not a rate"));
  EXPECT_THAT(profile.error().message, HasSubstr("duration: required, but missing"));
  EXPECT_THAT(profile.error().message, HasSubstr("did you mean 'duration'?"));
}

TEST(TrafficProfile, AStageThatIsAllWarmUpIsRefused) {
  const auto profile = parse_traffic(R"({"schema": "dsbench.traffic/1", "pieces": [
    {"shape": "hold", "rate": "10/s", "duration": "5s", "warm_up": "5s"}]})",
                                     "bad.json");
  ASSERT_FALSE(profile);
  EXPECT_EQ(profile.error().message, "bad.json: pieces: stage 'hold 10/s' is all warm-up: 5s of 5s");
}

TEST(ShippedProfiles, AllLoadAndRoundTrip) {
  for (const std::string_view name : shipped_names("traffic")) {
    const auto p = load_traffic(name);
    ASSERT_TRUE(p) << p.error().message;
    EXPECT_FALSE(p->description.empty()) << name;
    EXPECT_TRUE(parse_traffic(to_json(*p), "again")) << name;
  }
  for (const std::string_view name : shipped_names("workload")) {
    const auto p = load_workload(name);
    ASSERT_TRUE(p) << p.error().message;
    const auto again = parse_workload(to_json(*p), "again");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->prompt_tokens, p->prompt_tokens);
    EXPECT_EQ(again->output_tokens, p->output_tokens);
  }
  for (const std::string_view name : shipped_names("slo")) {
    const auto p = load_slo(name);
    ASSERT_TRUE(p) << p.error().message;
    EXPECT_EQ(to_json(*parse_slo(to_json(*p), "again")), to_json(*p));
  }
  for (const std::string_view name : shipped_names("client")) {
    const auto p = load_client(name);
    ASSERT_TRUE(p) << p.error().message;
    EXPECT_EQ(to_json(*parse_client(to_json(*p), "again")), to_json(*p));
  }
  EXPECT_THAT(shipped_names("traffic"),
              ::testing::IsSupersetOf({"agents", "cold-cache", "deepseek-day", "international-spike",
                                       "march-29", "ramp", "release-day", "release-week", "soak", "spike",
                                       "staircase", "steady"}));
  EXPECT_THAT(shipped_names("client"), ::testing::IsSupersetOf({"interactive", "openai-sdk", "patient"}));
}

TEST(ClientProfile, BecomesAPolicy) {
  const auto profile = load_client("interactive");
  ASSERT_TRUE(profile);
  const loadgen::ClientPolicy policy = loadgen::policy_of(*profile);
  EXPECT_EQ(policy.first_token_timeout, 3s);
  EXPECT_EQ(policy.total_timeout, 20s);
  EXPECT_EQ(policy.stall_timeout, std::nullopt);
  EXPECT_EQ(policy.retry.max_retries, 2);
  const auto patient = load_client("patient");
  ASSERT_TRUE(patient);
  EXPECT_EQ(loadgen::policy_of(*patient).retry.max_retries, 0);
  EXPECT_EQ(loadgen::policy_of(*patient).total_timeout, std::nullopt);
}

TEST(ClientProfile, RefusesWhatMakesNoSense) {
  const auto profile = parse_client(
      R"({"schema": "dsbench.client/1", "total_timeout": "0s", "retry": {"max_retries": -1, "jitter": 2}})",
      "c.json");
  ASSERT_FALSE(profile);
  EXPECT_EQ(
      profile.error().message,
      "c.json: total_timeout: gives up at once; give a time above nought, or leave it out to wait for ever\n"
      "c.json: retry.max_retries: found -1; accepted: 0 to 1000\n"
      "c.json: retry.jitter: found 2; accepted: 0 to 1 (the share of the delay that is random)");
}

TEST(TrafficEvents, PrintWhatTheyParse) {
  for (const std::string text :
       {"crash at 0s", "cores:left=0.25 at 20s until 40s", "latency:delay=200ms,share=0.3 of target 1 at 5s",
        "kv:left=0.1 at 3s in hold until 10s", "refuse at 0s in step 3",
        "close of target 0 at 60s in hold 1.5 × knee"}) {
    const auto event = parse_event(text);
    ASSERT_TRUE(event) << event.error().message;
    EXPECT_EQ(print_event(*event), text);
  }
  EXPECT_EQ(print_event(*parse_event("crash until 5s in  hold ")), "crash at 0s in hold until 5s");
}

TEST(TrafficEvents, SayWhatCannotBe) {
  const std::string form =
      "accepted: 'FAULT [of target N] [at TIME] [in STAGE] [until TIME]', as in 'cores:left=0.5 at 20s until "
      "40s' or 'crash at 5s in hold until 15s'";
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "the event '' cannot be read; " + form},
      {"crash after 5s", "the event 'crash after 5s' cannot be read; " + form},
      {"crash of target many", "the event 'crash of target many' cannot be read; " + form},
      {"crash in ", "the event 'crash in ' cannot be read; " + form},
      {"crash at soon",
       "'soon' is not a duration; write a number with its unit, as in 500ms, 30s, 4m or 1h30m"},
      {"crash@5s+5s at 1s",
       "fault 'crash@5s+5s': an event says by 'at' and 'until' when it happens; leave out '@…' and '+…'"},
      {"crash at 9s until 5s",
       "the event 'crash at 9s until 5s': it is over at 5s, and begins at 9s only; both count from the start "
       "of "
       "the traffic"},
      {"crash of target 64", "the event 'crash of target 64': there is no target 64; accepted: 0 to 63"},
  };
  for (const auto& [text, message] : rows) {
    const auto bad = parse_event(text);
    ASSERT_FALSE(bad) << text;
    EXPECT_EQ(bad.error().message, message);
  }
}

std::string with_events(const std::string& events) {
  return R"({"schema": "dsbench.traffic/1", "pieces": [
    {"shape": "hold", "rate": "5/s", "duration": "1m", "stage": "calm"},
    {"shape": "hold", "rate": "5/s", "duration": "1m", "stage": "storm"}], "events": [)" +
         events + "]}";
}

TEST(TrafficEvents, AreReadPlacedScaledAndWritten) {
  const auto profile = parse_traffic(with_events(R"({"fault": "cores:left=0.5", "at": "10s", "until": "40s"},
        {"fault": "crash", "stage": "storm", "at": "20s", "target": 0})"),
                                     "t.json");
  ASSERT_TRUE(profile) << profile.error().message;
  ASSERT_EQ(profile->events.size(), 2U);
  const TrafficPlan plan = plan_of(*profile);
  const auto first = place_event(profile->events[0], plan);
  EXPECT_EQ(first->start, 10s);
  EXPECT_EQ(first->end, 40s);
  const auto second = place_event(profile->events[1], plan);
  EXPECT_EQ(second->start, 80s);
  EXPECT_EQ(second->end, 120s);  // with its stage
  const auto again = parse_traffic(to_json(*profile), "again.json");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->events, profile->events);
  const auto shorter = scaled(*profile, {.compress = 10, .rate = 1, .base_rate = {}});
  ASSERT_TRUE(shorter) << shorter.error().message;
  EXPECT_EQ(shorter->events[0].at, 1s);
  EXPECT_EQ(shorter->events[0].until, Nanos{4s});
  EXPECT_EQ(shorter->events[1].at, 2s);
}

TEST(TrafficEvents, OfAProfileSayWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {R"({"fault": "meteor"})",
       "t.json: events[0].fault: fault 'meteor': no fault is called 'meteor'; accepted: "},
      {R"({"at": "5s"})", "t.json: events[0].fault: "},
      {R"({"fault": "crash", "when": "5s"})",
       "t.json: unknown key 'events[0].when'; accepted: at, fault, stage, target, until"},
      {R"({"fault": "crash", "at": "9s", "until": "5s"})",
       "t.json: events[0].at: it is over at 5s, and begins at 9s"},
      {R"({"fault": "crash", "stage": "strom"})",
       "t.json: events: the event 'crash at 0s in strom' is in no stage of the traffic; its stages are: "
       "calm, storm; "
       "did you mean 'storm'?"},
      {R"({"fault": "crash", "stage": "storm", "at": "60s"})",
       "t.json: events: the event 'crash at 60s in storm' would begin when its stage is over, after 60s"},
      {R"({"fault": "crash", "at": "3m"})",
       "t.json: events: the event 'crash at 180s' would begin when the traffic is over, after 120s"},
  };
  for (const auto& [event, message] : rows) {
    const auto bad = parse_traffic(with_events(event), "t.json");
    ASSERT_FALSE(bad) << event;
    EXPECT_THAT(bad.error().message, ::testing::StartsWith(message));
  }
}

TEST(SloProfile, TextForm) {
  const auto slo = load_slo("ttft=500ms,e2e=5s");
  ASSERT_TRUE(slo) << slo.error().message;
  EXPECT_EQ(loadgen::slo_of(*slo).ttft, 500ms);
  EXPECT_EQ(loadgen::slo_of(*slo).tpot, std::nullopt);
  EXPECT_EQ(loadgen::slo_of(*slo).e2e, 5s);
  const std::vector<std::pair<std::string, std::string>> rows{
      {"tfft=5s", "SLO 'tfft=5s': 'tfft=5s' is no bound; write bounds as in ttft=500ms,tpot=50ms,e2e=5s"},
      {"ttft=5", "'5' is not a duration; write a number with its unit, as in 500ms, 30s, 4m or 1h30m"},
      {"ttft=1s,ttft=2s", "SLO 'ttft=1s,ttft=2s': ttft is given twice"},
      {"ttft=0s", "SLO 'ttft=0s': 'ttft=0s' can never be met; give a time above nought"},
  };
  for (const auto& [text, message] : rows) {
    const auto bad = load_slo(text);
    ASSERT_FALSE(bad) << text;
    EXPECT_EQ(bad.error().message, message);
  }
  const auto none = parse_slo(R"({"schema": "dsbench.slo/1"})", "s.json");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message,
            "s.json: ttft: no bound is given; accepted: any of ttft, tpot, e2e, each with its time");
}

TEST(WorkloadProfile, RefusesWhatMakesNoSense) {
  const auto profile = parse_workload(R"({"schema": "dsbench.workload/1",
    "prompt_tokens": {"law": "lognormal", "median": 500, "sigma": 9, "min": 8, "max": 128},
    "output_tokens": {"law": "constant", "value": 0}})",
                                      "w.json");
  ASSERT_FALSE(profile);
  EXPECT_EQ(
      profile.error().message,
      "w.json: prompt_tokens.median: found 500; accepted: from min 8 to max 128\n"
      "w.json: prompt_tokens.sigma: found 9; accepted: 0 to 5 (the standard deviation of the logarithm)\n"
      "w.json: output_tokens.value: found 0; accepted: 1 to 16777216 (a whole number)");
}

}  // namespace
}  // namespace dsbench::profiles
