#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loadgen/traces/prompt_index.h"
#include "loadgen/traces/trace.h"

// What prompts have in common, in the form that a workload profile can say: a text that all begin with, and
// classes of requests that draw a prefix from a pool.
namespace dsbench::loadgen {

// The count and the exponent of a pool from which `draws` requests draw `distinct` prefixes, `pairs` ordered
// pairs of them alike: what an endless cache finds is draws − distinct.
struct PoolFit {
  std::int64_t count = 1;
  double zipf = 0;
};
[[nodiscard]] PoolFit fit_pool(double draws, double distinct, double pairs);
// The mean number of distinct prefixes in so many draws.
[[nodiscard]] double expected_distinct(double draws, std::int64_t count, double zipf);

// The beginning that at least nine requests of ten share, in tokens: whole blocks.
[[nodiscard]] std::int32_t common_beginning(const Trace& trace, std::span<const std::uint32_t> rows);

struct PrefixFit {
  std::int32_t system_tokens = 0;  // that at least nine requests of ten begin with
  struct Class {
    std::vector<std::uint32_t> rows;
    // Of the pool; no pool (nothing beyond the system prompt is found again) when `count` is 0.
    std::int64_t count = 0;
    double zipf = 0;
    std::vector<double> token_quantiles;  // of a drawn prefix
  };
  std::vector<Class> classes;  // the first is the one without a pool, if any request is of it
  // Of each row of the trace: of its group; 0 in the class without, and of rows that were not asked about.
  std::vector<std::int32_t> prefix_tokens;
};

// Of these rows, which are in order. They are grouped: each request joins the one that last began with the
// longest beginning it was found with. A group's prefix is as long as what an endless cache would find of its
// members beyond the system prompt, on average; classes are ranges of that length with about equal found
// tokens. Before them come groups with at least `own_class_share` of the requests, each a class of its own,
// as long as a class is left for the others.
[[nodiscard]] PrefixFit fit_prefixes(const Trace& trace, const PromptIndex& index,
                                     std::span<const std::uint32_t> rows, std::size_t most_classes,
                                     double own_class_share = 2);

}  // namespace dsbench::loadgen
