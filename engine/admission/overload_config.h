#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/units.h"

// Overload control: who is let in, who waits, in which order, for how long. All of it is off by default, as
// in the servers that people run; each part is one flag and one place in the code (this directory, and
// scheduler/waiting_queue.h for the orders).
namespace dsbench::engine {

// Who of the waiting goes next. A preempted sequence comes before all of them, in every order.
enum class QueueOrder : std::uint8_t {
  fcfs,
  shortest_prompt,  // fewest prompt tokens first, then first come
  priority,         // GenerateRequest::priority, lower first, then first come
  // First come first served while the queue drains now and then; newest first while it does not (Facebook's
  // adaptive LIFO): in an overload the oldest will be too late anyway. `standing` below says when.
  adaptive_lifo,
};

// A limit that refills: `rate` per second, at most `burst` saved up.
struct Bucket {
  double rate = 0;
  double burst = 0;
  friend bool operator==(const Bucket&, const Bucket&) = default;
};

// What one account may do.
struct AccountLimits {
  std::optional<Bucket> requests = std::nullopt;
  std::optional<Bucket> tokens = std::nullopt;             // prompt + max_tokens
  std::optional<std::int32_t> concurrency = std::nullopt;  // from submission to the end of the answer
  friend bool operator==(const AccountLimits&, const AccountLimits&) = default;
};

// A class of callers (free, paid, agent, internal, …).
struct TenantClass {
  std::string name = {};
  // Between classes that wait: a lower rank goes first, always.
  std::int32_t rank = 0;
  // Between classes of one rank: tokens are shared in proportion to the weights (start-time fair queueing).
  double weight = 1;
  // Of each account of the class, in place of the general limits.
  std::optional<AccountLimits> account = std::nullopt;
  // Of all its accounts together: running and waiting.
  std::optional<std::int32_t> concurrency = std::nullopt;
};

struct OverloadConfig {
  // Bounds on the queue are in SchedulerConfig (max_queued, queue_timeout), which has had them first.
  std::optional<std::int64_t> max_queued_tokens =
      std::nullopt;  // of prompts that wait; as vLLM's --max-num-queued-tokens

  // Refuses at once what would not get its first token within this time, as predicted (wait_predictor.h).
  std::optional<Nanos> ttft_target = std::nullopt;

  // Bounds what runs and waits by the gradient of time per token (gradient_limit.h): the step time may grow
  // to this multiple of the unloaded one. Above 1.
  std::optional<double> adaptive_concurrency = std::nullopt;

  QueueOrder order = QueueOrder::fcfs;
  // Controlled delay after Nichols and Jacobson's CoDel in Facebook's form: a queue that has not been empty
  // for `standing` is standing, and then nobody may wait longer than `codel_target`. Absent: no such bound.
  std::optional<Nanos> codel_target = std::nullopt;
  // Facebook's ratio of 1 to 20 (5 ms and 100 ms) on the scale of a language model.
  Nanos standing = std::chrono::seconds{10};

  AccountLimits account = {};             // of each account of a class that has none of its own
  std::vector<TenantClass> tenants = {};  // the first is whoever names none of them; empty: one class for all

  // A request's answer is of no use after this long from its arrival, unless it says so itself.
  std::optional<Nanos> expire_after = std::nullopt;
  // End what has expired, waiting or running; otherwise its work goes on and is only counted.
  bool cancel_expired = false;

  // Whether any part of it needs to know callers, times or steps.
  [[nodiscard]] bool limits_accounts() const;
};

[[nodiscard]] Result<void> check_overload(const OverloadConfig& config);

// "fcfs", "shortest-prompt", "priority", "adaptive-lifo".
[[nodiscard]] Result<QueueOrder> parse_queue_order(std::string_view text);
[[nodiscard]] std::string_view to_string(QueueOrder order);

// "free:rank=1,weight=2,rate=5/s,burst=10,tokens=20000/s,token-burst=60000,concurrency=4,all=100"; every part
// but the name may be left out. rate, burst, tokens, token-burst and concurrency are of each account, all is
// of the class together.
[[nodiscard]] Result<TenantClass> parse_tenant(std::string_view text);

}  // namespace dsbench::engine
