#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "engine/engine_stats.h"
#include "engine/executors/cost_model.h"
#include "engine/faults/fault_board.h"
#include "engine/scheduler/scheduler.h"
#include "profiles/fleet_profile.h"

namespace dsbench::engine {

// What a client of the fleet sees, `at` the client. As over HTTP: the response's headers (first_byte) leave
// when the first token is there, or with a refusal; a request that is queued hears nothing.
struct FleetEvent {
  enum class Kind : std::uint8_t {
    first_byte,
    tokens,         // `tokens` of them, in one chunk
    done,           // whole
    rejected,       // http_status 503 (overload control), 429 (a limit of the caller's) or 400 (too long); no
                    // first_byte comes before it
    queue_timeout,  // http_status 503, 504 or 500 (the engine failed), before any token; no first_byte comes
                    // before it
    failed,         // after tokens: an error frame ends the stream
  };
  std::uint64_t key = 0;
  Nanos at{0};
  Kind kind = Kind::tokens;
  std::int32_t tokens = 0;
  std::int32_t http_status = 200;
  std::int32_t prompt_tokens = 0;                   // of done
  std::int32_t output_tokens = 0;                   // of done
  std::int32_t cached_tokens = 0;                   // of done: of the prompt, found in the prefix cache
  std::optional<Nanos> retry_after = std::nullopt;  // of rejected
  friend bool operator==(const FleetEvent&, const FleetEvent&) = default;
};

struct FleetOptions {
  // In place of the profile's, per replica.
  std::optional<std::int32_t> max_queued = std::nullopt;
  std::optional<Nanos> queue_timeout = std::nullopt;
  std::optional<std::int32_t> max_running = std::nullopt;
  KvConfig kv = {};
  SpecConfig spec = {};
  OverloadConfig overload = {};  // of each replica
  // Tokens that travel in one event. 1 shows every gap between tokens; more is faster. The first token always
  // travels alone, and the last is never held back.
  std::int32_t tokens_per_event = 1;
};

// A service of many replicas in virtual time: a router, and behind it the engine's scheduler with the cost
// model in place of a model. A discrete-event loop, single-threaded and deterministic: the same calls give
// the same events. Everything takes half the network round trip each way, cancelling included: work goes on
// until the news arrives.
class Fleet {
 public:
  [[nodiscard]] static Result<Fleet> build(const profiles::FleetProfile& profile,
                                           const FleetOptions& options = {});

  // `key` names the attempt in events; unique among those in flight. `now` never goes back over all calls.
  // The tokens themselves are not simulated, so no seed is needed.
  void submit(std::uint64_t key, Lengths lengths, Nanos now);
  // The client went away. No further event of this key follows. An unknown key is ignored.
  void cancel(std::uint64_t key, Nanos now);
  // When something will happen next if nothing is submitted, inside the fleet or at the client; nothing when
  // idle.
  [[nodiscard]] std::optional<Nanos> next_event() const;
  // Moves to `now` and appends what clients have seen until then, in order of time.
  void advance(Nanos now, std::vector<FleetEvent>& events);

  // Something goes wrong with every replica, from the fault's start (an instant of the fleet's time, none
  // before what was advanced to) for its duration: crash, cores, kv, hot-experts. Errors: usage, for a fault
  // that is not of an engine. Returns what end_fault() wants to know.
  [[nodiscard]] Result<std::int64_t> add_fault(const Fault& fault);
  // It is over at `at`, or was before.
  void end_fault(std::int64_t id, Nanos at);
  // There and back.
  [[nodiscard]] Nanos round_trip() const { return 2 * one_way_; }

  // Summed over the replicas.
  [[nodiscard]] EngineStats stats() const;
  [[nodiscard]] const FleetOptions& options() const { return options_; }
  [[nodiscard]] std::size_t replicas() const { return replicas_.size(); }
  // Whether what a prompt consists of (Lengths::parts) makes a difference.
  [[nodiscard]] bool caches_prefixes() const { return options_.kv.prefix_cache; }
  // Steps outside the measured range of the hardware profile's law, so far.
  [[nodiscard]] std::int64_t extrapolated_steps() const { return extrapolated_; }
  // Each replica's scheduler; says what is broken, empty when nothing is. For tests.
  [[nodiscard]] std::string check() const;

 private:
  using FlightSlot = std::uint32_t;

  struct Replica {
    explicit Replica(const SchedulerConfig& config) : scheduler{config} {}
    Scheduler scheduler;
    Nanos busy{0};
    bool stepping = false;
    Nanos step_time{0};  // of the step that is out
    bool lost = false;   // it crashed during that step: with it goes all it has
  };

  // One attempt, from submit() until nothing on its way refers to it any more.
  struct Flight {
    std::uint64_t key = 0;
    SequenceId sequence = 0;
    Lengths lengths;
    std::uint32_t replica = 0;
    std::int32_t sent_tokens = 0;
    std::int32_t cached_tokens = 0;
    bool routed = false;  // counted in outstanding_
    bool cancelled = false;
  };

  struct Inbound {  // on its way to the fleet
    Nanos at{0};
    FlightSlot flight = 0;
    bool cancel = false;
  };

  struct Outbound {  // on its way to the client
    Nanos at{0};
    FlightSlot flight = 0;
    FleetEvent::Kind kind = FleetEvent::Kind::tokens;
    bool forget = false;  // tells nobody: the flight's slot is free from here on
    std::int32_t tokens = 0;
    std::int32_t http_status = 200;
    std::optional<Nanos> retry_after = std::nullopt;
  };

  Fleet(const profiles::FleetProfile& profile, const SchedulerConfig& config, const FleetOptions& options);

  [[nodiscard]] std::optional<Nanos> next_inside() const;
  void change_condition(Nanos now);
  void arrive(const Inbound& inbound);
  void finish_step(std::uint32_t replica, Nanos now);
  void start_step(std::uint32_t replica, Nanos now);
  void relay(Nanos now);
  void send(Nanos now, FlightSlot flight, FleetEvent::Kind kind, std::int32_t tokens,
            std::int32_t http_status);
  void leave_replica(Flight& flight);
  [[nodiscard]] std::uint32_t route();

  CostModel cost_;
  FleetOptions options_;
  profiles::Router router_;
  Nanos one_way_;
  std::int32_t blocks_;  // of a replica
  std::vector<Replica> replicas_;
  std::vector<std::int32_t> outstanding_;  // by replica: routed to it and not ended
  std::uint32_t turn_ = 0;                 // of the router: where the next search begins

  std::vector<Flight> flights_;
  std::vector<FlightSlot> free_flights_;
  std::unordered_map<std::uint64_t, FlightSlot> by_key_;

  // Both in order of time, because all take the same way and `now` never goes back.
  std::deque<Inbound> inbound_;
  std::deque<Outbound> outbound_;
  // Ends of the steps that are out: the earliest first, then the lowest replica.
  using StepEnd = std::pair<Nanos, std::uint32_t>;
  std::priority_queue<StepEnd, std::vector<StepEnd>, std::greater<>> steps_;
  std::vector<SequenceEvent> happened_;
  std::int64_t extrapolated_ = 0;

  FaultBoard board_;
  EngineCondition condition_;  // of all replicas
  Nanos judged_{-1};           // the condition is right until the board's next change after this
};

}  // namespace dsbench::engine
