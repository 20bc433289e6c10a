#include "kernelbench/ops/routing.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "core/rng.h"

namespace dsbench::kernelbench {

WordSpec routing_word() {
  return {.name = "routing",
          .accepted = {"uniform", "zipf", "balanced", "one"},
          .help = "which experts tokens go to: any, popular ones, all in turn, a single one"};
}

Result<void> check_routing(const Problem& p) {
  if (p["top_k"] > p["experts"]) {
    return fail(ErrorKind::usage, "{}: top_k is {}; there are {} experts", p.op, p["top_k"], p["experts"]);
  }
  return {};
}

std::vector<std::int32_t> make_routing(const Problem& p) {
  const auto tokens = static_cast<std::size_t>(p["tokens"]);
  const auto top_k = static_cast<std::size_t>(p["top_k"]);
  const auto experts = static_cast<std::size_t>(p["experts"]);
  const std::string& routing = p.word("routing");
  Rng rng(p.seed, "kernelbench.routing");
  std::vector<std::int32_t> ids(tokens * top_k);

  // The experts that take part, in order of popularity.
  std::vector<std::int32_t> order;
  for (std::size_t e = 0; e < experts; ++e) {
    if (!p.adversarial || experts < 3 * top_k || e % 3 == 1) order.push_back(static_cast<std::int32_t>(e));
  }
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  if (routing == "one") {
    std::ranges::fill(ids, order.front());
    return ids;
  }
  if (routing == "balanced") {
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = order[i % order.size()];
    return ids;
  }
  std::vector<double> cumulative(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const double popularity = routing == "zipf" ? 1 / static_cast<double>(i + 1) : 1;
    cumulative[i] = (i == 0 ? 0 : cumulative[i - 1]) + popularity;
  }
  std::vector<bool> taken(order.size());
  std::vector<std::size_t> mine;
  for (std::size_t t = 0; t < tokens; ++t) {
    for (const std::size_t i : mine) taken[i] = false;
    mine.clear();
    while (mine.size() < top_k) {
      const double at = rng.uniform() * cumulative.back();
      auto i = static_cast<std::size_t>(std::ranges::upper_bound(cumulative, at) - cumulative.begin());
      if (i >= order.size()) i = order.size() - 1;
      // Drawn before: again, but not for ever where few are left.
      if (taken[i] && 2 * mine.size() < order.size()) continue;
      while (taken[i]) i = (i + 1) % order.size();
      taken[i] = true;
      ids[t * top_k + mine.size()] = order[i];
      mine.push_back(i);
    }
  }
  return ids;
}

std::vector<std::int64_t> expert_offsets(const std::vector<std::int32_t>& ids, std::int64_t experts) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(experts + 1));
  for (const std::int32_t e : ids) ++offsets[static_cast<std::size_t>(e) + 1];
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  return offsets;
}

std::vector<std::int32_t> expert_slots(const std::vector<std::int32_t>& ids, std::int64_t experts) {
  std::vector<std::int64_t> next = expert_offsets(ids, experts);
  std::vector<std::int32_t> slots(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    slots[i] = static_cast<std::int32_t>(next[static_cast<std::size_t>(ids[i])]++);
  }
  return slots;
}

HostTensor i32_tensor(std::string name, std::vector<std::int64_t> shape,
                      const std::vector<std::int32_t>& values) {
  HostTensor tensor(std::move(name), Dtype::i32, std::move(shape));
  if (!values.empty()) std::memcpy(tensor.data(), values.data(), values.size() * sizeof(std::int32_t));
  return tensor;
}

}  // namespace dsbench::kernelbench
