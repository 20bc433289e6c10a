#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"

// Many metrics, and many looks at the same runs: each would find something in the end by chance alone.
namespace dsbench::results::gate {

// Holm (1979): each p, adjusted so that comparing it with α holds the chance of any false call below α over
// all of them. In the order given; at most 1.
[[nodiscard]] std::vector<double> holm(std::span<const double> p);

// How α is split over several looks at growing evidence.
enum class Spending { pocock, obrien_fleming };
[[nodiscard]] std::string_view to_word(Spending spending);

// The largest p that is called at each look: at most three of them, about equally far apart. Pocock (1977)
// asks the same of each, O'Brien and Fleming (1979) ask little of the last and much of the first. The
// critical values are those of Jennison and Turnbull, Group Sequential Methods, tables 2.1 and 2.3. Errors:
// usage, for an α with no entry when there are several looks.
[[nodiscard]] Result<std::vector<double>> split_alpha(double alpha, std::size_t looks, Spending spending);

}  // namespace dsbench::results::gate
