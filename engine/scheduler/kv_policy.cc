#include "engine/scheduler/kv_policy.h"

#include <algorithm>
#include <tuple>

namespace dsbench::engine {

std::string_view to_string(KvPolicy policy) {
  switch (policy) {
    case KvPolicy::recompute_lifo:
      return "recompute-lifo";
    case KvPolicy::recompute_least_computed:
      return "recompute-least-computed";
    case KvPolicy::retract:
      return "retract";
    case KvPolicy::reserve:
      return "reserve";
  }
  return "";
}

std::optional<KvPolicy> kv_policy_named(std::string_view name) {
  for (const KvPolicy policy : kv_policies) {
    if (to_string(policy) == name) return policy;
  }
  return std::nullopt;
}

namespace {

std::int32_t still_expected(const KvShare& share) {
  return std::min(share.prompt + share.max_tokens - share.known, KvPressure::most_expected);
}

}  // namespace

std::int32_t KvPressure::expected(const KvShare& running) const {
  switch (policy_) {
    case KvPolicy::recompute_lifo:
    case KvPolicy::recompute_least_computed:
      return running.computed;
    case KvPolicy::retract:
      return running.known + static_cast<std::int32_t>(new_token_ratio_ * still_expected(running));
    case KvPolicy::reserve:
      return running.at_the_end();
  }
  return 0;
}

std::int32_t KvPressure::asked(const KvShare& waiting, std::int32_t first) const {
  switch (policy_) {
    case KvPolicy::recompute_lifo:
    case KvPolicy::recompute_least_computed:
      return first;
    case KvPolicy::retract:  // the newcomer counts in full, only those that run are discounted
      return waiting.known + still_expected(waiting) - 1;
    case KvPolicy::reserve:
      return waiting.at_the_end();
  }
  return 0;
}

// Each rule names a total order in which the first sequence goes last. That one is never a victim while
// anybody else runs, so it gets on, and that is why none of them can thrash for ever.
std::size_t KvPressure::victim(std::span<const KvShare> running) const {
  const auto least = [&](const auto& key) {
    std::size_t found = 0;
    for (std::size_t i = 1; i < running.size(); ++i) {
      if (key(running[i]) <= key(running[found])) found = i;  // of equals the last admitted
    }
    return found;
  };
  switch (policy_) {
    case KvPolicy::recompute_lifo:
    case KvPolicy::reserve:
      break;
    case KvPolicy::recompute_least_computed:
      return least([](const KvShare& s) { return s.computed; });
    case KvPolicy::retract:  // of equals the one with the longest prompt
      return least([](const KvShare& s) { return std::tuple{s.generated(), -s.prompt}; });
  }
  return running.size() - 1;
}

void KvPressure::scheduled(std::span<const KvShare> running, bool preempted) {
  if (policy_ != KvPolicy::retract) return;
  if (!preempted) {
    new_token_ratio_ = std::max(new_token_ratio_ - decay, least_ratio);
    return;
  }
  // What is left has generated so much of what it may, and will by the end of the steps that were made room
  // for.
  double generated = 0;
  double may = 1;
  for (const KvShare& s : running) {
    generated += s.generated() + steps_ahead();
    may += s.max_tokens;
  }
  new_token_ratio_ = std::min(1.0, generated / may);
}

}  // namespace dsbench::engine
