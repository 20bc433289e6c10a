#pragma once

#include <array>
#include <cstdint>

#include "results/record.h"

namespace dsbench::results {

// What a stage's measured requests came to, as far as they have ended. Adds exactly.
struct StageCounts {
  std::int64_t ended = 0, delivered = 0, completed = 0, good = 0, attempts = 0, output_tokens = 0;
  std::array<std::int64_t, reason_count> attempts_by_reason{}, requests_by_reason{};

  void add(const AttemptRecord& attempt) {
    ++attempts;
    ++attempts_by_reason[static_cast<std::size_t>(attempt.reason)];
    if (attempt.attempt == 0 && attempt.sent != never) ++delivered;
  }
  void add(const RequestRecord& request, bool is_good) {
    ++ended;
    ++requests_by_reason[static_cast<std::size_t>(request.reason)];
    if (is_good) ++good;
    if (ended_well(request.reason)) {
      ++completed;
      output_tokens += request.output_tokens;
    }
  }
  void add(const StageCounts& other) {
    ended += other.ended;
    delivered += other.delivered;
    completed += other.completed;
    good += other.good;
    attempts += other.attempts;
    output_tokens += other.output_tokens;
    for (std::size_t i = 0; i < attempts_by_reason.size(); ++i) {
      attempts_by_reason[i] += other.attempts_by_reason[i];
      requests_by_reason[i] += other.requests_by_reason[i];
    }
  }
};

}  // namespace dsbench::results
