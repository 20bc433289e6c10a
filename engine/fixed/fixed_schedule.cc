#include "engine/fixed/fixed_schedule.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/text.h"

namespace dsbench::engine {

Submitted FixedSchedule::add(const GenerateRequest& request, Nanos now) {
  const auto prompt = static_cast<std::int64_t>(request.prompt.size());
  const std::int64_t asked = prompt + request.max_tokens;
  if (prompt < 1 || request.max_tokens < 1 || asked > config_.max_model_len) {
    return {
        SubmitStatus::too_long, 0,
        fmt::format("asked for {} prompt tokens and max_tokens {}, {} together; both must be at least 1, and "
                    "at most {} together are accepted",
                    prompt, request.max_tokens, asked, config_.max_model_len)};
  }
  Request r;
  r.prompt = static_cast<std::int32_t>(prompt);
  r.max_tokens = request.max_tokens;
  if (stats_.running < config_.max_running) {
    admit(++last_id_, r, now);
    return {SubmitStatus::accepted, last_id_, ""};
  }
  if (config_.max_queued && stats_.waiting >= *config_.max_queued) {
    ++stats_.requests_refused;
    ++stats_.refused_by[static_cast<std::size_t>(RefusalCause::queue_requests)];
    return {SubmitStatus::queue_full, 0,
            fmt::format("{} requests already wait to be admitted; at most {} may", stats_.waiting,
                        *config_.max_queued)};
  }
  waiting_.emplace(++last_id_, Waiting{r, now});
  ++stats_.waiting;
  return {SubmitStatus::accepted, last_id_, ""};
}

void FixedSchedule::admit(SequenceId id, Request request, Nanos at) {
  request.first = at + law_.ttft;
  Request& kept = running_.emplace(id, request).first->second;
  due_.insert({request.first, id, &kept});
  started_.emplace_back(id, at);
  ++stats_.running;
}

void FixedSchedule::admit_waiting(Nanos at) {
  while (!waiting_.empty() && stats_.running < config_.max_running) {
    auto node = waiting_.extract(waiting_.begin());
    --stats_.waiting;
    admit(node.key(), node.mapped().request, at);
  }
}

void FixedSchedule::finish(SequenceId id, const Request& request, FinishReason reason, Nanos at,
                           std::vector<FixedEvent>& events) {
  FixedEvent event;
  event.kind = FixedEvent::Kind::finished;
  event.sequence = id;
  event.due = at;
  event.finish.reason = reason;
  event.finish.prompt_tokens = request.prompt;
  event.finish.output_tokens = request.given;
  events.push_back(std::move(event));
  ++stats_.requests_finished[static_cast<std::size_t>(reason)];
}

void FixedSchedule::cancel(SequenceId id, Nanos now, std::vector<FixedEvent>& events) {
  if (const auto waiting = waiting_.find(id); waiting != waiting_.end()) {
    finish(id, waiting->second.request, FinishReason::aborted, now, events);
    waiting_.erase(waiting);
    --stats_.waiting;
    return;
  }
  const auto running = running_.find(id);
  if (running == running_.end()) return;
  const Request& r = running->second;
  if (r.given > 0) stats_.abandoned_tokens += r.prompt + r.given - 1;
  finish(id, r, FinishReason::aborted, now, events);
  due_.erase({due_of_next_token(r), id, nullptr});
  std::erase_if(started_, [id](const auto& s) { return s.first == id; });
  running_.erase(running);
  --stats_.running;
  admit_waiting(now);
}

// The tokens of one request that are due at one instant: one, or all without a gap between them.
void FixedSchedule::give(const std::set<Due>::iterator& due, std::vector<FixedEvent>& events) {
  auto node = due_.extract(due);
  Due& entry = node.value();
  Request& r = *entry.request;
  FixedEvent event;
  event.sequence = entry.id;
  event.due = entry.at;
  event.position = r.given;
  event.count = law_.itl == Nanos{0} ? r.max_tokens : 1;
  stats_.computed_tokens += event.count;
  if (r.given == 0) {
    stats_.prompt_tokens += r.prompt;
    stats_.computed_tokens += r.prompt - 1;
  }
  r.given += event.count;
  stats_.generated_tokens += event.count;
  events.push_back(std::move(event));
  if (r.given < r.max_tokens) {
    entry.at = due_of_next_token(r);
    due_.insert(std::move(node));
    return;
  }
  finish(entry.id, r, FinishReason::length, entry.at, events);
  running_.erase(entry.id);
  --stats_.running;
  admit_waiting(entry.at);
}

void FixedSchedule::expire_first(std::vector<FixedEvent>& events) {
  const auto first = waiting_.begin();
  finish(first->first, first->second.request, FinishReason::queue_timeout,
         first->second.since + *config_.queue_timeout, events);
  waiting_.erase(first);
  --stats_.waiting;
}

void FixedSchedule::advance(Nanos now, std::vector<FixedEvent>& events) {
  const auto tell_started = [&] {
    for (const auto& [id, at] : started_) {
      FixedEvent event;
      event.kind = FixedEvent::Kind::started;
      event.sequence = id;
      event.due = at;
      events.push_back(std::move(event));
    }
    started_.clear();
  };
  tell_started();
  for (;;) {
    const bool token = !due_.empty() && due_.begin()->at <= now;
    const bool timed = config_.queue_timeout && !waiting_.empty();
    const Nanos expiry = timed ? waiting_.begin()->second.since + *config_.queue_timeout : Nanos::max();
    if (token && due_.begin()->at <= expiry) {  // a place that becomes free just in time is taken
      give(due_.begin(), events);
    } else if (expiry <= now) {
      expire_first(events);
    } else {
      break;
    }
    if (!started_.empty()) tell_started();
  }
}

std::optional<Nanos> FixedSchedule::next() const {
  std::optional<Nanos> next;
  const auto consider = [&](Nanos at) { next = next ? std::min(*next, at) : at; };
  if (!started_.empty()) consider(started_.front().second);
  if (!due_.empty()) consider(due_.begin()->at);
  if (config_.queue_timeout && !waiting_.empty()) {
    consider(waiting_.begin()->second.since + *config_.queue_timeout);
  }
  return next;
}

std::vector<SequenceId> FixedSchedule::unfinished() const {
  std::vector<SequenceId> ids;
  for (const auto& [id, request] : running_) ids.push_back(id);
  for (const auto& [id, waiting] : waiting_) ids.push_back(id);
  return ids;
}

Result<void> check_law(const FixedLaw& law) {
  constexpr Nanos day = std::chrono::hours{24};
  const auto check = [&](const char* name, Nanos value) -> Result<void> {
    if (value >= Nanos{0} && value <= day) return {};
    return fail(ErrorKind::usage, "{} is {}; accepted are 0 to 24 h", name, format_duration(value));
  };
  DSBENCH_CHECK(check("the time to the first token", law.ttft));
  DSBENCH_CHECK(check("the time between tokens", law.itl));
  return {};
}

}  // namespace dsbench::engine
