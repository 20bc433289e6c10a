#include "results/hdr_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "results/hdr_codec.h"

namespace dsbench::results {
namespace {

// Seconds with the three decimals of the format, from whole nanoseconds and therefore always the same text.
std::string seconds_text(Nanos t) {
  const std::int64_t ms = t.count() / 1'000'000;
  return fmt::format("{}.{:03d}", ms / 1000, ms % 1000);
}

std::optional<Nanos> parse_seconds(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) ||
      std::abs(value) > 4e9) {
    return std::nullopt;
  }
  return from_seconds(value);
}

}  // namespace

std::string hdr_log_opening() {
  return "#[Logged with dsbench; values in ns, times in s since the start of the run]\n"
         "#[Histogram log format version 1.3]\n"
         "#[StartTime: 0.000 (seconds since epoch), the start of the run]\n"
         "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";
}

std::string hdr_log_line(const HdrInterval& interval) {
  // The largest value is given in ms, as the Java logger does for histograms of nanoseconds.
  const std::int64_t max_us = interval.histogram.max().count() / 1000;
  return fmt::format("Tag={},{},{},{}.{:03d},{}\n", interval.tag, seconds_text(interval.start),
                     seconds_text(interval.length), max_us / 1000, max_us % 1000,
                     encode_hdr(interval.histogram));
}

std::string hdr_tag(std::string_view metric, std::uint32_t stage, std::string_view stage_name) {
  constexpr std::string_view times = "×";
  std::string name;
  while (!stage_name.empty()) {
    char c = stage_name.front();
    std::size_t eaten = 1;
    if (stage_name.starts_with(times)) {
      c = 'x';
      eaten = times.size();
    }
    stage_name.remove_prefix(eaten);
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
    if (plain)
      name.push_back(c);
    else if (!name.empty() && name.back() != '-')
      name.push_back('-');
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? fmt::format("{};{}", metric, stage) : fmt::format("{};{}-{}", metric, stage, name);
}

Result<std::vector<HdrInterval>> parse_hdr_log(std::string_view text) {
  std::vector<HdrInterval> intervals;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#' || line.front() == '"') continue;
    HdrInterval interval;
    const auto field = [&line]() -> std::string_view {
      const std::size_t comma = line.find(',');
      const std::string_view value = line.substr(0, comma);
      line = comma == std::string_view::npos ? std::string_view{} : line.substr(comma + 1);
      return value;
    };
    if (line.starts_with("Tag=")) interval.tag = std::string{field().substr(4)};
    const auto start = parse_seconds(field());
    const auto length = parse_seconds(field());
    (void)field();  // the largest value is in the histogram
    if (!start || !length || line.empty()) {
      return fail(
          ErrorKind::usage,
          "latency log, line {}: expected [Tag=name,]start,length,max,histogram with times in seconds",
          number);
    }
    interval.start = *start;
    interval.length = *length;
    auto histogram = decode_hdr(line);
    if (!histogram) {
      return fail(ErrorKind::usage, "latency log, line {}: {}", number, histogram.error().message);
    }
    interval.histogram = std::move(*histogram);
    intervals.push_back(std::move(interval));
  }
  return intervals;
}

HdrLogWriter::HdrLogWriter(std::filesystem::path path, int descriptor)
    : path_{std::move(path)}, descriptor_{descriptor} {}

HdrLogWriter::HdrLogWriter(HdrLogWriter&& other) noexcept
    : path_{std::move(other.path_)}, descriptor_{std::exchange(other.descriptor_, -1)} {}

HdrLogWriter::~HdrLogWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<HdrLogWriter> HdrLogWriter::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0)
    return fail(ErrorKind::io, "cannot write '{}': {}", path.string(), std::strerror(errno));
  HdrLogWriter writer{path, descriptor};
  DSBENCH_CHECK(writer.write(hdr_log_opening()));
  return writer;
}

Result<void> HdrLogWriter::write(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t n = ::write(descriptor_, lines.data(), lines.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return fail(ErrorKind::io, "cannot write '{}': {}", path_.string(), std::strerror(errno));
    }
    lines.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> HdrLogWriter::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor >= 0 && ::close(descriptor) != 0) {
    return fail(ErrorKind::io, "cannot write '{}' to its end: {}", path_.string(), std::strerror(errno));
  }
  return {};
}

}  // namespace dsbench::results
