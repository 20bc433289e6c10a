#include "loadgen/traces/session_finder.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace dsbench::loadgen {
namespace {

// A turn's growth may fall short of the answer before it by what a template or a trimmed answer takes.
constexpr std::int32_t slack_tokens = 16;
// The share of turns whose growth holds the answer from which on all must.
constexpr double answers_are_kept = 0.8;
// A beginning that so many requests share, and no more of it, is no conversation's, unless they grow from one
// to the next (short turns within one block).
constexpr std::uint32_t many = 6;
constexpr double growing = 0.9;
// Of the requests that end at one block, or are of one session that the source tells, the last few may be
// gone on from.
constexpr std::size_t most_ends = 8;

struct Block {                           // with all before it
  std::uint32_t introducer = no_parent;  // the first row that has it
  std::uint32_t sharers = 0;             // rows that share so much with earlier ones, and no more
  std::uint32_t grown = 0;               // of these, longer than the one before
  std::int32_t last_input = 0;           // of these, or of the introducer
  [[nodiscard]] bool common() const { return sharers >= many && grown < growing * sharers; }
};

// The last rows of each key, the latest first, chained from row to row.
class LatestRows {
 public:
  LatestRows(std::size_t keys, std::size_t rows) : latest_(keys, no_parent), before_(rows, no_parent) {}
  void add(std::size_t key, std::uint32_t row) { before_[row] = std::exchange(latest_[key], row); }
  [[nodiscard]] std::uint32_t latest(std::size_t key) const { return latest_[key]; }
  [[nodiscard]] std::uint32_t before(std::uint32_t row) const { return before_[row]; }

 private:
  std::vector<std::uint32_t> latest_, before_;
};

class Finder {
 public:
  Finder(const Trace& trace, const PromptIndex& index, std::int32_t system_tokens)
      : trace_{trace}, index_{index} {
    system_blocks_ = trace.block_tokens > 0 ? system_tokens / trace.block_tokens : 0;
    number_sessions();
    share_blocks();
  }

  // Parents of all rows, where a turn grows by at least its answer, or by anything at all.
  [[nodiscard]] std::vector<std::uint32_t> parents(bool keeps_answers) {
    keeps_answers_ = keeps_answers;
    parent_.assign(trace_.size(), no_parent);
    children_.assign(trace_.size(), 0);
    // Rows by their session, if the source tells it, else by the block that they end at.
    LatestRows rows{sessions_told_ ? sessions_ : index_.numbers(), trace_.size()};
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      if (const std::uint32_t from = parent_of(i, rows); from != no_parent) {
        parent_[i] = from;
        ++children_[from];
      }
      if (const std::uint32_t key = sessions_told_ ? session_[i] : end_[i]; key != 0) rows.add(key, i);
    }
    return std::move(parent_);
  }

 private:
  // What the source tells of sessions, numbered; 0 for none.
  void number_sessions() {
    sessions_told_ = std::any_of(trace_.rows.begin(), trace_.rows.end(),
                                 [](const TraceRow& row) { return row.parent != no_parent; });
    session_.assign(trace_.size(), 0);
    std::unordered_map<std::uint64_t, std::uint32_t> numbers;
    for (std::size_t i = 0; i < trace_.size(); ++i) {
      const TraceRow& row = trace_.rows[i];
      if (row.session == 0) continue;
      const auto [at, is_new] =
          numbers.try_emplace(row.session * 2048 + row.copy, static_cast<std::uint32_t>(numbers.size() + 1));
      session_[i] = at->second;
      if (!is_new) sessions_told_ = true;
    }
    sessions_ = numbers.size() + 1;
  }

  void share_blocks() {
    shared_.assign(trace_.size(), 0);
    end_.assign(trace_.size(), 0);
    blocks_.assign(index_.numbers(), {});
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      const auto numbers = index_.whole_blocks(i);
      if (!numbers.empty()) end_[i] = numbers.back();
      const std::int32_t input = trace_.rows[i].input_tokens;
      std::uint32_t shared = 0;
      bool leading = true;
      Block* deepest = nullptr;
      for (const std::uint32_t number : numbers) {
        Block& block = blocks_[number];
        if (block.introducer == no_parent) {
          leading = false;
          block.introducer = i;
          block.last_input = input;
        }
        if (!leading) continue;
        ++shared;
        deepest = &block;
      }
      shared_[i] = shared;
      if (deepest == nullptr) continue;
      ++deepest->sharers;
      if (input > deepest->last_input) ++deepest->grown;
      deepest->last_input = input;
    }
  }

  // Does row i re-send all whole blocks of row j, and is it longer by as much as it must be?
  [[nodiscard]] bool goes_on(std::uint32_t i, std::uint32_t j) const {
    const TraceRow &row = trace_.rows[i], &before = trace_.rows[j];
    const std::int32_t least = keeps_answers_ ? std::max(1, before.output_tokens - slack_tokens) : 1;
    if (row.input_tokens - before.input_tokens < least) return false;
    const auto mine = index_.whole_blocks(i);
    const std::size_t whole = index_.whole_blocks(j).size();
    return whole <= mine.size() && (whole == 0 || mine[whole - 1] == end_[j]);
  }

  [[nodiscard]] std::uint32_t parent_of(std::uint32_t i, const LatestRows& rows) const {
    const TraceRow& row = trace_.rows[i];
    if (sessions_told_) {
      if (row.parent != no_parent && goes_on(i, row.parent)) return row.parent;
      return session_[i] == 0 ? no_parent : best(i, rows, session_[i]);
    }
    if (shared_[i] <= system_blocks_) return no_parent;
    const std::uint32_t deepest = index_.of(i)[shared_[i] - 1];
    const Block& block = blocks_[deepest];
    if (block.common()) return no_parent;
    if (const std::uint32_t j = best(i, rows, deepest); j != no_parent) return j;
    // What it shares ends within a request: it is a fork of a turn before that one.
    for (std::uint32_t j = parent_[block.introducer]; j != no_parent; j = parent_[j]) {
      if (index_.whole_blocks(j).size() > system_blocks_ && goes_on(i, j)) return j;
    }
    return no_parent;
  }

  // Of the last rows with this key, the latest that has no successor yet, else the latest that has.
  [[nodiscard]] std::uint32_t best(std::uint32_t i, const LatestRows& rows, std::size_t key) const {
    std::uint32_t with_others = no_parent;
    std::uint32_t j = rows.latest(key);
    for (std::size_t k = 0; k < most_ends && j != no_parent; ++k, j = rows.before(j)) {
      if (!goes_on(i, j)) continue;
      if (children_[j] == 0) return j;
      if (with_others == no_parent) with_others = j;
    }
    return with_others;
  }

  const Trace& trace_;
  const PromptIndex& index_;
  std::uint32_t system_blocks_ = 0;
  bool sessions_told_ = false;  // the source says what belongs together
  bool keeps_answers_ = false;
  std::vector<Block> blocks_;                 // by number
  std::vector<std::uint32_t> shared_;         // leading whole blocks that earlier rows have
  std::vector<std::uint32_t> end_, session_;  // the last whole block; the told session; 0 for none
  std::size_t sessions_ = 0;                  // one more than the greatest number of a told one
  std::vector<std::uint32_t> parent_, children_;
};

}  // namespace

SessionForest find_sessions(const Trace& trace, const PromptIndex& index, std::int32_t system_tokens) {
  SessionForest forest;
  Finder finder{trace, index, system_tokens};
  forest.parent = finder.parents(false);
  std::size_t turns = 0, with_answer = 0;
  const auto n = static_cast<std::uint32_t>(trace.size());
  for (std::uint32_t i = 0; i < n; ++i) {
    if (forest.parent[i] == no_parent) continue;
    const TraceRow& before = trace.rows[forest.parent[i]];
    ++turns;
    if (trace.rows[i].input_tokens - before.input_tokens >= before.output_tokens - slack_tokens)
      ++with_answer;
  }
  forest.keeps_answers = static_cast<double>(with_answer) >= answers_are_kept * static_cast<double>(turns);
  if (forest.keeps_answers && with_answer < turns) forest.parent = finder.parents(true);
  // A conversation goes on with the child from which most follows.
  std::vector<std::uint32_t> size(n, 1);
  forest.next.assign(n, no_parent);
  for (std::uint32_t i = n; i-- > 0;) {
    const std::uint32_t from = forest.parent[i];
    if (from == no_parent) continue;
    ++forest.follow_ups;
    size[from] += size[i];
    std::uint32_t& next = forest.next[from];
    if (next == no_parent || size[i] >= size[next]) next = i;  // of equals the first
  }
  forest.first.resize(n);
  forest.place.assign(n, 0);
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint32_t from = forest.parent[i];
    forest.first[i] = from == no_parent ? i : forest.first[from];
    if (from != no_parent && forest.next[from] == i) forest.place[i] = forest.place[from] + 1;
  }
  return forest;
}

}  // namespace dsbench::loadgen
