#pragma once

#include <string>
#include <string_view>

namespace dsbench::tests {

// Empty when `text` is well-formed markup (elements nest and close, attributes are quoted and not repeated,
// entities are known, ids are unique); else what is wrong, and where. What stands in <script> and <style> is
// not looked at.
[[nodiscard]] std::string xml_complaint(std::string_view text);

}  // namespace dsbench::tests
