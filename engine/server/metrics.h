#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/units.h"
#include "engine/engine.h"
#include "engine/faults/fault_board.h"

namespace dsbench::engine::server {

// What GET /metrics shows, under vLLM's names where vLLM has one and dsbench_… where not. Counters and gauges
// come from the engine's snapshot when they are scraped; histograms are observed as requests go. Not
// thread-safe: I/O thread only.
class ServerMetrics {
 public:
  explicit ServerMetrics(std::string_view model_name);
  ~ServerMetrics();
  ServerMetrics(const ServerMetrics&) = delete;
  ServerMetrics& operator=(const ServerMetrics&) = delete;

  // Submitted until first admitted to run. (vLLM's runs until the most recent admission, so a preemption
  // lengthens it.)
  void queued_for(Nanos time);
  // Submitted until the engine handed over the first token.
  void first_token_after(Nanos time);
  // Between two tokens of one request, as the engine handed them over.
  void token_gap(Nanos time);
  // A request that ended with stop or length.
  void request_done(Nanos e2e, const Finish& finish);
  // A response whose status went out.
  void responded(std::string_view handler, std::string_view method, int status);
  // A stream that was dropped because its client read too slowly.
  void slow_reader_dropped();
  // A comment or a blank line to a client that waits.
  void keep_alive_sent();
  // A request that was ended because its time was over.
  void cut_off();

  // Which faults are on, and how often each was applied.
  void show_faults(const FaultBoard& board, Nanos now);

  // The text exposition format, version 0.0.4.
  [[nodiscard]] std::string render(const EngineStats& stats, std::int64_t connections);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsbench::engine::server
