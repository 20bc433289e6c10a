#pragma once

#include <cstdint>
#include <optional>

#include "core/units.h"

namespace dsbench::engine {

// When would a request that comes now get its first token? Two things can be in its way, and the slower one
// decides:
//
//   prefill    the prompt tokens ahead of it, and its own, at the rate at which prompts are being computed
//   admission  the requests ahead of it, at the rate at which those that wait have been let in (slots or KV
//              blocks that become free): Little's law on the queue as it has been
//
// Both rates are measured over the last seconds (exponentially weighted, `memory`), the admission rate only
// while somebody waits: a queue that is empty says nothing about how fast it would drain. Without a
// measurement there is no prediction, and nobody is refused by a guess. In the manner of Mooncake's early
// rejection and vLLM's max_num_queued_tokens ≈ target TTFT × prefill throughput.
class WaitPredictor {
 public:
  explicit WaitPredictor(Nanos memory = std::chrono::seconds{5}) : memory_{memory} {}

  // A step took `time` and computed `prompt_tokens` of prompts; `admitted` requests had been let in for it,
  // and `waiting` were left.
  void step(Nanos time, std::int64_t prompt_tokens, std::int64_t admitted, std::int64_t waiting);

  // Of a request with `own_tokens`, with `waiting` requests and `tokens_ahead` uncomputed prompt tokens
  // before it.
  [[nodiscard]] std::optional<Nanos> first_token(std::int64_t own_tokens, std::int64_t waiting,
                                                 std::int64_t tokens_ahead) const;

 private:
  // A rate as weighted amounts over weighted time.
  struct Average {
    double amount = 0;
    double seconds = 0;
    void add(double a, double s, double keep) {
      amount = amount * keep + a;
      seconds = seconds * keep + s;
    }
  };
  Nanos memory_;
  Average prefill_;    // of steps that computed prompts
  Average admission_;  // of steps that left somebody waiting
};

}  // namespace dsbench::engine
