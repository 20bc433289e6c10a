#pragma once

#include <optional>
#include <string>
#include <vector>

#include "loadgen/traces/trace.h"

// What is done to a trace before it is replayed or fitted. Every function keeps the order of time and leaves
// a request's content (its source number) as it is.
namespace dsbench::loadgen {

struct TraceWindow {
  Nanos from{0};
  std::optional<Nanos> to;  // none: the end
};

// Keeps the requests of [from, to), and moves `from` to zero.
void cut_window(Trace& trace, const TraceWindow& window);

// Keeps the requests of these tenants: a whole name, or what stands before its '/'. Errors: usage, when none
// is left.
[[nodiscard]] Result<void> keep_tenants(Trace& trace, const std::vector<std::string>& tenants);

// Every due time divided by `speed`: 10 replays an hour in six minutes, at ten times the rate.
void scale_time(Trace& trace, double speed);

// The rate times `factor`, with its shape kept. Below 1 by thinning: a request stays with that probability, a
// session as a whole. Above 1 by superposition: further copies of the trace as if from other users, each
// turned round the window by a time of its own, with contents and sessions of its own; the last copy is
// thinned.
void scale_rate(Trace& trace, double factor);

// The distance of batches in a source whose clock was coarse: many requests share a stamp, and distances
// between stamps are multiples of one of at least 100 ms. None for a trace with a fine clock.
[[nodiscard]] std::optional<Nanos> find_batches(const Trace& trace);

// Spreads the requests of a batch evenly at random over the time until the next one may come, in their order.
void dequantise(Trace& trace, Nanos batch);

}  // namespace dsbench::loadgen
