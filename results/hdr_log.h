#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/units.h"
#include "results/histogram.h"

// HdrHistogram's interval log, version 1.3: one line a histogram,
//   Tag=<metric>;<stage>,<start s>,<length s>,<largest value in ms>,<base64 of results/hdr_codec.h>
// Times are since the start of the run (the log's StartTime is 0, so that a simulated run gives the same
// bytes again). Any subset of lines may be added up.
namespace dsbench::results {

struct HdrInterval {
  std::string tag;
  Nanos start{0}, length{0};
  Histogram histogram;
};

// The comment lines and the legend that open a log.
[[nodiscard]] std::string hdr_log_opening();
// One line with its line feed. `tag` must come from hdr_tag().
[[nodiscard]] std::string hdr_log_line(const HdrInterval& interval);

// "ttft;7-hold-1.5-x-knee": a tag may hold neither commas nor spaces, so what is no letter, digit, '.', '_'
// or '-' becomes
// '-' and "×" becomes "x". The stage's index keeps two stages of one name apart.
[[nodiscard]] std::string hdr_tag(std::string_view metric, std::uint32_t stage, std::string_view stage_name);

// Every interval of a log; a line that cannot be read is an error with its number. A last line without a line
// feed is the trace of a crash and is left out.
[[nodiscard]] Result<std::vector<HdrInterval>> parse_hdr_log(std::string_view text);

// Appends lines to a file as time passes.
class HdrLogWriter {
 public:
  [[nodiscard]] static Result<HdrLogWriter> open(const std::filesystem::path& path);
  HdrLogWriter(HdrLogWriter&& other) noexcept;
  HdrLogWriter& operator=(HdrLogWriter&&) = delete;
  ~HdrLogWriter();

  Result<void> write(std::string_view lines);
  Result<void> close();

 private:
  HdrLogWriter(std::filesystem::path path, int descriptor);
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace dsbench::results
