#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/units.h"
#include "loadgen/client_policy.h"
#include "loadgen/load_machine.h"
#include "loadgen/runner.h"
#include "loadgen/wire/transport.h"
#include "loadgen/wire/wire_config.h"
#include "results/record.h"

namespace dsbench::loadgen {

// One issuer thread: a LoadMachine that decides, a Transport that carries out, and the loop between them.
// It reads the clock once per turn; only the moment of sending has a reading of its own, so that our lag is
// never made to look small. Everything public is called by the controller; batches are handed over under a
// lock that no request ever takes.
class Issuer {
 public:
  // Starts the thread. The clock and the sinks must outlive the issuer; `epoch` is the start of the run on
  // the clock.
  [[nodiscard]] static Result<std::unique_ptr<Issuer>> make(const WireConfig& config,
                                                            const ClientPolicies& policies,
                                                            SharedSource source, std::uint64_t seed,
                                                            std::uint32_t worker, results::RecordSink& sink,
                                                            const Clock& clock, Nanos epoch,
                                                            AnswerSink* answers = nullptr);
  // Ends the thread; what is in flight is cut off and recorded by nobody.
  ~Issuer();
  Issuer(const Issuer&) = delete;
  Issuer& operator=(const Issuer&) = delete;

  void offer(std::vector<Arrival> arrivals);
  void drop_arrivals();
  // Whether sessions rest between their turns, because nothing is offered.
  void rest_sessions(bool rest);
  void abandon();

  // What was asked so far has been taken up, and the counts below know of it.
  [[nodiscard]] bool settled() const;
  [[nodiscard]] std::size_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t pending() const { return pending_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t unsent() const { return unsent_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t connections_opened() const { return opened_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t connections_open() const { return open_.load(std::memory_order_relaxed); }
  // The most that were open at once since the last call.
  [[nodiscard]] std::int64_t take_connections_peak();
  // CPU time of the thread so far.
  [[nodiscard]] Nanos cpu_time() const;

 private:
  struct Parts;
  struct Inbox {
    std::vector<std::vector<Arrival>> batches;
    std::optional<bool> rest_sessions;
    bool drop = false;
    bool abandon = false;
    bool quit = false;
    std::uint64_t number = 0;  // of the last command
  };

  explicit Issuer(std::unique_ptr<Parts> parts);
  template <class Change>
  void command(Change&& change);
  void run();
  void publish(std::uint64_t number);

  std::unique_ptr<Parts> parts_;  // the thread's own, once it runs
  int wake_ = -1;                 // an eventfd
  std::mutex mutex_;
  Inbox inbox_;
  std::atomic<std::uint64_t> asked_{0}, taken_{0};
  std::atomic<std::size_t> in_flight_{0}, pending_{0};
  std::atomic<std::uint64_t> unsent_{0}, opened_{0};
  std::atomic<std::int64_t> open_{0}, peak_{0};
  std::thread thread_;
  clockid_t cpu_clock_{};
};

// The kernel may wake a sleeping thread up to 50 µs late to save power; an issuer asks it not to.
void ask_for_exact_wakeups();

}  // namespace dsbench::loadgen
