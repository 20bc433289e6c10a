#include "results/report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "results/report/chart_scale.h"
#include "results/report/escape.h"

namespace dsbench::results::report {
namespace {

// One decimal is finer than a pixel; "-0" and ".0" would only make files longer.
std::string px(double v) {
  std::string s = fmt::format("{:.1f}", v);
  if (s.ends_with(".0")) s.resize(s.size() - 2);
  return s == "-0" ? "0" : s;
}

std::string_view dash_class(Dash dash) {
  switch (dash) {
    case Dash::solid:
      break;
    case Dash::dashed:
      return " d1";
    case Dash::dotted:
      return " d2";
    case Dash::dash_dot:
      return " d3";
    case Dash::long_dash:
      return " d4";
  }
  return "";
}

struct Box {
  double left = 0, right = 0, top = 0, bottom = 0;
  [[nodiscard]] double width() const { return right - left; }
  [[nodiscard]] double height() const { return bottom - top; }
};

// Path data of a marker centred at (x, y).
std::string marker_path(Marker marker, double x, double y) {
  switch (marker) {
    case Marker::none:
      break;
    case Marker::circle:
      return fmt::format("M{} {}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", px(x - 4), px(y));
    case Marker::square:
      return fmt::format("M{} {}h7v7h-7z", px(x - 3.5), px(y - 3.5));
    case Marker::triangle:
      return fmt::format("M{} {}l4.5 8h-9z", px(x), px(y - 4.8));
    case Marker::diamond:
      return fmt::format("M{} {}l5 5l-5 5l-5-5z", px(x), px(y - 5));
    case Marker::cross:
      return fmt::format("M{} {}l7 7m0-7l-7 7", px(x - 3.5), px(y - 3.5));
  }
  return "";
}

struct LegendItem {
  const ChartLine* line = nullptr;
  double x = 0, width = 0;
  int row = 0;
};

class Renderer {
 public:
  Renderer(const Chart& chart, const ChartSize& size) : chart_{chart}, size_{size} {}

  std::string render() {
    x_range_ = x_range(chart_, size_);
    y_range_ = y_range(chart_, size_);
    x_ticks_ = ticks_of(chart_.x, x_range_, x_tick_count(size_));
    y_ticks_ = ticks_of(chart_.y, y_range_, y_tick_count(size_) + (chart_.y.scale == Scale::log10 ? 2 : 0));
    lay_out();
    open();
    bands();
    axes();
    diagonal();
    levels();
    marks();
    for (const ChartLine& line : chart_.lines) draw(line);
    end_labels();
    legend();
    out_ += "</svg>";
    return std::move(out_);
  }

 private:
  // From the top: legend, labels of marks, title of the y axis, strip for infinite values, plot, x labels, x
  // title.
  void lay_out() {
    const double f = size_.font;
    lay_out_legend();
    plot_.left = 8;
    for (const double t : y_ticks_) {
      plot_.left = std::max(plot_.left, 14 + text_width(tick_label(t, chart_.y.unit, step_of(y_ticks_)), f));
    }
    // Charts of one stack begin at the same x, whatever their labels.
    plot_.left = std::max(plot_.left, f * 4.6);
    double labels = 0;
    if (size_.end_labels) {
      for (const ChartLine& line : chart_.lines) {
        if (line.end_label) labels = std::max(labels, text_width(line.label, f) + 30);
      }
      for (const ChartLevel& level : chart_.levels)
        labels = std::max(labels, text_width(level.label, f) + 30);
      if (!chart_.widest_label.empty()) labels = std::max(labels, text_width(chart_.widest_label, f) + 30);
    }
    plot_.right = size_.width - std::max(labels, f * 1.6);
    lay_out_marks();
    double y = legend_rows_ * f * 1.7 + (legend_rows_ > 0 ? f * 0.5 : 0);
    title_y_ = y + f;
    y += f * 1.7;
    marks_y_ = y;
    y += mark_rows_ * f * 1.5 + (mark_rows_ > 0 ? f * 0.3 : 0);
    each_point(chart_, [&](const ChartPoint& p) { infinite_ = infinite_ || (std::isinf(p.y) && p.y > 0); });
    strip_y_ = y + f * 0.8;
    if (infinite_) y += f * 1.9;
    const bool named_bands = std::any_of(chart_.bands.begin(), chart_.bands.end(),
                                         [](const ChartBand& b) { return !b.label.empty(); });
    if (named_bands) y += f * 1.3;
    y += f * 0.5;  // half a label of the uppermost tick
    plot_.top = y;
    plot_.bottom = y + size_.plot_height;
    height_ = plot_.bottom + (chart_.x_labels ? f * 3.4 : f * 1.7);
    map_x_.emplace(chart_.x.scale, x_range_, plot_.left, plot_.right);
    map_y_.emplace(chart_.y.scale, y_range_, plot_.bottom, plot_.top);
  }

  void lay_out_legend() {
    double x = 0;
    int row = 0;
    for (const ChartLine& line : chart_.lines) {
      if (!line.in_legend) continue;
      const double width = 38 + text_width(line.label, size_.font) + 16;
      if (x > 0 && x + width > size_.width) {
        x = 0;
        ++row;
      }
      legend_.push_back({&line, x, width, row});
      x += width;
    }
    legend_rows_ = legend_.empty() ? 0 : row + 1;
  }

  // Labels of marks go to the first row where they touch no other.
  void lay_out_marks() {
    const Mapping map(chart_.x.scale, x_range_, plot_.left, plot_.right);
    std::vector<std::vector<std::pair<double, double>>> rows;
    for (const ChartMark& mark : chart_.marks) {
      if (mark.label.empty()) {
        mark_at_.emplace_back(0, 0);
        continue;
      }
      const double width = text_width(mark.label, size_.font);
      const double centre = std::clamp(map(mark.x), plot_.left + width / 2,
                                       std::max(plot_.left + width / 2, size_.width - width / 2 - 2));
      std::size_t row = 0;
      const auto free = [&](const std::vector<std::pair<double, double>>& taken) {
        return std::none_of(taken.begin(), taken.end(), [&](const auto& t) {
          return centre - width / 2 < t.second + 10 && t.first < centre + width / 2 + 10;
        });
      };
      while (row < rows.size() && !free(rows[row])) ++row;
      if (row == rows.size()) rows.emplace_back();
      rows[row].emplace_back(centre - width / 2, centre + width / 2);
      mark_at_.emplace_back(centre, static_cast<int>(row));
    }
    mark_rows_ = static_cast<int>(rows.size());
  }

  void open() {
    add("<svg class=\"chart {0}\" viewBox=\"0 0 {1} {2}\" role=\"img\" aria-labelledby=\"{3}-{0}-t "
        "{3}-{0}-d\" font-size=\"{4}\">"
        "<title id=\"{3}-{0}-t\">{5}</title><desc id=\"{3}-{0}-d\">{6}</desc>\n",
        size_.name, px(size_.width), px(height_), chart_.id, px(size_.font), xml_escape(chart_.title),
        xml_escape(chart_.description));
  }

  void bands() {
    for (const ChartBand& band : chart_.bands) {
      const double a = std::clamp((*map_x_)(band.from), plot_.left, plot_.right);
      const double b = std::clamp((*map_x_)(band.to), plot_.left, plot_.right);
      if (b - a < 0.5) continue;
      add("<rect class=\"band b-{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>\n",
          band.tone, px(a), px(plot_.top), px(b - a), px(plot_.height()), xml_escape(band.label));
      if (!band.label.empty() && text_width(band.label, size_.font * 0.92) + 8 <= b - a) {
        add("<text class=\"mu\" x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"{}\">{}</text>\n",
            px((a + b) / 2), px(plot_.top - size_.font * 0.45), px(size_.font * 0.92),
            xml_escape(band.label));
      }
    }
  }

  void axes() {
    const double f = size_.font;
    std::string grid;
    for (const double t : y_ticks_) {
      const double y = (*map_y_)(t);
      fmt::format_to(std::back_inserter(grid), "M{} {}H{}", px(plot_.left), px(y), px(plot_.right));
      add("<text class=\"mu\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", px(plot_.left - 7),
          px(y + f * 0.35), tick_label(t, chart_.y.unit, step_of(y_ticks_)));
    }
    add("<path class=\"grid\" d=\"{}\"/>\n", grid);
    std::string axis = fmt::format("M{} {}H{}", px(plot_.left), px(plot_.bottom), px(plot_.right));
    double last_right = -1e9;
    for (const double t : x_ticks_) {
      const double x = (*map_x_)(t);
      fmt::format_to(std::back_inserter(axis), "M{} {}v5", px(x), px(plot_.bottom));
      if (!chart_.x_labels) continue;
      const std::string label = tick_label(t, chart_.x.unit, step_of(x_ticks_));
      const double half = text_width(label, f) / 2;
      if (x - half < last_right + 6) continue;
      last_right = x + half;
      add("<text class=\"mu\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", px(x),
          px(plot_.bottom + f * 1.5), label);
    }
    add("<path class=\"axis\" d=\"{}\"/>\n", axis);
    add("<text class=\"at\" x=\"0\" y=\"{}\">{}</text>\n", px(title_y_), xml_escape(chart_.y.title));
    if (chart_.x_labels) {
      add("<text class=\"at\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
          px((plot_.left + plot_.right) / 2), px(plot_.bottom + f * 2.95), xml_escape(chart_.x.title));
    }
    if (infinite_) {
      add("<text class=\"mu\" x=\"{}\" y=\"{}\" text-anchor=\"end\">∞</text><path class=\"grid\" d=\"M{} "
          "{}H{}\"/>\n",
          px(plot_.left - 7), px(strip_y_ + f * 0.35), px(plot_.left), px(strip_y_), px(plot_.right));
    }
  }

  void diagonal() {
    if (!chart_.diagonal) return;
    const double to = std::min(x_range_.hi, y_range_.hi);
    const double from = std::max(x_range_.lo, y_range_.lo);
    if (to <= from) return;
    const double x = (*map_x_)(to);
    const double y = (*map_y_)(to);
    add("<path class=\"ref d2\" d=\"M{} {}L{} {}\"/>\n", px((*map_x_)(from)), px((*map_y_)(from)), px(x),
        px(y));
  }

  void levels() {
    for (const ChartLevel& level : chart_.levels) {
      const double y = (*map_y_)(level.y);
      add("<path class=\"level c-{} d1\" d=\"M{} {}H{}\"/>\n", level.tone, px(plot_.left), px(y),
          px(plot_.right));
      if (size_.end_labels) continue;  // named at the right, with the lines
      const bool below = y - size_.font * 1.4 < plot_.top;
      add("<text class=\"fg halo\" x=\"{}\" y=\"{}\">{}</text>\n", px(plot_.left + 6),
          px(below ? y + size_.font * 1.1 : y - size_.font * 0.4), xml_escape(level.label));
    }
  }

  void marks() {
    for (std::size_t i = 0; i < chart_.marks.size(); ++i) {
      const ChartMark& mark = chart_.marks[i];
      const double x = (*map_x_)(mark.x);
      const double y =
          mark.label.empty() ? plot_.top : marks_y_ + (mark_at_[i].second + 0.85) * size_.font * 1.5;
      add("<path class=\"vline c-{}{}\" d=\"M{} {}V{}\"/>\n", mark.tone, dash_class(mark.dash), px(x),
          px(mark.label.empty() ? y : y + size_.font * 0.35), px(plot_.bottom));
      if (mark.label.empty()) continue;
      add("<text class=\"fg halo\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
          px(mark_at_[i].first), px(y), xml_escape(mark.label));
    }
  }

  [[nodiscard]] double y_of(double v) const { return std::isinf(v) ? strip_y_ : (*map_y_)(v); }

  void draw(const ChartLine& line) {
    add("<g class=\"c-{}\">", line.tone);
    std::string path;
    std::string heads;
    bool pen_down = false;
    double last_x = 0;
    double last_y = 0;
    for (const ChartPoint& p : line.points) {
      if (std::isnan(p.y)) {
        pen_down = false;
        continue;
      }
      const double x = (*map_x_)(p.x);
      const double y = y_of(p.y);
      fmt::format_to(std::back_inserter(path), "{}{} {}", pen_down ? "L" : "M", px(x), px(y));
      if (pen_down && line.arrows) arrow(heads, last_x, last_y, x, y);
      pen_down = true;
      last_x = x;
      last_y = y;
    }
    if (!path.empty()) {
      add("<path class=\"ln{}{}\" d=\"{}\"/>", line.thin ? " thin" : "", dash_class(line.dash), path);
    }
    if (!heads.empty()) add("<path class=\"head\" d=\"{}\"/>", heads);
    if (line.marker != Marker::none) markers(line);
    out_ += "</g>\n";
  }

  // One path for all markers, or one each where they carry a note (there is no pointer to rest on a narrow
  // screen).
  void markers(const ChartLine& line) {
    const std::string_view look = line.hollow ? "mk ho" : "mk";
    std::string path;
    for (const ChartPoint& p : line.scattered.empty() ? line.points : line.scattered) {
      if (std::isnan(p.y)) continue;
      const std::string shape = marker_path(line.marker, (*map_x_)(p.x), y_of(p.y));
      if (p.note.empty() || !size_.notes) {
        path += shape;
      } else {
        add("<path class=\"{}\" d=\"{}\"><title>{}</title></path>", look, shape, xml_escape(p.note));
      }
    }
    if (!path.empty()) add("<path class=\"{}\" d=\"{}\"/>", look, path);
  }

  // A head in the middle of the segment, when it is long enough to carry one.
  static void arrow(std::string& heads, double x0, double y0, double x1, double y1) {
    const double length = std::hypot(x1 - x0, y1 - y0);
    if (length < 26) return;
    const double ux = (x1 - x0) / length;
    const double uy = (y1 - y0) / length;
    const double tip_x = (x0 + x1) / 2 + ux * 6;
    const double tip_y = (y0 + y1) / 2 + uy * 6;
    const double back = 11;
    const double half = 4.5;
    fmt::format_to(std::back_inserter(heads), "M{} {}L{} {}L{} {}z", px(tip_x), px(tip_y),
                   px(tip_x - ux * back - uy * half), px(tip_y - uy * back + ux * half),
                   px(tip_x - ux * back + uy * half), px(tip_y - uy * back - ux * half));
  }

  void end_labels() {
    if (!size_.end_labels) return;
    struct End {
      std::string_view label, tone;
      double from, y;  // where the leader begins
    };
    std::vector<End> ends;
    for (const ChartLine& line : chart_.lines) {
      if (!line.end_label) continue;
      const auto last = std::find_if(line.points.rbegin(), line.points.rend(),
                                     [](const ChartPoint& p) { return !std::isnan(p.y); });
      if (last != line.points.rend())
        ends.push_back({line.label, line.tone, (*map_x_)(last->x) + 6, y_of(last->y)});
    }
    for (const ChartLevel& level : chart_.levels)
      ends.push_back({level.label, level.tone, plot_.right, (*map_y_)(level.y)});
    std::vector<double> centres(ends.size());
    std::transform(ends.begin(), ends.end(), centres.begin(), [](const End& e) { return e.y; });
    centres = spread_labels(std::move(centres), size_.font * 1.35,
                            infinite_ ? strip_y_ - size_.font : plot_.top, plot_.bottom);
    for (std::size_t i = 0; i < ends.size(); ++i) {
      const double x = plot_.right + 12;
      add("<path class=\"leader c-{}\" d=\"M{} {}L{} {}h10\"/>", ends[i].tone, px(ends[i].from),
          px(ends[i].y), px(x), px(centres[i]));
      add("<text class=\"fg\" x=\"{}\" y=\"{}\">{}</text>\n", px(x + 14), px(centres[i] + size_.font * 0.35),
          xml_escape(ends[i].label));
    }
  }

  void legend() {
    for (const LegendItem& item : legend_) {
      const double y = size_.font * (0.9 + 1.7 * item.row);
      add("<g class=\"c-{}\"><path class=\"ln{}{}\" d=\"M{} {}h30\"/>", item.line->tone,
          item.line->thin ? " thin" : "", dash_class(item.line->dash), px(item.x), px(y));
      if (item.line->marker != Marker::none) {
        add("<path class=\"{}\" d=\"{}\"/>", item.line->hollow ? "mk ho" : "mk",
            marker_path(item.line->marker, item.x + 15, y));
      }
      out_ += "</g>";
      add("<text class=\"fg\" x=\"{}\" y=\"{}\">{}</text>\n", px(item.x + 37), px(y + size_.font * 0.35),
          xml_escape(item.line->label));
    }
  }

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  const Chart& chart_;
  const ChartSize& size_;
  AxisRange x_range_, y_range_;
  std::vector<double> x_ticks_, y_ticks_;
  Box plot_;
  std::optional<Mapping> map_x_, map_y_;
  std::vector<LegendItem> legend_;
  int legend_rows_ = 0;
  std::vector<std::pair<double, int>> mark_at_;  // centre of the label, row
  int mark_rows_ = 0;
  double title_y_ = 0, marks_y_ = 0, strip_y_ = 0, height_ = 0;
  bool infinite_ = false;
  std::string out_;
};

}  // namespace

std::string render_svg(const Chart& chart, const ChartSize& size) {
  return Renderer(chart, size).render();
}

}  // namespace dsbench::results::report
