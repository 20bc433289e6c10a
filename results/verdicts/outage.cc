#include "results/verdicts/outage.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "core/text.h"

namespace dsbench::results {
namespace {

constexpr std::int64_t kShort = 5;   // seconds of a window that can open an outage
constexpr std::int64_t kLong = 10;   // seconds of a window that can close one
constexpr std::int64_t kFewest = 5;  // requests that a window needs to say anything
constexpr double kServed = 0.95, kNotServed = 0.5;
constexpr Nanos kRelapse{60'000'000'000};

struct Window {
  std::int64_t offered = 0, good = 0, sent = 0;
  bool speaks() const { return offered >= kFewest; }
  double share() const { return offered > 0 ? static_cast<double>(good) / static_cast<double>(offered) : 1; }
};

// Of the points [from, from + length).
Window window(std::span<const TimelinePoint> points, std::size_t from, std::int64_t length) {
  Window w;
  for (std::size_t i = from; i < points.size() && i < from + static_cast<std::size_t>(length); ++i) {
    w.offered += points[i].offered;
    w.good += points[i].good_of_due;
    w.sent += points[i].sent;
  }
  return w;
}

Nanos at_second(const TimelinePoint& p) {
  return Nanos{p.second * 1'000'000'000};
}

std::string stage_of(const RunSummary& run, const TimelinePoint& p) {
  for (const StageSummary& s : run.stages) {
    if (static_cast<std::int32_t>(s.index) == p.stage) return s.name;
  }
  return {};
}

std::string percent(double share) {
  return fmt::format("{:.0f} %", 100 * share);
}

constexpr std::array<std::string_view, 10> small_numbers{"no",   "one", "two",   "three", "four",
                                                         "five", "six", "seven", "eight", "nine"};
std::string number_word(std::size_t n) {
  return n < small_numbers.size() ? std::string{small_numbers[n]} : fmt::format("{}", n);
}

}  // namespace

std::vector<Outage> find_outages(const RunSummary& run) {
  const std::span<const TimelinePoint> points = run.timeline;
  std::vector<Outage> outages;
  bool open = false;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!open) {
      const Window w = window(points, i, kShort);
      if (i + kShort > points.size() || !w.speaks() || w.share() >= kNotServed) continue;
      // The first of these seconds may still have been well served.
      while (points[i].offered == 0 || 2 * points[i].good_of_due >= points[i].offered) ++i;
      Outage o;
      o.began = at_second(points[i]);
      o.stage = stage_of(run, points[i]);
      o.worst_share = 1;
      if (!outages.empty() && outages.back().ended) {
        const Outage& before = outages.back();
        o.relapse = o.began - *before.ended < std::max(kRelapse, *before.ended - before.began);
      }
      outages.push_back(std::move(o));
      open = true;
    }
    Outage& o = outages.back();
    const Window w = window(points, i, kShort);
    if (w.speaks() && w.share() < o.worst_share) {
      o.worst_share = w.share();
      o.worst_at = at_second(points[i]);
    }
    if (w.speaks()) {
      const double amplification = static_cast<double>(w.sent) / static_cast<double>(w.offered);
      if (amplification > o.amplification) {
        o.amplification = amplification;
        o.amplification_at = at_second(points[i]);
      }
    }
    const Window next = window(points, i, kLong);
    const bool served = points[i].offered == 0 || static_cast<double>(points[i].good_of_due) >=
                                                      kServed * static_cast<double>(points[i].offered);
    if (served && i + kShort <= points.size() && next.speaks() && next.share() >= kServed) {
      o.ended = at_second(points[i]);
      open = false;
      continue;
    }
    o.requests += points[i].offered;
    o.lost += points[i].offered - points[i].good_of_due;
    o.most_in_flight = std::max(o.most_in_flight, points[i].in_flight);
  }
  return outages;
}

std::vector<OutageEvent> outage_events(const RunSummary& run, std::span<const Outage> outages) {
  std::vector<OutageEvent> events;
  for (const Fault& f : run.faults) {
    const std::string name = f.provider < run.providers.size() ? run.providers[f.provider].name
                                                               : fmt::format("target {}", f.provider);
    events.push_back({f.at, "fault", fmt::format("{} of {}", to_word(f.kind), name)});
    if (f.heal) events.push_back({*f.heal, "healed", name});
  }
  for (const RunEvent& e : run.events) {
    const std::string what =
        run.providers.size() > 1 ? fmt::format("{} of target {}", e.what, e.target) : e.what;
    events.push_back({e.at, "fault", what});
    if (e.until) events.push_back({*e.until, "healed", what});
  }
  for (const Outage& o : outages) {
    events.push_back({o.began, o.relapse ? "relapsed" : "began",
                      o.stage.empty() ? "the good share falls below half"
                                      : fmt::format("the good share falls below half, in “{}”", o.stage)});
    events.push_back({o.began + Nanos{kShort * 1'000'000'000}, "detected",
                      fmt::format("an alert on {} s windows would have fired", kShort)});
    if (o.amplification >= 1.2)
      events.push_back({o.amplification_at, "amplified",
                        fmt::format("{:.1f} attempts for each request that came due", o.amplification)});
    events.push_back({o.worst_at, "worst", fmt::format("{} of requests good", percent(o.worst_share))});
    if (o.ended) {
      events.push_back(
          {*o.ended, "recovered",
           fmt::format("after {}; {} of {} requests lost, {} in flight at most",
                       format_duration(*o.ended - o.began), o.lost, o.requests, o.most_in_flight)});
    } else {
      events.push_back({run.duration, "not recovered",
                        fmt::format("{} of {} requests lost until the run ended", o.lost, o.requests)});
    }
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const OutageEvent& a, const OutageEvent& b) { return a.at < b.at; });
  return events;
}

std::string outage_sentence(std::span<const Outage> outages, std::optional<Nanos> objective) {
  if (outages.empty()) return "No outage: at no time were fewer than half of the requests served well.";
  Nanos longest{0}, sum{0};
  std::size_t relapses = 0, open = 0;
  for (const Outage& o : outages) {
    relapses += o.relapse ? 1 : 0;
    if (!o.ended) {
      ++open;
      continue;
    }
    longest = std::max(longest, *o.ended - o.began);
    sum += *o.ended - o.began;
  }
  std::string text = number_word(outages.size());
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  text += outages.size() == 1 ? " outage" : " outages";
  if (relapses > 0) text += fmt::format(", {} of them a relapse", number_word(relapses));
  if (open > 0) {
    text += "; the last did not recover in this run";
    if (objective) text += fmt::format(": the objective of {} is missed", format_duration(*objective));
  } else {
    text += fmt::format("; {}{} to recover", outages.size() == 1 ? "it took " : "the longest took ",
                        format_duration(longest));
    if (outages.size() > 1) text += fmt::format(", {} in all", format_duration(sum));
    if (objective)
      text += longest <= *objective
                  ? fmt::format(", within the objective of {}", format_duration(*objective))
                  : fmt::format(", more than the objective of {}", format_duration(*objective));
  }
  return text + ".";
}

}  // namespace dsbench::results
