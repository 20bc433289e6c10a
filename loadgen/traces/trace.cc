#include "loadgen/traces/trace.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "core/rng.h"
#include "loadgen/traces/field_parsers.h"

namespace dsbench::loadgen {
namespace {

constexpr std::uint32_t most_tenants = (1U << 20) - 1;

// A number stays what it is (so that it can be found again in the source); a word is hashed. Never 0.
std::uint64_t number_of(const std::string& word) {
  if (word.empty()) return 0;
  if (word.size() < 19 && word.find_first_not_of("0123456789") == std::string::npos && word != "0") {
    std::uint64_t n = 0;
    for (const char c : word) n = n * 10 + static_cast<std::uint64_t>(c - '0');
    if (n != 0) return n;
  }
  return derive_seed(0, word) | (std::uint64_t{1} << 63);
}

// rows[i] = rows[order[i]], in place.
template <class T>
void reorder(std::vector<T>& values, const std::vector<std::uint32_t>& order) {
  std::vector<T> sorted;
  sorted.reserve(values.size());
  for (const std::uint32_t from : order) sorted.push_back(values[from]);
  values = std::move(sorted);
}

}  // namespace

std::vector<Nanos> Trace::due() const {
  std::vector<Nanos> due;
  due.reserve(rows.size());
  for (const TraceRow& row : rows) due.push_back(row.due);
  return due;
}

TraceContent Trace::content(std::size_t i) const {
  const TraceRow& row = rows[i];
  TraceContent content;
  content.input_tokens = std::max(row.input_tokens, 1);
  content.output_tokens = std::max(row.output_tokens, 1);
  if (row.reasoning_share >= 0) content.reasoning_share = row.reasoning_share;
  content.tenant = tenants[row.tenant];
  content.failed_in_source = row.failed != 0;
  content.session =
      row.session == 0 || row.copy == 0 ? row.session : derive_seed(row.session, "trace session", row.copy);
  std::int32_t left = content.input_tokens;
  const std::uint64_t salt = derive_seed(static_cast<std::uint64_t>(block_tokens), "trace block", row.copy);
  for (const std::uint64_t hash : hashes_of(i)) {
    if (left == 0) break;
    const std::int32_t tokens = std::min(left, block_tokens);
    content.parts.push_back({derive_seed(salt, "hash", hash), tokens, PromptPart::Role::user});
    left -= tokens;
  }
  if (left > 0) {
    const std::uint64_t number = (std::uint64_t{row.copy} << 32) | row.source;
    content.parts.push_back({derive_seed(seed, "trace prompt", number), left, PromptPart::Role::user});
  }
  return content;
}

TraceBuilder::TraceBuilder(std::string name, TraceFormat format, std::int32_t block_tokens,
                           std::uint64_t seed) {
  trace_.name = std::move(name);
  trace_.format = format;
  trace_.block_tokens = block_tokens;
  trace_.seed = seed;
  trace_.tenants = {""};
}

std::uint32_t TraceBuilder::tenant_of(const std::string& name) {
  if (name == former_tenant_) return former_tenant_index_;
  auto it = std::find(trace_.tenants.begin(), trace_.tenants.end(), name);
  if (it == trace_.tenants.end() && trace_.tenants.size() <= most_tenants) {
    trace_.tenants.push_back(name);
    it = trace_.tenants.end() - 1;
  }
  former_tenant_ = name;
  former_tenant_index_ =
      it == trace_.tenants.end() ? 0 : static_cast<std::uint32_t>(it - trace_.tenants.begin());
  return former_tenant_index_;
}

void TraceBuilder::add(const TraceRequest& request) {
  TraceRow row;
  row.due = request.at;
  row.input_tokens = request.input_tokens;
  row.output_tokens = request.output_tokens;
  if (request.reasoning_share) row.reasoning_share = static_cast<float>(*request.reasoning_share);
  row.tenant = tenant_of(request.tenant) & most_tenants;
  row.failed = request.failed ? 1 : 0;
  row.session = number_of(request.session);
  row.source = static_cast<std::uint32_t>(trace_.rows.size());
  if (!request.prefix_hashes.empty() || !trace_.spans.empty()) {
    trace_.spans.resize(trace_.rows.size());
    trace_.spans.push_back({trace_.hashes.size(), static_cast<std::uint32_t>(request.prefix_hashes.size())});
    trace_.hashes.insert(trace_.hashes.end(), request.prefix_hashes.begin(), request.prefix_hashes.end());
  }
  if (!request.id.empty() || !ids_.empty()) {
    ids_.resize(trace_.rows.size());
    parents_.resize(trace_.rows.size());
    ids_.push_back(number_of(request.id));
    parents_.push_back(number_of(request.parent));
  }
  trace_.rows.push_back(row);
}

Trace TraceBuilder::finish(TraceNotes notes, bool keep_zero, std::optional<Nanos> length) {
  auto& rows = trace_.rows;
  Nanos latest = Nanos::min();
  notes.out_of_order = 0;
  for (const TraceRow& row : rows) {
    if (row.due < latest) ++notes.out_of_order;
    latest = std::max(latest, row.due);
  }
  if (notes.out_of_order > 0) {
    std::vector<std::uint32_t> order(rows.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return rows[a].due < rows[b].due; });
    reorder(rows, order);
    if (!trace_.spans.empty()) reorder(trace_.spans, order);
    if (!ids_.empty()) {
      reorder(ids_, order);
      reorder(parents_, order);
    }
  }
  if (!rows.empty() && !keep_zero) {
    const Nanos zero = rows.front().due;
    for (TraceRow& row : rows) row.due -= zero;
    if (zero > std::chrono::hours{24 * 365 * 20}) notes.origin = zero;  // no run has lasted that long
  }
  notes.at_once = notes.timed && rows.size() > 1 && rows.front().due == rows.back().due;
  if (!ids_.empty()) {
    std::unordered_map<std::uint64_t, std::uint32_t> rows_by_id;
    rows_by_id.reserve(ids_.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto parent = parents_[i] == 0 ? rows_by_id.end() : rows_by_id.find(parents_[i]);
      if (parent != rows_by_id.end()) {
        rows[i].parent = parent->second;
        rows[i].session = rows[parent->second].session;
      } else if (rows[i].session == 0) {
        // The parent may lie before the trace begins: its children are one session all the same.
        rows[i].session = parents_[i] != 0 ? parents_[i] : ids_[i];
      }
      if (ids_[i] != 0) rows_by_id[ids_[i]] = static_cast<std::uint32_t>(i);
    }
  }
  // A failure's answer is unknown, and a replay must ask for something.
  std::vector<std::uint32_t> whole;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].failed == 0) whole.push_back(static_cast<std::uint32_t>(i));
  }
  for (TraceRow& row : rows) {
    if (row.failed == 0) continue;
    ++notes.failed;
    if (row.output_tokens > 0 || whole.empty()) continue;
    Rng draw{trace_.seed, "trace failures", row.source};
    row.output_tokens = rows[whole[draw.below(whole.size())]].output_tokens;
    ++notes.filled;
  }
  if (trace_.block_tokens > 0) {
    for (std::size_t i = 0; i < trace_.spans.size(); ++i) {
      if (trace_.spans[i].count == 0) continue;
      const std::int64_t covered = std::int64_t{trace_.spans[i].count} * trace_.block_tokens;
      if (covered < rows[i].input_tokens - trace_.block_tokens + 1 ||
          covered >= std::int64_t{rows[i].input_tokens} + trace_.block_tokens)
        ++notes.short_hashes;
    }
  }
  trace_.length = length ? *length : rows.empty() ? Nanos{0} : rows.back().due + Nanos{1};
  trace_.notes = std::move(notes);
  return std::move(trace_);
}

}  // namespace dsbench::loadgen
