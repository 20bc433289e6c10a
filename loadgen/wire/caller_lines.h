#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dsbench::loadgen {

// The header lines that say of an attempt who asks and for which time, so that a server can keep classes of
// callers apart and count attempts per request:
//   x-dsbench-tenant: NAME     the request's class in the workload; left out where it is no such name: up to
//   64
//                              of A-Z a-z 0-9 . _ -
//   x-dsbench-attempt: N       from 0
// Nothing at all until tenants are given.
class CallerLines {
 public:
  CallerLines() = default;
  explicit CallerLines(const std::vector<std::string>& tenants);

  [[nodiscard]] bool any() const { return !tenants_.empty(); }
  // "x-dsbench-tenant: free\r\n", or nothing.
  [[nodiscard]] std::string_view tenant(std::uint16_t tenant) const;
  // Both lines, each with its end.
  void append(std::string& head, std::uint16_t tenant, std::uint32_t attempt) const;

 private:
  std::vector<std::string> tenants_;  // their lines
};

}  // namespace dsbench::loadgen
