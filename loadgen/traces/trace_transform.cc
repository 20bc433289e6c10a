#include "loadgen/traces/trace_transform.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/rng.h"
#include "core/text.h"

namespace dsbench::loadgen {
namespace {

constexpr std::uint32_t dropped = 0xFFFF'FFFEU;

// Removes the rows for which `keep` says no; parents that are gone are forgotten.
template <class Keep>
void filter(Trace& trace, Keep keep) {
  std::vector<std::uint32_t> moved;
  const bool parents = std::any_of(trace.rows.begin(), trace.rows.end(),
                                   [](const TraceRow& r) { return r.parent != no_parent; });
  if (parents) moved.assign(trace.rows.size(), dropped);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < trace.rows.size(); ++i) {
    if (!keep(trace.rows[i])) continue;
    if (parents) moved[i] = static_cast<std::uint32_t>(kept);
    trace.rows[kept] = trace.rows[i];
    if (!trace.spans.empty()) trace.spans[kept] = trace.spans[i];
    ++kept;
  }
  trace.rows.resize(kept);
  if (!trace.spans.empty()) trace.spans.resize(kept);
  if (!parents) return;
  for (TraceRow& row : trace.rows) {
    if (row.parent == no_parent) continue;
    const std::uint32_t to = moved[row.parent];
    row.parent = to == dropped ? no_parent : to;
  }
}

// Puts rows into order of time again after their due times were changed.
void sort_rows(Trace& trace) {
  if (std::is_sorted(trace.rows.begin(), trace.rows.end(),
                     [](const TraceRow& a, const TraceRow& b) { return a.due < b.due; }))
    return;
  std::vector<std::uint32_t> order(trace.rows.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return trace.rows[a].due < trace.rows[b].due; });
  std::vector<std::uint32_t> moved(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) moved[order[i]] = static_cast<std::uint32_t>(i);
  std::vector<TraceRow> rows;
  rows.reserve(order.size());
  for (const std::uint32_t from : order) rows.push_back(trace.rows[from]);
  for (TraceRow& row : rows) {
    if (row.parent != no_parent) row.parent = moved[row.parent];
  }
  trace.rows = std::move(rows);
  if (trace.spans.empty()) return;
  std::vector<HashSpan> spans;
  spans.reserve(order.size());
  for (const std::uint32_t from : order) spans.push_back(trace.spans[from]);
  trace.spans = std::move(spans);
}

}  // namespace

void cut_window(Trace& trace, const TraceWindow& window) {
  const Nanos to = window.to.value_or(trace.length);
  filter(trace, [&](const TraceRow& row) { return row.due >= window.from && row.due < to; });
  for (TraceRow& row : trace.rows) row.due -= window.from;
  trace.length = std::max(std::min(to, trace.length) - window.from, Nanos{0});
}

Result<void> keep_tenants(Trace& trace, const std::vector<std::string>& tenants) {
  if (tenants.empty()) return {};
  std::vector<bool> wanted(trace.tenants.size());
  for (std::size_t i = 0; i < trace.tenants.size(); ++i) {
    wanted[i] = std::any_of(tenants.begin(), tenants.end(), [&](const std::string& name) {
      return trace.tenants[i] == name || trace.tenants[i].starts_with(name + "/");
    });
  }
  filter(trace, [&](const TraceRow& row) { return wanted[row.tenant]; });
  if (!trace.rows.empty()) return {};
  std::vector<std::string_view> known;
  for (const std::string& name : trace.tenants) {
    if (!name.empty() && known.size() < 12) known.push_back(name);
  }
  return fail(
      ErrorKind::usage, "no request of {} is of tenant '{}'; {}", trace.name, fmt::join(tenants, "', '"),
      known.empty() ? "this trace names no tenants"
                    : fmt::format("found: {}{}", join(known), trace.tenants.size() > 13 ? ", …" : ""));
}

void scale_time(Trace& trace, double speed) {
  if (speed == 1) return;
  const auto scaled = [&](Nanos t) { return Nanos{std::llround(static_cast<double>(t.count()) / speed)}; };
  for (TraceRow& row : trace.rows) row.due = scaled(row.due);
  trace.length =
      std::max(scaled(trace.length), trace.rows.empty() ? Nanos{0} : trace.rows.back().due + Nanos{1});
}

void scale_rate(Trace& trace, double factor) {
  if (factor == 1 || trace.rows.empty()) return;
  // A request's own number between 0 and 1, or its session's.
  const auto lot = [&](const TraceRow& row, std::uint32_t copy) {
    return Rng{
        trace.seed, row.session != 0 ? "trace thinning of sessions" : "trace thinning",
        row.session != 0 ? derive_seed(row.session, "copy", copy) : (std::uint64_t{copy} << 32 | row.source)}
        .uniform();
  };
  const auto whole = static_cast<std::uint32_t>(std::floor(factor));
  const double rest = factor - whole;
  if (whole == 0) {
    filter(trace, [&](const TraceRow& row) { return lot(row, 0) < rest; });
    return;
  }
  const std::vector<TraceRow> source = trace.rows;
  const std::vector<HashSpan> spans = trace.spans;
  const std::uint32_t copies = whole + (rest > 1e-9 ? 1 : 0);
  trace.rows.reserve(static_cast<std::size_t>(static_cast<double>(source.size()) * factor) + 1);
  for (std::uint32_t copy = 1; copy < copies; ++copy) {
    const bool thinned = copy == whole;
    // A tenth of the window at most, and a minute: the curve of the rate stays where it is.
    const double most = std::min(to_seconds(trace.length) / 10, 60.0);
    const Nanos turn = from_seconds(Rng{trace.seed, "trace copies", copy}.uniform() * most);
    std::vector<std::uint32_t> moved(source.size(), no_parent);
    for (std::size_t i = 0; i < source.size(); ++i) {
      if (thinned && lot(source[i], copy) >= rest) continue;
      moved[i] = static_cast<std::uint32_t>(trace.rows.size());
      TraceRow row = source[i];
      row.copy = copy & 2047U;
      row.due += turn;
      if (row.due >= trace.length) row.due -= trace.length;
      if (row.parent != no_parent) row.parent = moved[row.parent];
      trace.rows.push_back(row);
      if (!spans.empty()) trace.spans.push_back(spans[i]);
    }
  }
  sort_rows(trace);
}

std::optional<Nanos> find_batches(const Trace& trace) {
  std::vector<double> gaps;
  std::size_t ties = 0;
  for (std::size_t i = 1; i < trace.rows.size(); ++i) {
    const Nanos gap = trace.rows[i].due - trace.rows[i - 1].due;
    if (gap <= Nanos{2'000'000}) {  // the batches of Mooncake are 3,000 ± 1 ms apart
      ++ties;
    } else {
      gaps.push_back(to_seconds(gap));
    }
  }
  if (gaps.size() < 8 || ties * 50 < trace.rows.size()) return std::nullopt;
  std::sort(gaps.begin(), gaps.end());
  const double low = gaps[gaps.size() / 100];
  std::vector<double> around;
  for (const double gap : gaps) {
    if (gap < low * 1.2) around.push_back(gap);
  }
  const double batch = around[around.size() / 2];
  if (batch < 0.1) return std::nullopt;
  const auto off_grid = static_cast<std::size_t>(std::count_if(gaps.begin(), gaps.end(), [&](double gap) {
    const double n = gap / batch;
    // Stamps may drift a little against the grid; a trace with a fine clock is off by a quarter on average.
    return std::abs(n - std::round(n)) > 0.02 + 0.001 * n;
  }));
  if (off_grid * 100 > gaps.size() * 2) return std::nullopt;
  return from_seconds(batch);
}

void dequantise(Trace& trace, Nanos batch) {
  auto& rows = trace.rows;
  std::vector<double> offsets;
  for (std::size_t i = 0; i < rows.size();) {
    std::size_t end = i + 1;
    while (end < rows.size() && rows[end].due - rows[i].due <= Nanos{2'000'000}) ++end;
    offsets.clear();
    for (std::size_t k = i; k < end; ++k)
      offsets.push_back(
          Rng{trace.seed, "trace dequantise", std::uint64_t{rows[k].copy} << 32 | rows[k].source}.uniform());
    std::sort(offsets.begin(), offsets.end());
    const Nanos start = rows[i].due;
    for (std::size_t k = i; k < end; ++k)
      rows[k].due = start + from_seconds(offsets[k - i] * to_seconds(batch));
    i = end;
  }
  sort_rows(trace);
  if (!rows.empty()) trace.length = std::max(trace.length, rows.back().due + Nanos{1});
  trace.notes.dequantised = true;
}

}  // namespace dsbench::loadgen
