#include "loadgen/traces/trace_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/text.h"
#include "loadgen/traces/byte_source.h"
#include "loadgen/traces/field_parsers.h"
#include "loadgen/traces/servegen.h"
#include "loadgen/traces/text_source.h"
#include "loadgen/traces/trace_reader.h"

namespace dsbench::loadgen {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 9> words{"mooncake", "bailian", "azure", "burstgpt", "sharegpt",
                                                "servegen", "vllm",    "otel",  "records"};
constexpr std::size_t head_bytes = std::size_t{1} << 20;

// First bytes of what we do not unpack (what begins with gzip's here was packed twice), and how others do.
constexpr std::pair<std::string_view, std::string_view> packed[] = {{"\x1F\x8B", "gzip, twice: gunzip"},
                                                                    {"PK\x03\x04", "zip: unzip"},
                                                                    {"\x28\xB5\x2F\xFD", "zstd: zstd -d"},
                                                                    {"\xFD\x37zXZ", "xz: unxz"},
                                                                    {"BZh", "bzip2: bunzip2"}};

std::string_view first_line(std::string_view text) {
  return text.substr(0, std::min(text.find('\n'), text.size()));
}

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// The tokens per hash that fits every request with hashes, if one of the sizes in use does. Where several do
// (all prompts may be of one block), the usual one, or the largest.
std::optional<std::int32_t> block_that_fits(const std::vector<Json>& objects, std::int32_t usual) {
  std::optional<std::int32_t> fits;
  for (const std::int64_t block : {16, 32, 64, 128, 256, 512, 1024}) {
    std::size_t with = 0, right = 0;
    for (const Json& object : objects) {
      const auto input = object.find("input_length");
      const auto hashes = object.find("hash_ids");
      if (input == object.end() || hashes == object.end() || !input->is_number() || !hashes->is_array() ||
          hashes->empty())
        continue;
      ++with;
      // Some writers hash whole blocks only, some the rest too.
      const std::int64_t n = input->get<std::int64_t>();
      const auto count = static_cast<std::int64_t>(hashes->size());
      if (count == n / block || count == (n + block - 1) / block) ++right;
    }
    if (with == 0 || right * 20 < with * 19) continue;  // 95 %
    fits = static_cast<std::int32_t>(block);
    if (block == usual) break;
  }
  return fits;
}

constexpr std::size_t enough_objects = 400;

// The objects on the first lines; what is broken is passed over.
std::vector<Json> objects_on_lines(std::string_view head, bool whole) {
  std::vector<Json> objects;
  while (!head.empty() && objects.size() < enough_objects) {
    const std::size_t end = head.find('\n');
    if (end == std::string_view::npos && !whole) break;
    Json object = Json::parse(head.substr(0, end), nullptr, false);
    if (object.is_object()) objects.push_back(std::move(object));
    head.remove_prefix(end == std::string_view::npos ? head.size() : end + 1);
  }
  return objects;
}

// Those of an array, or one after the other across lines; the last one may be cut by the head's end.
std::vector<Json> objects_in_elements(std::string_view head) {
  std::vector<Json> objects;
  TextSource source = TextSource::of_text(std::string{head}, Framing::json_elements);
  while (objects.size() < enough_objects) {
    const auto record = source.next();
    if (!record || !*record || (*record)->cut) break;
    Json object = Json::parse((*record)->text, nullptr, false);
    if (object.is_object()) objects.push_back(std::move(object));
  }
  return objects;
}

tl::unexpected<Error> unknown(std::string_view name, std::string_view found) {
  return fail(
      ErrorKind::usage,
      "'{}' is no trace that we know; it begins with '{}'; accepted: {}; name one with --format if this "
      "is one of them",
      name, found.substr(0, 80), join(words));
}

Result<Detected> detect_json(std::string_view head, bool whole, std::string_view name,
                             std::optional<TraceFormat> as) {
  Detected found;
  std::vector<Json> objects;
  if (head.front() == '{') objects = objects_on_lines(head, whole);
  found.framing = objects.empty() ? Framing::json_elements : Framing::lines;
  if (objects.empty()) objects = objects_in_elements(head);
  const auto has = [&](std::string_view word) { return head.find(word) != std::string_view::npos; };
  if (as) {
    found.format = *as;
  } else if (has("\"resourceSpans\"") || has("\"resource_spans\"") || has("\"gen_ai.")) {
    found.format = TraceFormat::otel;
  } else if (has("\"conversations\"") || has("\"conversation\"") ||
             (has("\"items\"") && has("\"from\"") && has("\"value\"")) ||
             (has("\"messages\"") && has("\"role\"") && !has("\"timestamp\""))) {
    found.format = TraceFormat::sharegpt;
  } else if (has("\"input_length\"") && has("\"output_length\"") && has("\"timestamp\"")) {
    found.format = has("\"parent_chat_id\"") ? TraceFormat::bailian : TraceFormat::mooncake;
  } else {
    return unknown(name, first_line(head));
  }
  found.fractional_time = std::any_of(objects.begin(), objects.end(), [](const Json& object) {
    const auto at = object.find("timestamp");
    return at != object.end() && at->is_number_float() && at->get<double>() != std::floor(at->get<double>());
  });
  found.block_tokens = block_that_fits(objects, usual_block(found.format));
  // The two write alike; vLLM's own traces count in seconds and hash 16 tokens. Blocks of 512 are Mooncake's,
  // whose milliseconds others write with fractions.
  if (!as && found.format == TraceFormat::mooncake && found.fractional_time &&
      found.block_tokens != usual_block(TraceFormat::mooncake)) {
    found.format = TraceFormat::vllm;
    found.block_tokens = block_that_fits(objects, usual_block(TraceFormat::vllm));
  }
  return found;
}

}  // namespace

std::span<const std::string_view> trace_format_words() {
  return words;
}

std::string_view to_word(TraceFormat format) {
  return words.at(static_cast<std::size_t>(format));
}

std::int32_t usual_block(TraceFormat format) {
  if (format == TraceFormat::mooncake) return 512;
  return format == TraceFormat::sharegpt ? sharegpt_block_tokens : 16;
}

Result<TraceFormat> parse_trace_format(std::string_view word) {
  const auto it = std::find(words.begin(), words.end(), word);
  if (it != words.end()) return static_cast<TraceFormat>(it - words.begin());
  const std::string_view near = nearest_word(word, words);
  return fail(ErrorKind::usage, "no trace format '{}'; accepted: {}{}", word, join(words),
              near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

Result<Detected> detect_text(std::string_view head, bool whole, std::string_view name,
                             std::optional<TraceFormat> as) {
  if (head.starts_with("\xEF\xBB\xBF")) head.remove_prefix(3);
  while (!head.empty() && std::string_view{" \t\r\n"}.find(head.front()) != std::string_view::npos)
    head.remove_prefix(1);
  if (head.empty()) return fail(ErrorKind::usage, "'{}' is empty; accepted: {}", name, join(words));
  if (head.starts_with("\xFF\xFE") || head.starts_with("\xFE\xFF"))
    return fail(ErrorKind::usage, "'{}' is UTF-16; convert it first (iconv -f UTF-16 -t UTF-8)", name);
  if (head.starts_with("SQLite format 3")) {
    if (as && *as != TraceFormat::records)
      return fail(ErrorKind::usage, "'{}' is an SQLite file, not {}", name, to_word(*as));
    return Detected{TraceFormat::records, Framing::lines, std::nullopt, false};
  }
  for (const auto& [magic, what] : packed) {
    if (head.starts_with(magic)) {
      return fail(ErrorKind::usage,
                  "'{}' is compressed ({}); accepted: gzip, packed once, or the unpacked file", name, what);
    }
  }
  if (head.starts_with("PAR1"))
    return fail(ErrorKind::usage, "'{}' is Parquet, which we do not read; convert it to CSV or JSON lines",
                name);
  if (head.starts_with("version https://git-lfs")) {
    return fail(ErrorKind::usage, "'{}' is a Git LFS pointer, not the data; fetch it with git lfs pull",
                name);
  }
  if (as == TraceFormat::servegen || as == TraceFormat::records) {
    return fail(ErrorKind::usage, "'{}' is a text file; {}", name,
                *as == TraceFormat::servegen
                    ? "a ServeGen trace is a folder of chunk-N-trace.csv and chunk-N-dataset.json"
                    : "records are a records.sqlite or the folder of a run");
  }
  if (head.front() == '{' || head.front() == '[') return detect_json(head, whole, name, as);
  if (as) return Detected{*as, Framing::lines, std::nullopt, false};
  const std::string header = lower(first_line(head));
  const auto names = [&](std::string_view column) { return header.find(column) != std::string::npos; };
  if (names("timestamp") && names("contexttokens") && names("generatedtokens"))
    return Detected{TraceFormat::azure, Framing::lines, std::nullopt, false};
  if (names("timestamp") && names("request tokens") && names("response tokens"))
    return Detected{TraceFormat::burstgpt, Framing::lines, std::nullopt, false};
  std::vector<std::string_view> fields;
  split_csv(first_line(head), fields, delimiter_of(first_line(head)));
  if (fields.size() == 3 && parse_utc(fields[0]) && parse_number(fields[1]))
    return Detected{TraceFormat::azure, Framing::lines, std::nullopt, false};
  return unknown(name, first_line(head));
}

Result<Detected> detect_format(const std::filesystem::path& path, std::optional<TraceFormat> as) {
  std::error_code ec;
  const auto status = std::filesystem::status(path, ec);
  if (!std::filesystem::exists(status)) return fail(ErrorKind::io, "there is no trace '{}'", path.string());
  if (std::filesystem::is_directory(status)) {
    if (is_servegen_folder(path) && as.value_or(TraceFormat::servegen) == TraceFormat::servegen)
      return Detected{TraceFormat::servegen, Framing::lines, std::nullopt, false};
    if (std::filesystem::exists(path / "records.sqlite", ec) &&
        as.value_or(TraceFormat::records) == TraceFormat::records)
      return Detected{TraceFormat::records, Framing::lines, std::nullopt, false};
    return fail(ErrorKind::usage,
                "the folder '{}' holds no trace; accepted: ServeGen's chunk-N-trace.csv with "
                "chunk-N-dataset.json, or "
                "a run's records.sqlite; all other traces are files",
                path.string());
  }
  DSBENCH_TRY(ByteSource bytes, ByteSource::open(path));
  std::string head(head_bytes, '\0');
  std::size_t had = 0;
  bool whole = false;
  while (had < head.size() && !whole) {
    const auto got = bytes.read(head.data() + had, head.size() - had);
    // Where the data are broken is said by who reads on.
    if (!got && had > 0) break;
    if (!got) return tl::unexpected{got.error()};
    had += *got;
    whole = *got == 0;
  }
  head.resize(had);
  return detect_text(head, whole, path.string(), as);
}

}  // namespace dsbench::loadgen
