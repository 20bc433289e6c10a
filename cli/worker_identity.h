#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/result.h"

namespace dsbench::cli {

// Which of several processes this is: of all requests of the schedule it sends those whose number is `index`
// modulo `count`. Together they send what one process would send, whatever it is.
struct Worker {
  std::uint32_t index = 0, count = 1;
  std::string found = "";  // what said so; empty: nothing was asked
  [[nodiscard]] bool alone() const { return count == 1; }
};

inline constexpr std::uint32_t most_workers = 4096;

// A variable of the environment; null: not set.
using Environment = std::function<const char*(const char* name)>;

// `text` is "K/N" with K from 0, "auto" (what launched us says it), or empty (one worker). `workers` is how
// many there are where the launcher does not tell (a Kubernetes Indexed Job); where it does, the two must
// agree. Errors: usage, with what was looked for and what was found.
[[nodiscard]] Result<Worker> worker_of(const std::string& text, std::optional<std::int32_t> workers,
                                       const Environment& environment);

}  // namespace dsbench::cli
