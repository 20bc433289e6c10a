#include "cli/traffic_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "core/text.h"

namespace dsbench::cli {
namespace {

constexpr std::size_t rows = 10;
constexpr std::size_t label_width = 11;  // before the chart
constexpr std::array<std::string_view, 9> eighths{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

// Of the chart: room is left beside it for what events are.
std::size_t columns_of(std::size_t width) {
  return std::max(width - 28, width * 72 / 100);
}

// As a terminal counts them: bytes of a character after its first are none.
std::size_t columns_in(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

// Where a column of the chart begins; column `columns` is the end.
Nanos column_start(Nanos length, std::size_t columns, std::size_t column) {
  return length * static_cast<std::int64_t>(column) / static_cast<std::int64_t>(columns);
}

std::vector<double> rate_by_column(const profiles::TrafficPlan& plan, std::size_t columns) {
  std::vector<double> mean;
  for (std::size_t c = 0; c < columns; ++c) {
    const Nanos from = column_start(plan.length, columns, c);
    const Nanos to = std::max(column_start(plan.length, columns, c + 1), from + Nanos{1});
    mean.push_back(profiles::mean_rate(plan, from, to).per_second());
  }
  return mean;
}

std::vector<double> step_by_column(const std::vector<std::pair<Nanos, double>>& points, Nanos length,
                                   std::size_t columns) {
  std::vector<double> values(columns, 0);
  for (std::size_t c = 0; c < columns; ++c) {
    const Nanos middle{static_cast<std::int64_t>(
        (static_cast<double>(c) + 0.5) / static_cast<double>(columns) * static_cast<double>(length.count()))};
    for (const auto& [at, value] : points) {
      if (at <= middle) values[c] = value;
    }
  }
  return values;
}

// Lines of words, each after so many blanks.
std::string wrap(std::string_view text, std::size_t width, std::size_t indent = 0) {
  std::string out;
  std::size_t used = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t space = std::min(text.find(' ', at), text.size());
    const std::string_view word = text.substr(at, space - at);
    const std::size_t length = columns_in(word);
    if (used > 0 && indent + used + 1 + length > width) {
      out += '\n';
      used = 0;
    }
    out += used > 0 ? " " : std::string(indent, ' ');
    out += word;
    used += length + (used > 0 ? 1 : 0);
    at = space + 1;
  }
  return out + "\n";
}

// Bars of `height` rows, the top one first, each after its label.
std::string bars(const std::vector<double>& values, std::size_t height, const std::string& top,
                 const std::string& bottom) {
  const double most = std::max(*std::max_element(values.begin(), values.end()), 1e-300);
  std::string out;
  for (std::size_t row = height; row-- > 0;) {
    out += fmt::format("{:>10} ", row + 1 == height ? top : row == 0 ? bottom : "");
    for (const double v : values) {
      const double filled = v / most * static_cast<double>(height) - static_cast<double>(row);
      auto level = static_cast<std::size_t>(std::clamp(std::lround(filled * 8), 0L, 8L));
      if (row == 0 && v > 0) level = std::max<std::size_t>(level, 1);  // little is not nothing
      out += eighths[level];
    }
    out += '\n';
  }
  return out;
}

// Below the chart: a bar for as long as it lasts, and what it is: beside it where there is room.
std::string event_line(const profiles::TrafficEvent& event, const profiles::TrafficPlan& plan,
                       std::size_t columns, std::size_t width) {
  const auto placed = profiles::place_event(event, plan);
  std::string bar;
  std::size_t end = 0;
  for (std::size_t c = 0; placed && c < columns; ++c) {
    const Nanos from = column_start(plan.length, columns, c), to = column_start(plan.length, columns, c + 1);
    if (!(placed->start < to && placed->end > from)) continue;
    bar.append(c - end, ' ');
    bar += "━";
    end = c + 1;
  }
  const std::string what = profiles::print_event(event);
  if (label_width + end + 2 + columns_in(what) <= width)
    return fmt::format("{:>10} {}  {}\n", "fault", bar, what);
  return fmt::format("{:>10} {}\n{}", "fault", bar, wrap(what, width, label_width));
}

// What a stage's arrivals are, after its row, or below it where there is no room.
std::string stage_row(const std::string& row, const std::string& mix, std::size_t width) {
  if (mix.empty()) return row + "\n";
  if (columns_in(row) + 2 + columns_in(mix) <= width) return fmt::format("{}  {}\n", row, mix);
  return row + "\n" + wrap(mix, width, 4);
}

}  // namespace

std::string draw_traffic(const profiles::TrafficProfile& profile, std::size_t width) {
  const std::size_t columns = columns_of(width);
  const profiles::TrafficPlan plan = profiles::plan_of(profile);
  const std::vector<double> rates = rate_by_column(plan, columns);
  double peak = 0;
  for (const auto& s : plan.segments) peak = std::max({peak, s.from.per_second(), s.to.per_second()});
  std::string out;
  if (!profile.description.empty()) out += wrap(profile.description, width) + "\n";
  const double mean = plan.requests / to_seconds(plan.length);
  out += wrap(fmt::format(
                  "{}: about {:.0f} requests in {}, {} arrivals; mean {}, peak {} ({:.1f} times the mean){}",
                  profile.name, plan.requests, format_duration(plan.length),
                  profile.arrivals.kind == profiles::ArrivalProcess::Kind::constant  ? "evenly spaced"
                  : profile.arrivals.kind == profiles::ArrivalProcess::Kind::poisson ? "Poisson"
                                                                                     : "Gamma",
                  format_rate(Rate::per_second(mean)), format_rate(Rate::per_second(peak)), peak / mean,
                  profile.base_rate ? fmt::format("; base rate {}", format_rate(*profile.base_rate)) : ""),
              width) +
         "\n";
  const double drawn = *std::max_element(rates.begin(), rates.end());
  out += bars(rates, rows, format_rate(Rate::per_second(drawn)), "0/s");
  const std::string end = format_duration(plan.length);
  out += fmt::format("{:>10} 0{:>{}}\n", "", end, columns - 1);
  for (const profiles::TrafficEvent& event : profile.events) out += event_line(event, plan, columns, width);
  for (const auto& curve : profile.beside) {
    const auto values = step_by_column(curve.points, plan.length, columns);
    const double most = *std::max_element(values.begin(), values.end());
    out += fmt::format("\n{} ({:g} to {:g} {})\n", curve.name,
                       *std::min_element(values.begin(), values.end()), most, curve.unit);
    out += bars(values, 3, fmt::format("{:g}", most), "0");
  }
  std::size_t widest = 5;
  for (const auto& s : plan.stages) widest = std::max(widest, s.name.size());
  // Narrower where a long name leaves no room.
  const bool narrow = widest + 2 + 12 + 2 + 12 + 2 + 10 > width;
  const auto row = [&](std::string_view name, const std::string& from, const std::string& length,
                       const std::string& rate) {
    return narrow ? fmt::format("{:<{}} {:>11} {:>11} {:>9}", name, widest, from, length, rate)
                  : fmt::format("{:<{}}  {:>12}  {:>12}  {:>10}", name, widest, from, length, rate);
  };
  out += "\n" + row("stage", "from", "length", "rate") + "\n";
  for (const auto& s : plan.stages) {
    std::string mix;
    for (const auto& share : plan.mixes[s.mix])
      mix += fmt::format("{}{} {:g}", mix.empty() ? "" : ", ", share.name, share.share);
    out += stage_row(
        row(s.name, format_duration(s.start), format_duration(s.end - s.start), format_rate(s.planned)), mix,
        width);
  }
  return out;
}

}  // namespace dsbench::cli
