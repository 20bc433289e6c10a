#pragma once

#include <string>
#include <string_view>

namespace dsbench::results::report {

// Text for an element or a quoted attribute of HTML and XML: the five special characters as entities, control
// characters that XML forbids dropped, bytes that are not UTF-8 replaced by U+FFFD.
[[nodiscard]] std::string xml_escape(std::string_view text);

// A JSON string literal that is also harmless inside <script>: no <, > or & and no U+2028/2029 stays as it
// is.
[[nodiscard]] std::string json_string(std::string_view text);

// Text for a cell of a Markdown table: no markup, no bar, no line break gets through.
[[nodiscard]] std::string markdown_escape(std::string_view text);

// For a terminal: control characters (escape sequences in a server's answer, say) become '?'.
[[nodiscard]] std::string terminal_escape(std::string_view text);

// How many code points `text` has: its width in a terminal, for the characters that we use.
[[nodiscard]] std::size_t code_points(std::string_view text);

}  // namespace dsbench::results::report
