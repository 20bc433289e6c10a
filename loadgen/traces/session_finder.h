#pragma once

#include <cstdint>
#include <vector>

#include "loadgen/traces/prompt_index.h"
#include "loadgen/traces/trace.h"

namespace dsbench::loadgen {

// Which requests of a trace go on from which: conversations, found by their prefix hashes (and by the
// source's own words about them, where it has some).
//
// A request goes on from an earlier one when it re-sends all whole blocks of it and is longer; by the answer
// too, in traces whose requests re-send answers. It is a fork when that one has a successor already. What
// many requests begin with (a system prompt, a document that others ask about) makes no conversation.
struct SessionForest {
  std::vector<std::uint32_t> parent;  // of each row; no_parent: the first of a session, maybe its only one
  std::vector<std::uint32_t> next;    // of each row: the one of its children that the conversation goes on
                                      // with, the others are forks; no_parent: none
  std::vector<std::uint32_t> first;   // of each row: the first of its session
  std::vector<std::uint32_t> place;   // of each row: turns before it since the session, or its fork, began
  bool keeps_answers = true;          // a turn re-sends the answers before it
  std::size_t follow_ups = 0;         // rows that have a parent

  [[nodiscard]] bool is_fork(std::size_t row) const {
    return parent[row] != no_parent && next[parent[row]] != row;
  }
};

// `system_tokens`: what (nearly) all requests begin with; sharing no more than that says nothing.
[[nodiscard]] SessionForest find_sessions(const Trace& trace, const PromptIndex& index,
                                          std::int32_t system_tokens);

}  // namespace dsbench::loadgen
