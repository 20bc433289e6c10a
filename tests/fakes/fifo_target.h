#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "core/units.h"
#include "loadgen/target.h"

namespace dsbench::fakes {

// A service in virtual time that collapses at a known rate: one server that does one request after the other,
// each in 1/capacity, first come first served. Its answer's first token comes `latency` after that, the
// others `per_token` apart (they cost the server nothing).
struct FifoConfig {
  Rate capacity = Rate::per_second(100);
  Nanos latency{20'000'000};
  Nanos per_token{5'000'000};
  // How many may wait; one more is refused with 429. Absent: as many as come.
  std::optional<std::size_t> max_queued;
  // Whether the work of a client that went away is dropped. A server that does it all the same answers nobody
  // while it is busy with the past: with clients that leave after a time and retry r times it stays down at
  // any load above capacity ÷ (1 + r), long after the trigger is gone.
  // One that drops it, or whose clients do not retry, or whose queue is bounded well below capacity ×
  // patience, recovers.
  bool cancels = true;
};

class FifoTarget final : public loadgen::VirtualTarget {
 public:
  explicit FifoTarget(const FifoConfig& config)
      : config_{config}, service_time_{from_seconds(1 / config.capacity.per_second())} {}

  void submit(const loadgen::Attempt& attempt, Nanos now) override {
    const Key key{attempt.request, attempt.attempt};
    live_.insert(key);
    if (config_.max_queued && waiting_ >= *config_.max_queued) {
      loadgen::TargetEvent refusal = event(key, loadgen::EventKind::failed);
      refusal.reason = results::Reason::http_429;
      refusal.http_status = 429;
      push(now, refusal);
      return;
    }
    queue_.push_back({key, attempt.output_tokens});
    ++waiting_;
    if (!busy_) serve_next(now);
  }

  void cancel(std::uint64_t request, std::uint32_t attempt, Nanos now) override {
    const Key key{request, attempt};
    if (live_.erase(key) == 0 || !config_.cancels) return;
    if (busy_ && serving_.key == key) {
      ++service_number_;  // the end of its service is no longer awaited
      serve_next(now);
      return;
    }
    for (auto it = queue_.begin(); it != queue_.end(); ++it) {
      if (it->key != key) continue;
      queue_.erase(it);
      --waiting_;
      return;
    }
  }

  [[nodiscard]] std::optional<Nanos> next_event() const override {
    if (agenda_.empty()) return std::nullopt;
    return agenda_.top().at;
  }

  void advance(Nanos now, std::vector<loadgen::TargetEvent>& events) override {
    while (!agenda_.empty() && agenda_.top().at <= now) {
      const Item item = agenda_.top();
      agenda_.pop();
      if (item.end_of_service) {
        if (item.service_number == service_number_) finish(item.at);
        continue;
      }
      const Key key{item.event.request, item.event.attempt};
      if (!live_.contains(key)) continue;
      events.push_back(item.event);
      events.back().at = item.at;
      if (item.event.kind == loadgen::EventKind::done || item.event.kind == loadgen::EventKind::failed)
        live_.erase(key);
    }
  }

  // Served to the end for somebody who had gone.
  [[nodiscard]] std::uint64_t wasted() const { return wasted_; }
  [[nodiscard]] std::uint64_t served() const { return served_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_; }

 private:
  using Key = std::pair<std::uint64_t, std::uint32_t>;
  struct Job {
    Key key;
    std::int32_t output_tokens = 0;
  };
  struct Item {
    Nanos at{0};
    std::uint64_t order = 0;
    bool end_of_service = false;
    std::uint64_t service_number = 0;
    loadgen::TargetEvent event;
    friend bool operator<(const Item& a, const Item& b) {
      return std::tie(b.at, b.order) < std::tie(a.at, a.order);
    }
  };

  static loadgen::TargetEvent event(const Key& key, loadgen::EventKind kind) {
    loadgen::TargetEvent e;
    e.request = key.first;
    e.attempt = key.second;
    e.kind = kind;
    e.http_status = 200;
    return e;
  }

  void push(Nanos at, const loadgen::TargetEvent& e) { agenda_.push({at, order_++, false, 0, e}); }

  void serve_next(Nanos now) {
    busy_ = !queue_.empty();
    if (!busy_) return;
    serving_ = queue_.front();
    queue_.pop_front();
    --waiting_;
    agenda_.push({now + service_time_, order_++, true, ++service_number_, {}});
  }

  void finish(Nanos at) {
    ++served_;
    if (!live_.contains(serving_.key)) {
      ++wasted_;
    } else {
      Nanos t = at + config_.latency;
      push(t, event(serving_.key, loadgen::EventKind::first_byte));
      loadgen::TargetEvent first = event(serving_.key, loadgen::EventKind::tokens);
      first.tokens = 1;
      push(t, first);
      if (serving_.output_tokens > 1) {
        loadgen::TargetEvent rest = first;
        rest.tokens = serving_.output_tokens - 1;
        t += config_.per_token * rest.tokens;
        push(t, rest);
      }
      push(t, event(serving_.key, loadgen::EventKind::done));
    }
    serve_next(at);
  }

  FifoConfig config_;
  Nanos service_time_;
  std::deque<Job> queue_;
  std::size_t waiting_ = 0;
  bool busy_ = false;
  Job serving_;
  std::uint64_t service_number_ = 0;
  std::uint64_t order_ = 0;
  std::priority_queue<Item> agenda_;
  std::set<Key> live_;
  std::uint64_t wasted_ = 0;
  std::uint64_t served_ = 0;
};

}  // namespace dsbench::fakes
