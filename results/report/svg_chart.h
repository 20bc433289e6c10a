#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "results/report/axis.h"

// A static chart as SVG text, for embedding in the report: readable without JavaScript, printable. Colours
// and fonts come from the page's style sheet by class name ("c-good", "grid", …), so that one picture serves
// light, dark and paper. Goal: a few lines over one pair of axes, told apart by marker and dash as well as by
// colour. Non-goal: a plotting library.
namespace dsbench::results::report {

enum class Dash { solid, dashed, dotted, dash_dot, long_dash };
enum class Marker { none, circle, square, triangle, diamond, cross };

struct ChartPoint {
  double x = 0;
  double y = 0;      // infinity: drawn in a strip above the plot, marked ∞; NaN: a gap
  std::string note;  // shown when the pointer rests on the marker
};

struct ChartLine {
  std::string label;
  std::string tone;  // class c-<tone> gives the colour
  Dash dash = Dash::solid;
  Marker marker = Marker::none;
  bool hollow = false;  // marker
  bool arrows = false;  // the direction of time along the line
  bool thin = false;
  bool in_legend = true;
  bool end_label = false;  // the label again at the right of the last point, where there is room
  std::vector<ChartPoint> points;
  std::vector<ChartPoint> scattered;  // markers go here when not empty, and not on the points of the line
};

// A vertical line with its label above the plot.
struct ChartMark {
  double x = 0;
  std::string label;
  std::string tone;
  Dash dash = Dash::dashed;
};

// A horizontal line with its label at the right of the plot, or inside it where there is no room.
struct ChartLevel {
  double y = 0;
  std::string label;
  std::string tone;
};

// A shaded stretch of x with its label above, where it fits.
struct ChartBand {
  double from = 0, to = 0;
  std::string label;
  std::string tone;  // class b-<tone>
};

struct ChartAxis {
  std::string title;
  Scale scale = Scale::linear;
  AxisUnit unit = AxisUnit::number;
  std::optional<double> lo, hi;  // fixed ends; else from the data
};

struct Chart {
  std::string id;           // unique in the page
  std::string title;        // for screen readers
  std::string description;  // what the picture shows, in a sentence
  ChartAxis x, y;
  std::vector<ChartLine> lines;
  std::vector<ChartMark> marks;
  std::vector<ChartLevel> levels;
  std::vector<ChartBand> bands;
  bool diagonal = false;     // the line y = x
  std::string widest_label;  // of the charts of one stack: all leave room for it at the right, so that their
                             // plots line up
  bool x_labels = true;      // off for the upper ones of a stack that shares its x axis
};

struct ChartSize {
  std::string_view name;  // a suffix for ids and the class of the svg: "wide", "narrow"
  double width = 920;
  double plot_height = 300;
  double font = 13;
  bool end_labels = true;  // room at the right for labels of lines
  bool notes = true;       // markers tell their value to a pointer
};
inline constexpr ChartSize wide_chart{"wide", 920, 300, 13, true, true};
inline constexpr ChartSize narrow_chart{"narrow", 380, 230, 12, false, false};

// An axis whose lo and hi are missing gets the range that all lines, levels and marks need.
[[nodiscard]] std::string render_svg(const Chart& chart, const ChartSize& size);

// The range that `render_svg` would take for the x axis: to give the charts of one stack the same.
[[nodiscard]] AxisRange x_range(const Chart& chart, const ChartSize& size);

// About how wide `text` is in pixels, in the fonts of the page: a little too wide rather than too narrow.
[[nodiscard]] double text_width(std::string_view text, double font);

// Moves labels of this height apart, no more than needed, within [lo, hi]; keeps their order. Returns the new
// centres.
[[nodiscard]] std::vector<double> spread_labels(std::vector<double> centres, double height, double lo,
                                                double hi);

}  // namespace dsbench::results::report
