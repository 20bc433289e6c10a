#include "engine/model/available_memory.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string>

#include "core/files.h"

namespace dsbench::engine {
namespace {

namespace fs = std::filesystem;

std::optional<std::int64_t> leading_number(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

// The number after this word at the start of a line.
std::optional<std::int64_t> field(std::string_view text, std::string_view word) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(word)) return leading_number(line.substr(word.size()));
    at = end + 1;
  }
  return std::nullopt;
}

std::optional<std::int64_t> number_in(const fs::path& path) {
  const auto text = read_file(path);
  return text ? leading_number(*text) : std::nullopt;
}

// What one group has left: limit − use, where page cache that can be dropped does not count as use.
std::optional<std::int64_t> left_in(const fs::path& group, bool v2) {
  const auto limit =
      number_in(group / (v2 ? "memory.max" : "memory.limit_in_bytes"));  // "max" is no number: no limit
  const auto used = number_in(group / (v2 ? "memory.current" : "memory.usage_in_bytes"));
  if (!limit || !used) return std::nullopt;
  const auto stat = read_file(group / "memory.stat");
  const std::int64_t droppable =
      stat ? field(*stat, v2 ? "inactive_file " : "total_inactive_file ").value_or(0) : 0;
  return std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, *used - droppable));
}

}  // namespace

Result<Bytes> available_memory_under(std::string_view root) {
  const fs::path base(root);
  DSBENCH_TRY(const std::string meminfo, read_file(base / "proc/meminfo"));
  const auto free_kib = field(meminfo, "MemAvailable:");
  if (!free_kib) return fail(ErrorKind::io, "{}: no line 'MemAvailable:'", (base / "proc/meminfo").string());
  std::int64_t available = *free_kib * 1024;
  const auto own = read_file(base / "proc/self/cgroup");
  const std::string groups = own ? *own : std::string();
  // A line is "<id>:<controllers>:<path>"; v2 has id 0 and no controllers. Limits of outer groups bind the
  // inner ones.
  for (std::size_t at = 0; at < groups.size();) {
    const std::size_t end = std::min(groups.find('\n', at), groups.size());
    const std::string_view line = std::string_view(groups).substr(at, end - at);
    at = end + 1;
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && controllers != "memory") continue;
    const fs::path top = base / (v2 ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    fs::path group(line.substr(second + 1));
    for (;; group = group.parent_path()) {
      if (const auto left = left_in(top / group.relative_path(), v2)) available = std::min(available, *left);
      if (!group.has_relative_path()) break;
    }
  }
  return Bytes{available};
}

Result<Bytes> available_memory() {
  return available_memory_under("/");
}

}  // namespace dsbench::engine
