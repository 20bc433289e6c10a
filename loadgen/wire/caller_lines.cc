#include "loadgen/wire/caller_lines.h"

#include <algorithm>
#include <charconv>

namespace dsbench::loadgen {
namespace {

constexpr std::size_t longest = 64;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= longest && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

}  // namespace

CallerLines::CallerLines(const std::vector<std::string>& tenants) {
  for (const std::string& name : tenants)
    tenants_.push_back(is_name(name) ? "x-dsbench-tenant: " + name + "\r\n" : std::string{});
  if (tenants_.empty()) tenants_.emplace_back();
}

std::string_view CallerLines::tenant(std::uint16_t tenant) const {
  return tenant < tenants_.size() ? std::string_view{tenants_[tenant]} : std::string_view{};
}

void CallerLines::append(std::string& head, std::uint16_t of, std::uint32_t attempt) const {
  if (!any()) return;
  head += tenant(of);
  head += "x-dsbench-attempt: ";
  char digits[16];
  head.append(digits, std::to_chars(digits, digits + sizeof digits, attempt).ptr);
  head += "\r\n";
}

}  // namespace dsbench::loadgen
