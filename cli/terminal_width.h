#pragma once

#include <cstddef>
#include <optional>

namespace dsbench::cli {

// Columns of the terminal at this descriptor; nothing when it is none, or does not tell.
[[nodiscard]] std::optional<std::size_t> terminal_columns(int descriptor);

// How wide what is printed to this descriptor may be: the terminal's columns, else those that the
// environment's COLUMNS tells, else 100; never below 60 or above 200.
[[nodiscard]] std::size_t page_width(int descriptor);

}  // namespace dsbench::cli
