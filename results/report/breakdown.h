#pragma once

#include <string>
#include <vector>

#include "results/report/html_parts.h"
#include "results/run_summary.h"

// Who asked, and how much work it made: the same tables on the terminal, in Markdown and on the page.
namespace dsbench::results::report {

struct PlainTable {
  std::string title;
  std::vector<std::vector<std::string>> rows;  // the first is the head
};
// Tenants, turns and the chain from users to compute; only those that the run has and that say more than its
// stages do.
[[nodiscard]] std::vector<PlainTable> breakdown_tables(const RunSummary& run);
// "fairness over tenants (Jain's index of good shares): 0.93 …"; empty when there is none.
[[nodiscard]] std::string fairness_sentence(const RunSummary& run);

void put_breakdown(Html& html, const RunSummary& run);
[[nodiscard]] std::string markdown_breakdown(const RunSummary& run);

}  // namespace dsbench::results::report
