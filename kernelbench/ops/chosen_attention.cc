#include "kernelbench/ops/chosen_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "kernelbench/ops/ops.h"

namespace dsbench::kernelbench {

CheckResult check_chosen(const ChosenAttention& a, const Problem& p, const HostTensor& q,
                         std::span<const HostTensor> out, double budget_flops) {
  CheckResult result = no_complaint();
  if (std::string bad = find_not_finite(out[0]); !bad.empty()) complain(result, bad);
  if (std::string bad = find_not_finite(out[1], 0, out[1].elements(), true); !bad.empty())
    complain(result, bad);
  const std::int64_t rows = a.batch * a.heads;
  std::vector<std::int64_t> boundaries;
  for (std::int64_t b = 0; b < a.batch; ++b) {
    boundaries.push_back(b * a.heads);
    boundaries.push_back(b * a.heads + a.heads - 1);
  }
  const double row_flops = 2.0 * static_cast<double>(a.most * (a.width + a.v_width));
  const std::vector<std::int64_t> chosen =
      rows_to_check(rows, affordable_rows(rows, row_flops, budget_flops), boundaries, p.seed);
  std::vector<std::int64_t> requests(static_cast<std::size_t>(a.batch));
  std::iota(requests.begin(), requests.end(), 0);
  Comparison totals[] = {Comparison("o", attention_gates(out[0].type(), a.most, a.width)),
                         Comparison("lse", lse_gates(out[0].type()))};
  compare_rows_of(requests, totals, [&](std::int64_t b, std::span<Comparison> mine) {
    const std::vector<std::int64_t> entries = a.entries(b);
    const auto first = std::ranges::lower_bound(chosen, b * a.heads);
    const auto last = std::ranges::lower_bound(chosen, (b + 1) * a.heads);
    std::vector<AttentionRow> wanted;
    for (auto row = first; row != last; ++row) {
      AttentionRow& one = wanted.emplace_back(AttentionRow{.visible = std::ssize(entries)});
      one.q.resize(static_cast<std::size_t>(a.width));
      decode_range(q, *row * a.width, a.width, one.q.data());
    }
    const auto keys = [&](std::int64_t begin, std::int64_t end, double* to) {
      for (std::int64_t t = begin; t < end; ++t, to += a.width)
        a.decode(entries[static_cast<std::size_t>(t)], to);
    };
    attend({.width = a.width, .v_width = a.v_width, .scale = a.scale, .keys = keys}, wanted);
    std::vector<double> got(static_cast<std::size_t>(a.v_width));
    for (std::size_t r = 0; r < wanted.size(); ++r) {
      const std::int64_t row = first[static_cast<std::ptrdiff_t>(r)];
      const std::int64_t head = row % a.heads;
      const auto name = [b, head] { return fmt::format("request {} head {}", b, head); };
      if (a.finish) a.finish(b, head, wanted[r]);
      decode_range(out[0], row * a.v_width, a.v_width, got.data());
      mine[0].row(wanted[r].o, got, name);
      const double lse = out[1].get(row);
      mine[1].row(std::span(&wanted[r].lse, 1), std::span(&lse, 1), name);
    }
  });
  result.rows = rows;
  result.rows_checked = std::ssize(chosen);
  for (const Comparison& total : totals) total.conclude(result);
  return result;
}

}  // namespace dsbench::kernelbench
