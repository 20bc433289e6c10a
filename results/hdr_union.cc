#include "results/hdr_union.h"

#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "results/hdr_log.h"

namespace dsbench::results {
namespace {

// A log's lines are in order but for what came late, by some seconds at most; what comes later than that gets
// a second line, which a reader adds up.
constexpr Nanos patience{10'000'000'000};

class Reader {
 public:
  static Result<Reader> open(const HdrLogPart& part) {
    Reader reader;
    reader.part_ = part;
    reader.file_.open(part.path);
    if (!reader.file_) return fail(ErrorKind::io, "cannot read '{}'", part.path.string());
    DSBENCH_CHECK(reader.advance());
    return reader;
  }
  [[nodiscard]] std::optional<HdrInterval>& head() { return head_; }
  Result<void> advance() {
    head_.reset();
    std::string line;
    while (std::getline(file_, line)) {
      if (file_.eof()) break;  // without its line feed: the trace of a crash
      auto parsed = parse_hdr_log(line + '\n');
      if (!parsed) return fail(parsed.error().kind, "'{}': {}", part_.path.string(), parsed.error().message);
      if (parsed->empty()) continue;
      head_ = std::move(parsed->front());
      head_->start += part_.shift;
      break;
    }
    // To getline an error is an end, too.
    if (file_.bad()) return fail(ErrorKind::io, "cannot read '{}' to its end", part_.path.string());
    return {};
  }

 private:
  HdrLogPart part_;
  std::ifstream file_;
  std::optional<HdrInterval> head_;
};

}  // namespace

Result<std::map<std::string, Histogram>> unite_hdr_logs(std::span<const HdrLogPart> parts,
                                                        const std::filesystem::path& out) {
  std::vector<Reader> readers;
  for (const HdrLogPart& part : parts) {
    DSBENCH_TRY(auto reader, Reader::open(part));
    readers.push_back(std::move(reader));
  }
  DSBENCH_TRY(auto writer, HdrLogWriter::open(out));
  std::map<std::string, Histogram> sums;
  std::map<std::pair<Nanos, std::string>, HdrInterval> open;
  const auto write_before = [&](Nanos limit) -> Result<void> {
    std::string lines;
    while (!open.empty() && open.begin()->first.first < limit) {
      const HdrInterval& interval = open.begin()->second;
      sums[interval.tag].add(interval.histogram);
      lines += hdr_log_line(interval);
      open.erase(open.begin());
    }
    return lines.empty() ? Result<void>{} : writer.write(lines);
  };
  for (;;) {
    Reader* earliest = nullptr;
    for (Reader& reader : readers) {
      if (reader.head() && (earliest == nullptr || reader.head()->start < earliest->head()->start))
        earliest = &reader;
    }
    if (earliest == nullptr) break;
    HdrInterval& head = *earliest->head();
    DSBENCH_CHECK(write_before(head.start - patience));
    const auto [place, fresh] = open.try_emplace({head.start, head.tag});
    if (fresh)
      place->second = std::move(head);
    else
      place->second.histogram.add(head.histogram);
    DSBENCH_CHECK(earliest->advance());
  }
  DSBENCH_CHECK(write_before(Nanos::max()));
  DSBENCH_CHECK(writer.close());
  return sums;
}

Result<std::map<std::string, Histogram>> sum_hdr_log(const std::filesystem::path& path) {
  DSBENCH_TRY(auto reader, Reader::open({path, Nanos{0}}));
  std::map<std::string, Histogram> sums;
  while (reader.head()) {
    sums[reader.head()->tag].add(reader.head()->histogram);
    DSBENCH_CHECK(reader.advance());
  }
  return sums;
}

}  // namespace dsbench::results
