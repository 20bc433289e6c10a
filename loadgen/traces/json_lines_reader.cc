#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "loadgen/traces/field_parsers.h"
#include "loadgen/traces/trace_reader.h"

// Mooncake, Bailian and vLLM's timed traces: one JSON object a line.
namespace dsbench::loadgen {
namespace {

using Json = nlohmann::json;

const Json* find(const Json& object, const std::string& key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string id_text(const Json* value) {
  if (value == nullptr) return "";
  if (value->is_string()) return value->get<std::string>();
  return value->is_number() || value->is_boolean() ? value->dump() : "";
}

Result<double> number(const Json& object, const std::string& key) {
  const Json* value = find(object, key);
  if (value == nullptr) return fail(ErrorKind::usage, "'{}' is missing", key);
  if (value->is_number()) return value->get<double>();
  if (value->is_string()) {
    if (const auto parsed = parse_number(value->get_ref<const std::string&>())) return *parsed;
  }
  return fail(ErrorKind::usage, "'{}' is {}; accepted: a number", key, value->dump().substr(0, 40));
}

// Hashes are numbers, or words of some digest.
Result<void> read_hashes(const Json& list, const std::string& key, std::vector<std::uint64_t>& hashes) {
  if (!list.is_array()) return fail(ErrorKind::usage, "'{}' is no array", key);
  hashes.reserve(list.size());
  for (const Json& entry : list) {
    if (entry.is_number_unsigned()) {
      hashes.push_back(entry.get<std::uint64_t>());
    } else if (entry.is_number_integer()) {
      hashes.push_back(static_cast<std::uint64_t>(entry.get<std::int64_t>()));
    } else if (entry.is_string()) {
      std::uint64_t h = 0xCBF29CE484222325ULL;  // FNV-1a
      for (const char c : entry.get_ref<const std::string&>())
        h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
      hashes.push_back(h);
    } else {
      return fail(ErrorKind::usage, "'{}' holds {}; accepted: whole numbers or strings", key,
                  entry.dump().substr(0, 40));
    }
  }
  return {};
}

class JsonLinesReader final : public TraceReader {
 public:
  JsonLinesReader(TraceFormat format, const ReaderOptions& options) : format_{format}, options_{options} {}

  Result<void> read(std::string_view record, const TraceSink& sink) override {
    const Json object = Json::parse(record, nullptr, false);
    if (object.is_discarded()) return fail(ErrorKind::usage, "no JSON: '{}'", record.substr(0, 60));
    if (!object.is_object()) return fail(ErrorKind::usage, "no JSON object: '{}'", record.substr(0, 60));
    TraceRequest request;
    DSBENCH_TRY(request.at, instant(object));
    DSBENCH_TRY(const double input, number(object, options_.input_label));
    DSBENCH_TRY(request.input_tokens, to_tokens(input, options_.input_label));
    DSBENCH_TRY(const double output, number(object, options_.output_label));
    DSBENCH_TRY(request.output_tokens, to_tokens(output, options_.output_label));
    if (const Json* hashes = find(object, options_.hashes_label))
      DSBENCH_CHECK(read_hashes(*hashes, options_.hashes_label, request.prefix_hashes));
    request.session = id_text(find(object, "session_id"));
    request.tenant = id_text(find(object, "model"));
    if (format_ == TraceFormat::bailian) {
      request.id = id_text(find(object, "chat_id"));
      request.parent = id_text(find(object, "parent_chat_id"));
      if (request.parent == "-1") request.parent.clear();
      request.tenant = id_text(find(object, "type"));
    }
    sink(request);
    return {};
  }

 private:
  // A number of the source's clock, or a time of the calendar.
  [[nodiscard]] Result<Nanos> instant(const Json& object) const {
    const Json* value = find(object, options_.timestamp_label);
    if (value != nullptr && value->is_string()) {
      const auto& text = value->get_ref<const std::string&>();
      if (const auto at = parse_utc(text)) return *at;
      if (!parse_number(text)) {
        return fail(ErrorKind::usage,
                    "'{}' is '{}'; accepted: a number, or a time as in 2024-05-10T00:00:00Z",
                    options_.timestamp_label, text.substr(0, 40));
      }
    }
    DSBENCH_TRY(const double at, number(object, options_.timestamp_label));
    return to_instant(at, options_.seconds_per_unit);
  }

  TraceFormat format_;
  ReaderOptions options_;
};

}  // namespace

std::unique_ptr<TraceReader> make_json_lines_reader(TraceFormat format, const ReaderOptions& options) {
  return std::make_unique<JsonLinesReader>(format, options);
}

}  // namespace dsbench::loadgen
