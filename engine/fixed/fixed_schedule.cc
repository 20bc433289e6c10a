#include "engine/fixed/fixed_schedule.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/text.h"

namespace dsbench::engine {

Submitted FixedSchedule::add(const GenerateRequest& request, Nanos now) {
  ++stats_.attempts;
  if (request.attempt > 0) ++stats_.retries;
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
  r.id = ++last_id_;
  waiting_.emplace(r.id, Waiting{r, now});
  ++stats_.waiting;
  return {SubmitStatus::accepted, last_id_, ""};
}

void FixedSchedule::admit(SequenceId id, Request request, Nanos at) {
  request.id = id;
  request.first = at + law_.ttft;
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  slots_[slot] = request;
  running_.emplace(id, slot);
  first_.push({request.first, id, slot});
  started_.emplace_back(id, at);
  ++stats_.running;
}

void FixedSchedule::leave(std::uint32_t slot) {
  running_.erase(slots_[slot].id);
  slots_[slot].id = 0;
  free_slots_.push_back(slot);
  --stats_.running;
}

const FixedSchedule::Due* FixedSchedule::first_due() const {
  if (later_.empty()) return first_.empty() ? nullptr : &first_.top();
  return first_.empty() || later_.front() < first_.top() ? &later_.front() : &first_.top();
}

FixedSchedule::Due FixedSchedule::take_first() {
  const Due due = *first_due();
  if (!later_.empty() && later_.front().id == due.id && later_.front().at == due.at) {
    later_.pop_front();
  } else {
    first_.pop();
  }
  drop_cancelled();
  return due;
}

// So that what stands in front is running.
void FixedSchedule::drop_cancelled() {
  while (!later_.empty() && is_over(later_.front())) later_.pop_front();
  while (!first_.empty() && is_over(first_.top())) first_.pop();
}

void FixedSchedule::admit_waiting(Nanos at) {
  while (!waiting_.empty() && stats_.running < config_.max_running) {
    auto node = waiting_.extract(waiting_.begin());
    --stats_.waiting;
    admit(node.key(), node.mapped().request, at);
  }
}

void FixedSchedule::finish(const Request& request, FinishReason reason, Nanos at,
                           std::vector<FixedEvent>& events) {
  FixedEvent event;
  event.kind = FixedEvent::Kind::finished;
  event.sequence = request.id;
  event.due = at;
  event.finish.reason = reason;
  event.finish.prompt_tokens = request.prompt;
  event.finish.output_tokens = request.given;
  events.push_back(std::move(event));
  ++stats_.requests_finished[static_cast<std::size_t>(reason)];
}

void FixedSchedule::cancel(SequenceId id, Nanos now, std::vector<FixedEvent>& events) {
  if (const auto waiting = waiting_.find(id); waiting != waiting_.end()) {
    finish(waiting->second.request, FinishReason::aborted, now, events);
    waiting_.erase(waiting);
    --stats_.waiting;
    return;
  }
  const auto running = running_.find(id);
  if (running == running_.end()) return;
  const Request& r = slots_[running->second];
  if (r.given > 0) stats_.abandoned_tokens += r.prompt + r.given - 1;
  finish(r, FinishReason::aborted, now, events);
  std::erase_if(started_, [id](const auto& s) { return s.first == id; });
  leave(running->second);
  drop_cancelled();
  admit_waiting(now);
}

// The tokens of one request that are due at one instant: one, or all without a gap between them.
void FixedSchedule::give(Due due, std::vector<FixedEvent>& events) {
  Request& r = slots_[due.slot];
  FixedEvent event;
  event.sequence = due.id;
  event.due = due.at;
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
    due.at = due_of_next_token(r);
    later_.push_back(due);
    return;
  }
  finish(r, FinishReason::length, due.at, events);
  leave(due.slot);
  admit_waiting(due.at);
}

void FixedSchedule::expire_first(std::vector<FixedEvent>& events) {
  const auto first = waiting_.begin();
  finish(first->second.request, FinishReason::queue_timeout, first->second.since + *config_.queue_timeout,
         events);
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
    const Due* const due = first_due();
    const bool token = due != nullptr && due->at <= now;
    const bool timed = config_.queue_timeout && !waiting_.empty();
    const Nanos expiry = timed ? waiting_.begin()->second.since + *config_.queue_timeout : Nanos::max();
    if (token && due->at <= expiry) {  // a place that becomes free just in time is taken
      give(take_first(), events);
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
  if (const Due* const due = first_due()) consider(due->at);
  if (config_.queue_timeout && !waiting_.empty()) {
    consider(waiting_.begin()->second.since + *config_.queue_timeout);
  }
  return next;
}

std::vector<SequenceId> FixedSchedule::unfinished() const {
  std::vector<SequenceId> ids;
  for (const auto& [id, slot] : running_) ids.push_back(id);
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
