#include "kernelbench/ops/quantised.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dsbench::kernelbench {
namespace {

double rounded(Dtype type, double value) {
  std::uint8_t bits = 0;
  encode(type, value, &bits);
  return decode(type, &bits);
}

}  // namespace

std::string check_quantised_row(const std::vector<double>& want, std::int64_t row, const HostTensor& codes,
                                const HostTensor& scales, const QuantisedGate& gate) {
  const std::int64_t width = std::ssize(want);
  const std::int64_t groups = width / gate.group;
  for (std::int64_t g = 0; g < groups; ++g) {
    double most = gate.least;
    for (std::int64_t i = g * gate.group; i < (g + 1) * gate.group; ++i)
      most = std::max(most, std::fabs(want[i]));
    const double scale = most / gate.most;
    const double got = scales.get(row * groups + g);
    if (!(std::fabs(got - scale) <= gate.tolerance * scale + 1e-37)) {
      return fmt::format("{}: row {}: scale {} is {:.7g}, should be {:.7g}", scales.name(), row, g, got,
                         scale);
    }
    for (std::int64_t i = g * gate.group; i < (g + 1) * gate.group; ++i) {
      const double code = codes.get(row * width + i);
      const double exact = got > 0 ? want[i] / got : 0;
      const double slack = gate.tolerance * std::fabs(exact);
      const double low = rounded(codes.type(), exact - slack);
      const double high = rounded(codes.type(), exact + slack);
      if (!(code >= low && code <= high)) {
        return fmt::format("{}: row {}: element {} is {:.7g}, should be {:.7g}", codes.name(), row, i, code,
                           rounded(codes.type(), exact));
      }
    }
  }
  return {};
}

}  // namespace dsbench::kernelbench
