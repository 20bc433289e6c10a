#include "results/run_directory.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/text.h"

namespace dsbench::results {
namespace {

namespace fs = std::filesystem;

// "a.txt, b.txt and 3 more".
std::string some_entries(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it{folder, ec}, end; !ec && it != end; it.increment(ec)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  std::string text;
  constexpr std::size_t shown = 3;
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", names[i]);
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

Result<RunDirectory> create(const fs::path& path) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (fs::exists(status)) {
    if (!fs::is_directory(status)) {
      return fail(ErrorKind::usage,
                  "cannot write a run to '{}': found a file there, a new or an empty folder is accepted",
                  path.string());
    }
    const bool empty = fs::is_empty(path, ec);
    if (ec) return fail(ErrorKind::io, "cannot look into '{}': {}", path.string(), ec.message());
    if (!empty) {
      return fail(ErrorKind::usage,
                  "cannot write a run to '{}': found {} there, a new or an empty folder is accepted; a run "
                  "is never written over",
                  path.string(), some_entries(path));
    }
    return RunDirectory{path};
  }
  fs::create_directories(path, ec);
  if (ec) return fail(ErrorKind::io, "cannot create the run folder '{}': {}", path.string(), ec.message());
  return RunDirectory{path};
}

// "20261122-113648" from "2026-11-22T11:36:48Z".
std::string compact_utc(Nanos wall_clock) {
  std::string text;
  for (const char c : format_utc(wall_clock)) {
    if (c >= '0' && c <= '9') text.push_back(c);
    if (c == 'T') text.push_back('-');
  }
  return text;
}

}  // namespace

Result<RunDirectory> create_run_directory(const std::optional<fs::path>& wanted, Nanos wall_clock,
                                          Bytes needed) {
  fs::path path;
  if (wanted) {
    path = *wanted;
  } else {
    const std::string name = "dsbench-run-" + compact_utc(wall_clock);
    path = name;
    std::error_code ec;
    for (int n = 2; fs::exists(path, ec); ++n) path = fmt::format("{}-{}", name, n);
  }
  DSBENCH_TRY(auto directory, create(path));
  DSBENCH_CHECK(check_free_space(directory.path, needed));
  return directory;
}

Result<RunDirectory> find_run_directory(const fs::path& path) {
  std::error_code ec;
  if (fs::is_directory(path, ec)) {
    const RunDirectory directory{path};
    if (fs::exists(directory.run_json(), ec)) return directory;
    if (fs::exists(directory.records(), ec)) {
      return fail(
          ErrorKind::usage,
          "the run in '{}' was cut off before it wrote its run.json; dsbench report {} makes one of what it "
          "recorded, which is in records.sqlite",
          path.string(), path.string());
    }
    return fail(
        ErrorKind::usage,
        "'{}' is no run: it has no run.json; a folder that dsbench rehearse or load wrote is accepted",
        path.string());
  }
  if (fs::exists(path, ec) && path.filename() == "run.json") {
    return RunDirectory{path.has_parent_path() ? path.parent_path() : fs::path{"."}};
  }
  return fail(ErrorKind::usage, "cannot find a run at '{}': a run folder or its run.json is accepted",
              path.string());
}

Result<void> check_free_space(const fs::path& folder, Bytes needed) {
  std::error_code ec;
  const fs::space_info space = fs::space(folder, ec);
  if (ec)
    return fail(ErrorKind::io, "cannot tell how much space '{}' has: {}", folder.string(), ec.message());
  const Bytes available{static_cast<std::int64_t>(std::min<std::uintmax_t>(space.available, INT64_MAX))};
  if (available < needed) {
    return fail(ErrorKind::io,
                "the run needs about {} in '{}', only {} are free; free some, or write elsewhere with --out",
                format_bytes(needed), folder.string(), format_bytes(available));
  }
  return {};
}

Bytes expected_size(std::int64_t attempts, std::int64_t gaps_per_attempt) {
  return Bytes{attempts * (400 + 3 * gaps_per_attempt) + (std::int64_t{16} << 20)};
}

}  // namespace dsbench::results
