#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "results/gate/change_points.h"
#include "results/gate/evidence.h"

// The results of many builds, one line each, in a file that only grows and that git can merge.
namespace dsbench::results::gate {

struct HistoryRun {
  std::string id;  // of the build: a commit, as given; unique in the file
  std::string at;  // UTC, when it was added
  std::string kind,
      key;  // what must be equal for two runs to stand in one series; a hash of the comparability
  std::map<std::string, std::pair<Metric, double>> metrics;  // medians over the runs that were added together
  std::size_t runs = 1;
};

enum class ChangeState : std::uint8_t {
  open,      // seen, and nobody has said anything about it
  accepted,  // it is meant to be so
  fixed,     // somebody says that it has been mended
};
[[nodiscard]] std::string_view to_word(ChangeState state);

struct StateEvent {
  std::string id, metric;  // the first run of the new level; "*": every metric that changed there
  ChangeState state = ChangeState::open;
  std::string at, note;
};

struct History {
  std::vector<HistoryRun> runs;
  std::vector<StateEvent> events;
};

// Schema "dsbench.history/1" on every line. A file that is not there is an empty history. Errors: io; usage,
// with the number of a line that cannot be understood.
[[nodiscard]] Result<History> read_history(const std::filesystem::path& path);
[[nodiscard]] Result<History> parse_history(std::string_view text, std::string_view source);

// One line, with its line break.
[[nodiscard]] std::string print_line(const HistoryRun& run);
[[nodiscard]] std::string print_line(const StateEvent& event);
// To the end, in one write, synced.
[[nodiscard]] Result<void> append_line(const std::filesystem::path& path, std::string_view line);

// Runs of one build as one line: the medians of what they all have. Errors: usage, for invalid runs, runs
// that are not comparable, and none.
[[nodiscard]] Result<HistoryRun> history_run_of(const std::vector<Evidence>& runs, std::string id,
                                                std::string at);

struct Change {
  std::string metric;
  ChangePoint point;
  std::string id;  // of the first run of the new level
  bool worse = false;
  bool is_last = false;  // the baseline begins here
  ChangeState state = ChangeState::open;
  std::string note;
};
struct Series {
  Metric metric;
  std::vector<std::string> ids;
  std::vector<double> values;
  std::vector<Change> changes;
  std::size_t baseline_from = 0;  // the segment after the last change point
};
// Of the runs that are comparable with the last one.
[[nodiscard]] std::vector<Series> series_of(const History& history, const ChangePointSettings& settings);

// The worst that is still open: what `gate history show` fails for.
[[nodiscard]] const Change* worst_open(const std::vector<Series>& series);

}  // namespace dsbench::results::gate
