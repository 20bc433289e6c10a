#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/faults/fault_board.h"
#include "engine/server/net.h"
#include "engine/server/reply.h"

namespace dsbench::engine::server {

// Between a stream of events and its reply, for a request that something goes wrong with: holds events back
// (latency, stall) and ends the reply before its time (close, error-frame, truncate). A request that ends
// before so many tokens have come is broken at its end.
class AfflictedReply final : public StreamConsumer, public std::enable_shared_from_this<AfflictedReply> {
 public:
  // `applied` is told of each fault when it takes effect; `reply` must outlive detach().
  AfflictedReply(Reply& reply, const RequestFaults& faults, IoExecutor executor, FaultBoard& board);
  // Instead of Reply::begin().
  void begin();
  void detach();

  void on_started(Nanos at) override;
  void on_token(TokenId token, Nanos at) override;
  void on_finished(const Finish& finish, Nanos at) override;
  void on_drained() override;

 private:
  enum class Kind : std::uint8_t { started, token, finished };
  struct Event {
    Kind kind = Kind::token;
    TokenId token = 0;
    Nanos at{0};
  };
  void take(const Event& event);
  // False when the event, and what follows it, must wait.
  [[nodiscard]] bool pass(const Event& event);
  void hold(std::optional<Nanos> time);
  void release();
  void break_off();

  Reply* reply_;
  RequestFaults faults_;
  FaultBoard& board_;
  Timer timer_;
  bool held_ = false;
  std::int32_t tokens_ = 0;  // passed on
  std::vector<Event> waiting_;
  Finish finish_;
};

}  // namespace dsbench::engine::server
