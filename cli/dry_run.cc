#include "cli/dry_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/descriptors.h"
#include "core/text.h"
#include "loadgen/stage_driver.h"
#include "loadgen/wire/host_limits.h"

namespace dsbench::cli {
namespace {

// More than this many first requests are estimated from a part of them.
constexpr double most_drawn = 100'000;
constexpr int most_turns = 100'000;

struct StageSum {
  double requests = 0, follow_ups = 0, input = 0, output = 0, images = 0, image_bytes = 0;
};

// One number for people: 1,234,567.
std::string whole(double n) {
  std::string digits = fmt::format("{:.0f}", n);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

}  // namespace

profiles::TrafficPlan plan_of(const OfferedTraffic& traffic) {
  profiles::TrafficPlan plan;
  Nanos start{0};
  for (const loadgen::StagePlan& s : traffic.stages()) {
    plan.stages.push_back({s.name, start, start + s.warm_up, start + s.length, s.planned});
    start += s.length;
  }
  plan.length = start;
  plan.requests = traffic.requests();
  return plan;
}

std::string dry_run(const DryRunQuestion& q) {
  const profiles::TrafficPlan plan = plan_of(q.traffic);
  std::vector<StageSum> stages(plan.stages.size());
  const auto stage_at = [&](Nanos t) {
    const auto after =
        std::upper_bound(plan.stages.begin(), plan.stages.end(), t,
                         [](Nanos at, const profiles::TrafficPlan::Stage& s) { return at < s.start; });
    return static_cast<std::size_t>(after - plan.stages.begin()) - 1;
  };
  const auto every = static_cast<std::uint64_t>(std::max(1.0, std::ceil(plan.requests / most_drawn)));
  std::int64_t drawn = 0, most_prompt = 0;
  double busiest = 0, in_second = 0;
  std::int64_t second = -1;
  while (const auto point = q.traffic.next_before(Nanos::max())) {
    const std::int64_t s = point->due / Nanos{1'000'000'000};
    in_second = s == second ? in_second + 1 : 1;
    second = s;
    busiest = std::max(busiest, in_second);
    stages[point->plan].requests += 1;
    const std::uint64_t request = point->number;
    if (request % every != 0) continue;
    ++drawn;
    const auto weight = static_cast<double>(every);
    struct Open {
      loadgen::Attempt attempt;
      Nanos due{0};
      std::size_t stage = 0;
    };
    // What follows from it, in the order in which it is due: what goes out together is due together.
    std::deque<Open> open{{q.source(request), point->due, point->plan}};
    for (int turn = 0; !open.empty(); ++turn) {
      const Open now = std::move(open.front());
      open.pop_front();
      const loadgen::Attempt& attempt = now.attempt;
      stages[now.stage].input += weight * attempt.prompt_tokens;
      stages[now.stage].output += weight * attempt.output_tokens;
      stages[now.stage].images += weight * attempt.images;
      stages[now.stage].image_bytes += weight * static_cast<double>(attempt.image_bytes);
      most_prompt = std::max<std::int64_t>(most_prompt, attempt.prompt_tokens);
      if (turn >= most_turns) break;
      // Every request ends well, after the assumed latency.
      results::RequestRecord ended;
      ended.request = attempt.request;
      ended.turn = attempt.turn;
      ended.prompt_tokens = attempt.prompt_tokens;
      ended.output_tokens = attempt.output_tokens;
      ended.due = now.due;
      ended.done = now.due + q.latency;
      std::vector<loadgen::FollowUp> follow_ups;
      q.source.next(attempt, ended, follow_ups);
      for (loadgen::FollowUp& f : follow_ups) {
        const Nanos due = ended.done + f.after;
        if (due >= plan.length) continue;
        open.push_back({std::move(f.attempt), due, stage_at(due)});
        stages[open.back().stage].follow_ups += weight;
      }
    }
  }

  StageSum all;
  for (const StageSum& s : stages) {
    all.requests += s.requests;
    all.follow_ups += s.follow_ups;
    all.input += s.input;
    all.output += s.output;
    all.images += s.images;
    all.image_bytes += s.image_bytes;
  }
  const auto cost = [&](const StageSum& s) {
    return loadgen::cost_of(q.prices, std::llround(s.input), 0, std::llround(s.output));
  };
  // Little's law, at the busiest stage: each open request holds a connection.
  double open = 0;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const double seconds = std::max(to_seconds(plan.stages[i].end - plan.stages[i].start), 1e-9);
    open = std::max(open, (stages[i].requests + stages[i].follow_ups) / seconds * to_seconds(q.latency));
  }
  const double connections =
      std::min(std::ceil(open + 4 * std::sqrt(open) + 1), std::max(all.requests + all.follow_ups, 1.0));
  const std::int64_t descriptors = raise_descriptor_limit();
  const std::int64_t ports = loadgen::ephemeral_ports();
  const bool priced = q.prices.input > 0 || q.prices.output > 0;

  if (q.json) {
    nlohmann::ordered_json doc;
    doc["schema"] = "dsbench.dry_run/1";
    doc["traffic"] = nlohmann::ordered_json::parse(q.traffic_json);
    doc["duration_s"] = to_seconds(plan.length);
    doc["seed"] = q.seed;
    const auto put = [&](nlohmann::ordered_json& out, const StageSum& s) {
      out["requests"] = s.requests;
      out["follow_ups"] = s.follow_ups;
      out["input_tokens"] = s.input;
      out["output_tokens"] = s.output;
      if (all.images > 0) {
        out["images"] = s.images;
        out["image_bytes"] = s.image_bytes;
      }
      if (priced) out["cost"] = cost(s);
    };
    put(doc, all);
    doc["estimated_from"] = drawn;
    doc["largest_prompt_tokens"] = most_prompt;
    doc["assumed_latency_s"] = to_seconds(q.latency);
    doc["connections_needed"] = connections;
    doc["descriptors_limit"] = descriptors;
    doc["ports_limit"] = ports;
    doc["busiest_second"] = busiest;
    for (std::size_t i = 0; i < stages.size(); ++i) {
      nlohmann::ordered_json out{{"name", plan.stages[i].name},
                                 {"start_s", to_seconds(plan.stages[i].start)},
                                 {"end_s", to_seconds(plan.stages[i].end)},
                                 {"planned_rps", plan.stages[i].planned.per_second()}};
      put(out, stages[i]);
      doc["stages"].push_back(std::move(out));
    }
    for (const profiles::TrafficEvent& event : q.events) {
      const auto placed = profiles::place_event(event, plan);
      if (!placed) continue;
      doc["events"].push_back({{"event", profiles::print_event(event)},
                               {"start_s", to_seconds(placed->start)},
                               {"end_s", to_seconds(placed->end)}});
    }
    return doc.dump(2) + "\n";
  }

  std::size_t widest = 5;
  for (const auto& s : plan.stages) widest = std::max(widest, s.name.size());
  widest = std::min<std::size_t>(widest, 40);
  std::string out =
      fmt::format("{:<{}}  {:>12}  {:>10}  {:>12}  {:>16}  {:>16}{}\n", "stage", widest, "length", "rate",
                  "requests", "tokens in", "tokens out", priced ? "          cost" : "");
  const auto line = [&](const std::string& name, Nanos length, const std::string& rate, const StageSum& s) {
    out += fmt::format("{:<{}}  {:>12}  {:>10}  {:>12}  {:>16}  {:>16}{}\n", name, widest,
                       format_duration(length), rate, whole(s.requests + s.follow_ups), whole(s.input),
                       whole(s.output), priced ? fmt::format("{:>14.2f}", cost(s)) : "");
  };
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const auto& s = plan.stages[i];
    line(s.name, s.end - s.start, format_rate(s.planned), stages[i]);
  }
  line("all", plan.length, "", all);
  out += '\n';
  if (every > 1)
    out += fmt::format("Tokens are estimated from {} of the requests, drawn evenly.\n",
                       whole(static_cast<double>(drawn)));
  if (all.follow_ups > 0) {
    out += fmt::format("{} of the requests follow from others (sessions), if each ends well after {}.\n",
                       whole(all.follow_ups), format_duration(q.latency));
  }
  if (all.images > 0) {
    out += fmt::format("Images: {} of {} bytes in all, a third more as text.\n", whole(all.images),
                       whole(all.image_bytes));
  }
  for (const profiles::TrafficEvent& event : q.events) {
    const auto placed = profiles::place_event(event, plan);
    if (!placed) continue;
    out += fmt::format("Fault from {} to {}: {}.\n", format_duration(placed->start),
                       format_duration(placed->end), profiles::print_event(event));
  }
  out += fmt::format("Busiest second: {} requests. Largest prompt: {} tokens.\n", whole(busiest),
                     whole(static_cast<double>(most_prompt)));
  out += fmt::format(
      "Connections: about {} at once, if a request takes {} (--assume-latency); this machine has {} "
      "descriptors and "
      "{} ports to one address{}.\n",
      whole(connections), format_duration(q.latency), whole(static_cast<double>(descriptors)),
      whole(static_cast<double>(ports)),
      connections > 0.8 * static_cast<double>(std::min(descriptors, ports)) ? ": TOO FEW" : "");
  return out;
}

}  // namespace dsbench::cli
