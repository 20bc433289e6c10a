#include "loadgen/traces/fit_text.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace dsbench::loadgen {

using Json = nlohmann::ordered_json;

namespace {

void lay_out(const Json& json, std::size_t indent, std::string& out) {
  const std::string flat = json.dump();
  if (!json.is_structured() || flat.size() + indent <= 118) {
    out += flat;
    return;
  }
  const std::string margin(indent + 2, ' ');
  const bool object = json.is_object();
  out += object ? "{" : "[";
  bool first = true;
  std::size_t column = 1000;  // arrays of short things are filled
  for (const auto& [key, value] : json.items()) {
    const std::string one = value.dump();
    if (!object && one.size() <= 24) {
      if (column + one.size() + 2 > 118) {
        out += first ? "\n" + margin : ",\n" + margin;
        column = margin.size();
      } else {
        out += ", ";
      }
      out += one;
      column += one.size() + 2;
    } else {
      out += first ? "\n" : ",\n";
      out += margin;
      if (object) out += Json(key).dump() + ": ";
      lay_out(value, indent + 2, out);
    }
    first = false;
  }
  out += "\n" + std::string(indent, ' ') + (object ? "}" : "]");
}

}  // namespace

double rounded(double x, int digits) {
  if (x == 0 || !std::isfinite(x)) return 0;
  const double unit = std::pow(10, digits - 1 - std::floor(std::log10(std::abs(x))));
  return std::round(x * unit) / unit;
}

std::string lay_out(std::string_view json) {
  std::string out;
  lay_out(Json::parse(json), 0, out);
  return out + "\n";
}

}  // namespace dsbench::loadgen
