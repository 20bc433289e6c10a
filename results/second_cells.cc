#include "results/second_cells.h"

#include <algorithm>
#include <cmath>

#include "results/histogram.h"

namespace dsbench::results {

void SparseHistogram::add(std::uint16_t index, std::uint32_t count) {
  const auto place = std::lower_bound(entries_.begin(), entries_.end(), index,
                                      [](const Entry& e, std::uint16_t i) { return e.index < i; });
  if (place != entries_.end() && place->index == index)
    place->count += count;
  else
    entries_.insert(place, Entry{count, index});
  count_ += count;
}

void SparseHistogram::record(Nanos value) {
  static_assert(Histogram::counter_count <= 65'536);
  const Nanos v = std::max(value, Nanos{0});
  add(static_cast<std::uint16_t>(Histogram::index_of(v)), 1);
  max_ = std::max(max_, v);
}

void SparseHistogram::add(const SparseHistogram& other) {
  for (const auto& e : other.entries_) add(e.index, e.count);
  max_ = std::max(max_, other.max_);
}

Nanos SparseHistogram::quantile(double q) const {
  const auto rank = static_cast<std::int64_t>(std::ceil(q * static_cast<double>(count_) - 1e-9));
  std::int64_t seen = 0;
  for (const auto& e : entries_) {
    seen += e.count;
    if (seen >= rank) return std::min(Histogram::highest_at(e.index), max_);
  }
  return max_;
}

void SecondCell::add(const SecondCell& other) {
  good_of_due += other.good_of_due;
  ended_of_due += other.ended_of_due;
  sent += other.sent;
  completed += other.completed;
  good += other.good;
  failed += other.failed;
  send_lag_max = std::max(send_lag_max, other.send_lag_max);
  ttft.add(other.ttft);
}

SecondCell& SecondCells::at(Nanos t) {
  const auto second = static_cast<std::size_t>(second_of(t));
  if (second >= cells_.size()) cells_.resize(second + 1);
  return cells_[second];
}

void SecondCells::add(const AttemptRecord& attempt) {
  if (attempt.sent == never) return;
  SecondCell& cell = at(attempt.sent);
  ++cell.sent;
  cell.send_lag_max = std::max(cell.send_lag_max, attempt.sent - attempt.due);
}

void SecondCells::add(const RequestRecord& request, bool is_good) {
  SecondCell& of_due = at(request.due);
  ++of_due.ended_of_due;
  if (is_good) ++of_due.good_of_due;
  SecondCell& of_done = at(request.done == never ? request.due : request.done);
  if (ended_well(request.reason))
    ++of_done.completed;
  else
    ++of_done.failed;
  if (is_good) ++of_done.good;
  if (request.first_token != never) at(request.first_token).ttft.record(request.first_token - request.due);
}

void SecondCells::add(const SecondCells& other) {
  if (other.cells_.size() > cells_.size()) cells_.resize(other.cells_.size());
  for (std::size_t i = 0; i < other.cells_.size(); ++i) cells_[i].add(other.cells_[i]);
}

}  // namespace dsbench::results
