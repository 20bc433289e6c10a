#include "loadgen/traces/drawn_traffic.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace dsbench::loadgen {
namespace {

struct Waiting {
  Nanos due{0}, gap{0};
  std::uint64_t order = 0;  // among those of one time
  std::int32_t growth = 0;
  Attempt attempt;
};

bool later(const Waiting& a, const Waiting& b) {
  return std::pair{b.due, b.order} < std::pair{a.due, a.order};
}

}  // namespace

void draw_traffic(const SharedSource& source, std::span<const Nanos> arrivals, std::uint64_t first_number,
                  std::optional<Nanos> end, const std::function<void(const DrawnRequest&)>& visit) {
  std::vector<Waiting> heap;  // the earliest first
  std::vector<FollowUp> follow_ups;
  std::uint64_t order = 0;
  const auto offer = [&](const DrawnRequest& request) {
    visit(request);
    const Attempt& attempt = *request.attempt;
    if (attempt.session == nullptr) return;
    results::RequestRecord outcome;
    outcome.due = outcome.sent = outcome.done = request.due;
    outcome.turn = attempt.turn;
    outcome.prompt_tokens = attempt.prompt_tokens;
    outcome.output_tokens = attempt.output_tokens;
    follow_ups.clear();
    source.next(attempt, outcome, follow_ups);
    for (FollowUp& next : follow_ups) {
      const Nanos due = request.due + next.after;
      if (end && due >= *end) continue;
      const std::int32_t growth = next.attempt.prompt_tokens - attempt.prompt_tokens;
      heap.push_back({due, next.after, order++, growth, std::move(next.attempt)});
      std::push_heap(heap.begin(), heap.end(), later);
    }
  };
  const auto take = [&] {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Waiting first = std::move(heap.back());
    heap.pop_back();
    offer({first.due, first.attempt.content, first.gap, first.growth, &first.attempt});
  };
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    while (!heap.empty() && heap.front().due <= arrivals[i]) take();
    const Attempt attempt = source(first_number + i);
    offer({arrivals[i], attempt.content, Nanos{0}, 0, &attempt});
  }
  while (!heap.empty()) take();
}

}  // namespace dsbench::loadgen
