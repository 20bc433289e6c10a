#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/result.h"
#include "core/units.h"

// How several processes agree on an instant to begin: worker 0 listens, the others connect to it, say what
// they are about to send, and compare clocks; then worker 0 says when. It is over before the first request
// leaves: nothing is coordinated while the load runs.
//
// One line of text each way (worker → worker 0 on the left), and nothing else:
//   dsbench-rendezvous/1 INDEX COUNT PLAN  →   ok | refused: WHY
//                                          ←   sync            when all are there
//   ping                                   →   pong T2 T3      16 times; ns of worker 0's wall clock
//   synced                                 →   start T0        when all are
namespace dsbench::loadgen {

struct RendezvousConfig {
  std::string host = "127.0.0.1";  // of worker 0
  std::uint16_t port = 0;          // worker 0 only: 0 lets the system choose
  std::uint32_t index = 0, count = 1;
  std::string plan;                              // digest of what is about to be sent: the same for all
  Nanos patience{60'000'000'000};                // for all to come
  Nanos margin{3'000'000'000};                   // from the last agreement to the start
  std::function<Nanos()> wall = wall_clock_now;  // this machine's; tests give it an error
};

// What came of it. `offset`: worker 0's clock less ours, from the ping with the shortest round trip; it is
// wrong by half of that at most.
struct Agreement {
  Nanos start_at{0};  // by worker 0's clock
  Nanos offset{0};
  Nanos round_trip{0};
  [[nodiscard]] Nanos own_start() const { return start_at - offset; }  // by our clock
};

// "HOST:PORT" or "[v6]:PORT". Errors: usage.
[[nodiscard]] Result<void> set_meeting_point(RendezvousConfig& config, std::string_view text);

// Worker 0's side. Listens from open() on, at the address that `host` means on this machine, or at all of
// them where it means none of its own (a name that leads here through a translation).
class RendezvousHost {
 public:
  [[nodiscard]] static Result<std::unique_ptr<RendezvousHost>> open(const RendezvousConfig& config);
  ~RendezvousHost();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  // Waits for all others. `say` hears who has come. Errors: unreachable (not all came, or one left), usage
  // (one is about to send something else), interrupted.
  [[nodiscard]] Result<Agreement> meet(const std::atomic<bool>& stop,
                                       const std::function<void(std::string_view)>& say);

 private:
  RendezvousHost(RendezvousConfig config, int descriptor, std::uint16_t port)
      : config_{std::move(config)}, descriptor_{descriptor}, port_{port} {}
  RendezvousConfig config_;
  int descriptor_;
  std::uint16_t port_;
};

// The others' side. Tries until worker 0 listens. Errors: as above, and what worker 0 refuses.
[[nodiscard]] Result<Agreement> join_rendezvous(const RendezvousConfig& config,
                                                const std::atomic<bool>& stop);

}  // namespace dsbench::loadgen
