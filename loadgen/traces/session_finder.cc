#include "loadgen/traces/session_finder.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "loadgen/traces/trace_statistics.h"

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

struct Block {                  // with all before it
  std::uint32_t introducer;     // the first row that has it
  std::uint32_t sharers = 0;    // rows that share so much with earlier ones, and no more
  std::uint32_t grown = 0;      // of these, longer than the one before
  std::int32_t last_input = 0;  // of these, or of the introducer
  [[nodiscard]] bool common() const { return sharers >= many && grown < growing * sharers; }
};

class Finder {
 public:
  Finder(const Trace& trace, std::int32_t system_tokens) : trace_{trace} {
    system_blocks_ = trace.block_tokens > 0 ? system_tokens / trace.block_tokens : 0;
    std::unordered_set<std::uint64_t> seen;
    for (const TraceRow& row : trace.rows) {
      if (row.session == 0 || row.parent != no_parent) continue;
      if (!seen.insert(session_of(row)).second) sessions_told_ = true;
    }
    if (std::any_of(trace.rows.begin(), trace.rows.end(),
                    [](const TraceRow& row) { return row.parent != no_parent; }))
      sessions_told_ = true;
    share_blocks();
  }

  // Parents of all rows, where a turn grows by at least its answer, or by anything at all.
  [[nodiscard]] std::vector<std::uint32_t> parents(bool keeps_answers) {
    keeps_answers_ = keeps_answers;
    parent_.assign(trace_.size(), no_parent);
    children_.assign(trace_.size(), 0);
    ends_.clear();
    turns_.clear();
    std::vector<std::uint64_t> chains;
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      whole_blocks(i, chains);
      if (const std::uint32_t from = parent_of(i, chains); from != no_parent) {
        parent_[i] = from;
        ++children_[from];
      }
      if (sessions_told_ && trace_.rows[i].session != 0) remember(turns_[session_of(trace_.rows[i])], i);
      if (!sessions_told_ && !chains.empty()) remember(ends_[chains.back()], i);
    }
    return std::move(parent_);
  }

 private:
  static std::uint64_t session_of(const TraceRow& row) { return row.session * 2048 + row.copy; }

  static void remember(std::vector<std::uint32_t>& rows, std::uint32_t row) {
    if (rows.size() == most_ends) rows.erase(rows.begin());
    rows.push_back(row);
  }

  void whole_blocks(std::uint32_t row, std::vector<std::uint64_t>& chains) {
    prompt_pieces(trace_, row, pieces_);
    chains.clear();
    const std::size_t hashed = std::min<std::size_t>(pieces_.size(), trace_.hashes_of(row).size());
    for (std::size_t k = 0; k < hashed && pieces_[k].tokens == trace_.block_tokens; ++k)
      chains.push_back(pieces_[k].chain);
  }

  void share_blocks() {
    shared_.assign(trace_.size(), 0);
    whole_.assign(trace_.size(), 0);
    end_.assign(trace_.size(), 0);
    std::vector<std::uint64_t> chains;
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      whole_blocks(i, chains);
      whole_[i] = static_cast<std::uint32_t>(chains.size());
      if (!chains.empty()) end_[i] = chains.back();
      const std::int32_t input = trace_.rows[i].input_tokens;
      std::uint32_t shared = 0;
      bool leading = true;
      Block* deepest = nullptr;
      for (const std::uint64_t chain : chains) {
        const auto [at, is_new] = blocks_.try_emplace(chain, Block{i, 0, 0, input});
        leading = leading && !is_new;
        if (!leading) continue;
        ++shared;
        deepest = &at->second;
      }
      shared_[i] = shared;
      if (deepest == nullptr) continue;
      ++deepest->sharers;
      if (input > deepest->last_input) ++deepest->grown;
      deepest->last_input = input;
    }
  }

  // Does row i re-send all whole blocks of row j, and is it longer by as much as it must be?
  [[nodiscard]] bool goes_on(std::uint32_t i, std::uint32_t j,
                             const std::vector<std::uint64_t>& chains) const {
    const TraceRow &row = trace_.rows[i], &before = trace_.rows[j];
    const std::int32_t least = keeps_answers_ ? std::max(1, before.output_tokens - slack_tokens) : 1;
    return row.input_tokens - before.input_tokens >= least && whole_[j] <= chains.size() &&
           (whole_[j] == 0 || chains[whole_[j] - 1] == end_[j]);
  }

  [[nodiscard]] std::uint32_t parent_of(std::uint32_t i, const std::vector<std::uint64_t>& chains) const {
    const TraceRow& row = trace_.rows[i];
    if (sessions_told_) {
      if (row.parent != no_parent && goes_on(i, row.parent, chains)) return row.parent;
      const auto turns = turns_.find(session_of(row));
      return row.session == 0 || turns == turns_.end() ? no_parent : best(i, turns->second, chains);
    }
    if (shared_[i] <= system_blocks_) return no_parent;
    const std::uint64_t deepest = chains[shared_[i] - 1];
    const Block& block = blocks_.at(deepest);
    if (block.common()) return no_parent;
    if (const auto ends = ends_.find(deepest); ends != ends_.end()) {
      if (const std::uint32_t j = best(i, ends->second, chains); j != no_parent) return j;
    }
    // What it shares ends within a request: it is a fork of a turn before that one.
    for (std::uint32_t j = parent_[block.introducer]; j != no_parent; j = parent_[j]) {
      if (whole_[j] > system_blocks_ && goes_on(i, j, chains)) return j;
    }
    return no_parent;
  }

  // The last of these that has no successor yet, else the last that has.
  [[nodiscard]] std::uint32_t best(std::uint32_t i, const std::vector<std::uint32_t>& rows,
                                   const std::vector<std::uint64_t>& chains) const {
    std::uint32_t with_others = no_parent;
    for (auto j = rows.rbegin(); j != rows.rend(); ++j) {
      if (!goes_on(i, *j, chains)) continue;
      if (children_[*j] == 0) return *j;
      if (with_others == no_parent) with_others = *j;
    }
    return with_others;
  }

  const Trace& trace_;
  std::uint32_t system_blocks_ = 0;
  bool sessions_told_ = false;  // the source says what belongs together
  bool keeps_answers_ = false;
  std::unordered_map<std::uint64_t, Block> blocks_;
  std::vector<std::uint32_t> shared_, whole_;  // leading blocks that earlier rows have; whole blocks
  std::vector<std::uint64_t> end_;             // the last whole block
  std::vector<std::uint32_t> parent_, children_;
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> ends_;   // the last rows that end at a block
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> turns_;  // the last rows of a told session
  std::vector<PromptPiece> pieces_;
};

}  // namespace

SessionForest find_sessions(const Trace& trace, std::int32_t system_tokens) {
  SessionForest forest;
  Finder finder{trace, system_tokens};
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
