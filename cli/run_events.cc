#include "cli/run_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/afflicted_target.h"
#include "core/text.h"
#include "loadgen/wire/preflight.h"

namespace dsbench::cli {
namespace {

// How late an event may be: the thread looks so often whether there is something to do.
constexpr Nanos glance{10'000'000};
constexpr Nanos admin_timeout{2'000'000'000};
constexpr Nanos far_away{86'400'000'000'000};

bool is_in(const profiles::TrafficEvent& event, const loadgen::StageSpan& span) {
  return event.stage.empty() || event.stage == span.name ||
         (span.kind != results::StageKind::load && event.stage == results::to_word(span.kind));
}

}  // namespace

// ---- what happens when

void RunEvents::on_stage(const loadgen::StageSpan& span) {
  placed_.resize(events_.size(), false);
  for (std::size_t i = 0; i < events_.size(); ++i) {
    if (!placed_[i] && is_in(events_[i], span)) plan(i, span);
  }
  for (Deed& deed : deeds_) {
    if (deed.stage != span.stage || deed.end == span.end) continue;
    deed.end = span.end;
    if (deed.id) moved(deed);
  }
}

void RunEvents::plan(std::size_t index, const loadgen::StageSpan& span) {
  const profiles::TrafficEvent& event = events_[index];
  placed_[index] = true;
  for (std::size_t target = 0; target < sites_.size(); ++target) {
    if (event.target && static_cast<std::size_t>(*event.target) != target) continue;
    Deed deed;
    deed.event = index;
    deed.target = target;
    deed.start = span.start + event.at;
    if (event.until) {
      deed.end = span.start + *event.until;
    } else if (!event.stage.empty()) {
      deed.end = span.end;
      deed.stage = span.stage;
    }
    deeds_.push_back(deed);
    planned(deeds_.back());
  }
}

void RunEvents::make(Deed& deed, Nanos now, std::vector<std::string>& problems) const {
  if (deed.end && *deed.end <= now) {
    deed.dropped = true;
    return;
  }
  profiles::Fault fault = events_[deed.event].fault;
  fault.start = now;
  if (deed.end) fault.duration = *deed.end - now;
  const auto id = sites_[deed.target]->add(fault);
  if (!id) {
    deed.dropped = true;
    problems.push_back(fmt::format("the event '{}' was not made: {}",
                                   profiles::print_event(events_[deed.event]), id.error().message));
    return;
  }
  deed.id = *id;
  deed.made = now;
}

void RunEvents::end(Deed& deed, Nanos now, std::vector<std::string>& problems) const {
  const auto ended = sites_[deed.target]->end(events_[deed.event].fault.kind, *deed.id, now);
  if (!ended) {
    problems.push_back(fmt::format("the event '{}' was not ended: {}",
                                   profiles::print_event(events_[deed.event]), ended.error().message));
  }
  deed.over = now;
}

void RunEvents::finish(Nanos now) {
  for (Deed& deed : deeds_) {
    if (deed.id && !deed.over && (!deed.end || *deed.end > now)) end(deed, now, problems_);
  }
}

std::vector<results::RunEvent> RunEvents::done() const {
  std::vector<results::RunEvent> done;
  for (const Deed& deed : deeds_) {
    if (!deed.made) continue;
    const std::optional<Nanos> over = deed.over ? deed.over : deed.end;
    if (over && *over <= *deed.made) continue;  // its stage was cut short before it
    done.push_back({*deed.made, over, profiles::print_fault(events_[deed.event].fault),
                    static_cast<std::uint16_t>(deed.target)});
  }
  std::stable_sort(done.begin(), done.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return done;
}

std::vector<std::string> RunEvents::problems() const {
  std::vector<std::string> said = problems_;
  for (std::size_t i = 0; i < events_.size(); ++i) {
    const bool happened = std::any_of(deeds_.begin(), deeds_.end(), [&](const Deed& d) {
      const std::optional<Nanos> over = d.over ? d.over : d.end;
      return d.event == i && d.made && (!over || *over > *d.made);
    });
    const bool told = std::any_of(problems_.begin(), problems_.end(), [&](const std::string& p) {
      return p.find(profiles::print_event(events_[i])) != std::string::npos;
    });
    if (happened || told) continue;
    said.push_back(fmt::format("the event '{}' did not happen: {}", profiles::print_event(events_[i]),
                               i < placed_.size() && placed_[i]
                                   ? "the run was over, or its stage cut short, before it"
                                   : "its stage did not come"));
  }
  return said;
}

// ---- on the wire

TimedRunEvents::TimedRunEvents(std::vector<profiles::TrafficEvent> events, std::vector<FaultSite*> sites,
                               Nanos run_now)
    : RunEvents{std::move(events), std::move(sites)}, epoch_{clock_.now() - run_now}, thread_{[this] {
        run();
      }} {}

TimedRunEvents::~TimedRunEvents() {
  finish(run_now());
}

void TimedRunEvents::run() {
  while (!stop_.load()) {
    turn();
    clock_.sleep_until(clock_.now() + glance);
  }
}

// The server is asked without the lock: the generator must not wait for it.
void TimedRunEvents::turn() {
  std::unique_lock lock{mutex_};
  for (std::size_t i = 0; i < deeds_.size(); ++i) {
    const Nanos now = run_now();
    Deed deed = deeds_[i];
    const bool begins = !deed.id && !deed.dropped && deed.start <= now;
    const bool ends = deed.id && !deed.over && deed.end && *deed.end <= now;
    if (!begins && !ends) continue;
    lock.unlock();
    std::vector<std::string> said;
    if (begins) {
      make(deed, now, said);
    } else {  // it has ended by itself, by the duration that the server was told, unless its end has moved
      end(deed, now, said);
    }
    lock.lock();
    Deed& kept = deeds_[i];
    kept.id = deed.id;
    kept.made = deed.made;
    kept.over = deed.over;
    kept.dropped = deed.dropped;
    problems_.insert(problems_.end(), said.begin(), said.end());
  }
}

void TimedRunEvents::on_stage(const loadgen::StageSpan& span) {
  const std::lock_guard lock{mutex_};
  RunEvents::on_stage(span);
}

void TimedRunEvents::finish(Nanos now) {
  if (thread_.joinable()) {
    stop_.store(true);
    thread_.join();
  }
  const std::lock_guard lock{mutex_};
  RunEvents::finish(now);
}

std::vector<results::RunEvent> TimedRunEvents::done() const {
  const std::lock_guard lock{mutex_};
  return RunEvents::done();
}

std::vector<std::string> TimedRunEvents::problems() const {
  const std::lock_guard lock{mutex_};
  return RunEvents::problems();
}

// ---- the targets

AdminSite::AdminSite(std::string url) : url_{std::move(url)} {
  while (url_.ends_with('/')) url_.pop_back();
  url_ += "/admin/faults";
}

Result<void> AdminSite::would_take(const profiles::Fault& fault) {
  profiles::Fault later = fault;
  later.start = far_away;
  later.duration = Nanos{1'000'000'000};
  const std::string body = nlohmann::json{{"fault", profiles::print_fault(later)}}.dump();
  const auto answer = loadgen::http_admin("POST", url_, body, admin_timeout);
  if (!answer) {
    return fail(answer.error().kind,
                "the fault '{}' cannot be made: {}; wanted is the URL of a dsbench "
                "serve --admin, on its own machine",
                profiles::print_fault(fault), answer.error().message);
  }
  const auto json = nlohmann::json::parse(*answer, nullptr, false);
  if (!json.is_object() || !json.contains("faults") || !json["faults"].is_array() || json["faults"].empty())
    return fail(ErrorKind::unreachable, "{} answers, but not as a dsbench serve --admin does", url_);
  return end(fault.kind, json["faults"].back().value("id", std::int64_t{0}), Nanos{0});
}

Result<std::int64_t> AdminSite::add(const profiles::Fault& fault) {
  profiles::Fault now = fault;
  now.start = Nanos{0};
  const std::string body = nlohmann::json{{"fault", profiles::print_fault(now)}}.dump();
  DSBENCH_TRY(const std::string answer, loadgen::http_admin("POST", url_, body, admin_timeout));
  const auto json = nlohmann::json::parse(answer, nullptr, false);
  if (!json.is_object() || !json.contains("faults") || !json["faults"].is_array() || json["faults"].empty())
    return fail(ErrorKind::unreachable, "{} answers, but not as a dsbench serve --admin does", url_);
  return json["faults"].back().value("id", std::int64_t{0});
}

Result<void> AdminSite::end(profiles::FaultKind /*kind*/, std::int64_t id, Nanos /*at*/) {
  DSBENCH_CHECK(loadgen::http_admin("DELETE", fmt::format("{}?id={}", url_, id), "", admin_timeout));
  return {};
}

Result<std::int64_t> SimulatedSite::add(const profiles::Fault& fault) {
  return target_.add_fault(fault);
}

Result<void> SimulatedSite::end(profiles::FaultKind kind, std::int64_t id, Nanos at) {
  target_.end_fault(kind, id, at);
  return {};
}

// ---- of a rehearsal

Result<void> check_rehearsal_events(const std::vector<profiles::TrafficEvent>& events) {
  using results::StageKind;
  constexpr std::array kinds{StageKind::warm_up, StageKind::probe,   StageKind::step,
                             StageKind::hold,    StageKind::descent, StageKind::recovery};
  std::vector<std::string_view> words;
  for (const StageKind kind : kinds) words.push_back(results::to_word(kind));
  for (const profiles::TrafficEvent& event : events) {
    const std::string& stage = event.stage;
    const bool step = stage.starts_with("step ") && stage.size() > 5 &&
                      stage.find_first_not_of("0123456789", 5) == std::string::npos;
    if (stage.empty() || step || std::find(words.begin(), words.end(), stage) != words.end()) continue;
    return fail(ErrorKind::usage,
                "the event '{}' is in no stage of a rehearsal; accepted: {} (the first of its kind), or one "
                "step, as in 'step 3'",
                profiles::print_event(event), join(words));
  }
  return {};
}

}  // namespace dsbench::cli
