#pragma once

#include <string>
#include <string_view>

// How fitted profiles are written: for people.
namespace dsbench::loadgen {

// Four significant digits: more would be the sample's, not the source's.
[[nodiscard]] double rounded(double x, int digits = 4);

// JSON of which what fits on a line stands on one.
[[nodiscard]] std::string lay_out(std::string_view json);

}  // namespace dsbench::loadgen
