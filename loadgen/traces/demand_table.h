#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "loadgen/traces/trace_fit.h"

namespace dsbench::loadgen {

// What is known of a day when no single request is: how much was wanted (or how much stood ready) in each of
// its intervals. CSV with a header: either the first column is the hour of the day ("hour…": 24 rows, one
// after the other round the clock), or the first two are clock times ("from…", "to…": 12:00,24:00). The
// figure is the last column, or the one that is named.
struct DemandTable {
  struct Interval {
    Nanos from{0}, to{0};  // since the first row's beginning
    double value = 0;
  };
  std::string column;
  std::int32_t first_minute = 0;  // of the day, at which the first row begins
  std::vector<Interval> intervals;
  double mean = 0;  // over time

  [[nodiscard]] Nanos length() const { return intervals.back().to; }
};

// Nothing when the text does not begin as such a table. Errors: usage, with the line that is wrong.
[[nodiscard]] Result<std::optional<DemandTable>> parse_demand_table(std::string_view text,
                                                                    std::string_view column = {});

// A traffic profile of the same shape, in multiples of a base rate that stands for the mean: straight lines
// through the middles of equal intervals, steps where they are unequal. The day begins at midnight, whatever
// row comes first. The lines say how far the curve's means lie from the table's.
struct DemandFit {
  std::string traffic_json;
  std::vector<FitLine> lines;
};
[[nodiscard]] Result<DemandFit> fit_demand(const DemandTable& table, std::string_view source);

}  // namespace dsbench::loadgen
