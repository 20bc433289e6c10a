#include "engine/step_log_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "core/files.h"

namespace dsbench::engine {
namespace {

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

// What `calibrate` needs; the rest of a line is not looked at.
constexpr std::array<std::string_view, 5> wanted{"duration_ns", "prefill_tokens", "decode_tokens",
                                                 "kv_tokens", "sequences"};

}  // namespace

Result<std::vector<StepRecord>> read_step_log(const std::string& path) {
  DSBENCH_TRY(const std::string text, read_file(path));
  std::string_view rest = text;
  const auto next_line = [&rest]() {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
  };
  const std::vector<std::string_view> header = split(next_line());
  std::array<std::size_t, wanted.size()> columns{};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto it = std::find(header.begin(), header.end(), wanted[i]);
    if (it == header.end())
      return fail(
          ErrorKind::usage,
          "{} is no step log: its first line has no column '{}' (dsbench serve --step-log writes one)", path,
          wanted[i]);
    columns[i] = static_cast<std::size_t>(it - header.begin());
  }
  std::vector<StepRecord> steps;
  for (std::int64_t number = 2; !rest.empty(); ++number) {
    const bool whole = rest.find('\n') != std::string_view::npos;
    const std::string_view line = next_line();
    if (line.empty()) continue;
    const std::vector<std::string_view> fields = split(line);
    if (fields.size() < header.size()) {
      if (!whole) break;
      return fail(ErrorKind::usage, "{}, line {}: {} fields where the first line names {}", path, number,
                  fields.size(), header.size());
    }
    std::array<std::int64_t, wanted.size()> values{};
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const std::string_view field = fields[columns[i]];
      const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), values[i]);
      if (error != std::errc{} || end != field.data() + field.size() || values[i] < 0)
        return fail(ErrorKind::usage, "{}, line {}: {} is '{}'; a whole number from 0 is accepted", path,
                    number, wanted[i], field);
    }
    StepRecord step;
    step.step = static_cast<std::int64_t>(steps.size()) + 1;
    step.duration = Nanos{values[0]};
    step.prefill_tokens = values[1];
    step.decode_tokens = values[2];
    step.kv_tokens = values[3];
    step.sequences = values[4];
    steps.push_back(step);
  }
  return steps;
}

}  // namespace dsbench::engine
