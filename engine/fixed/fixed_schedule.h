#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

#include "engine/engine_stats.h"
#include "engine/request.h"
#include "engine/scheduler/scheduler_config.h"

namespace dsbench::engine {

// The known truth: a request that is admitted at t has its first token at t + ttft and its token k (from 0)
// at t + ttft + k · itl.
struct FixedLaw {
  Nanos ttft{50'000'000};
  Nanos itl{10'000'000};  // 0: all tokens with the first
};

// One thing that happened to a request.
struct FixedEvent {
  enum class Kind : std::uint8_t { started, tokens, finished };
  Kind kind = Kind::tokens;
  SequenceId sequence = 0;
  Nanos due{0};               // when the law says it happens
  std::int32_t position = 0;  // of `tokens`: the first one's place in the answer
  std::int32_t count = 0;     // of `tokens`
  Finish finish = {};         // of `finished`
};

// The law as a state machine: takes stamps, reads no clock. Every instant is computed from the admission,
// never from when somebody came to look, so that lateness of one token moves no other.
//
// Of the configuration it heeds max_running (how many are served at once), max_queued, queue_timeout and
// max_model_len. Who waits is admitted first come first served, at the instant at which a place becomes free.
class FixedSchedule {
 public:
  FixedSchedule(FixedLaw law, const SchedulerConfig& config) : law_{law}, config_{config} {}

  // Admitted or queued as of `now`; its events come with the next advance().
  [[nodiscard]] Submitted add(const GenerateRequest& request, Nanos now);
  void cancel(SequenceId id, Nanos now, std::vector<FixedEvent>& events);
  // Appends all that is due by `now`, in the order in which it is due.
  void advance(Nanos now, std::vector<FixedEvent>& events);
  // When the next event is due; nothing while there is no request. May lie in the past.
  [[nodiscard]] std::optional<Nanos> next() const;
  [[nodiscard]] std::vector<SequenceId> unfinished() const;
  // `steps`, `busy` and the blocks stay 0: there are none. The ledger counts what a model would have
  // computed, every prompt token and every generated one but the last.
  [[nodiscard]] const EngineStats& stats() const { return stats_; }

 private:
  struct Request {
    SequenceId id = 0;  // 0: the slot is free
    std::int32_t prompt = 0;
    std::int32_t max_tokens = 0;
    std::int32_t given = 0;  // tokens handed out
    Nanos first{0};          // when its first token is due
  };
  struct Due {
    Nanos at{0};
    SequenceId id = 0;
    std::uint32_t slot = 0;
    bool operator<(const Due& other) const { return at != other.at ? at < other.at : id < other.id; }
    bool operator>(const Due& other) const { return other < *this; }
  };
  struct Waiting {
    Request request;
    Nanos since{0};
  };

  void admit(SequenceId id, Request request, Nanos at);
  void admit_waiting(Nanos at);
  void finish(const Request& request, FinishReason reason, Nanos at, std::vector<FixedEvent>& events);
  void give(Due due, std::vector<FixedEvent>& events);
  [[nodiscard]] bool is_over(const Due& due) const { return slots_[due.slot].id != due.id; }
  // What is due first; nothing when nothing is running.
  [[nodiscard]] const Due* first_due() const;
  [[nodiscard]] Due take_first();
  void drop_cancelled();
  void leave(std::uint32_t slot);
  void expire_first(std::vector<FixedEvent>& events);
  [[nodiscard]] Nanos due_of_next_token(const Request& r) const { return r.first + r.given * law_.itl; }

  FixedLaw law_;
  SchedulerConfig config_;
  SequenceId last_id_ = 0;
  std::vector<Request> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<SequenceId, std::uint32_t> running_;  // slots
  // One entry for each running request, and those of cancelled ones until they come to the front. All gaps
  // are alike, so that what is due next of a request whose turn it is is due after everything in `later_`: a
  // queue sorts them. First tokens come as requests do, a heap's worth at a time.
  std::priority_queue<Due, std::vector<Due>, std::greater<>> first_;
  std::deque<Due> later_;
  std::map<SequenceId, Waiting> waiting_;              // ids rise: in the order of arrival
  std::vector<std::pair<SequenceId, Nanos>> started_;  // admitted and not told yet
  EngineStats stats_;
};

// Checks what the law can be asked: 0 ≤ ttft, itl ≤ one day.
[[nodiscard]] Result<void> check_law(const FixedLaw& law);

}  // namespace dsbench::engine
