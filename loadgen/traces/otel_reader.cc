#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "loadgen/traces/field_parsers.h"
#include "loadgen/traces/trace_reader.h"

// OpenTelemetry spans of generative AI: OTLP in JSON (resourceSpans, or bare spans), or what the SDKs print
// to a console; and the same spans as Jaeger ({"data": [{"spans": …}]}) and Zipkin give them out, whose
// attributes are called tags and whose times are microseconds. The conventions changed names; we accept the
// old and the new.
namespace dsbench::loadgen {
namespace {

using Json = nlohmann::json;

const Json* member(const Json& object, std::initializer_list<const char*> keys) {
  if (!object.is_object()) return nullptr;
  for (const char* key : keys) {
    const auto it = object.find(key);
    if (it != object.end() && !it->is_null()) return &*it;
  }
  return nullptr;
}

// The attributes of a span: OTLP's array of {key, value: {intValue: "12"}}, or a plain object.
class Attributes {
 public:
  explicit Attributes(const Json* json) : json_{json} {}

  [[nodiscard]] const Json* find(std::initializer_list<const char*> keys) const {
    if (json_ == nullptr) return nullptr;
    if (json_->is_object()) return unwrap(member(*json_, keys));
    if (!json_->is_array()) return nullptr;
    for (const char* key : keys) {
      for (const Json& entry : *json_) {
        const Json* name = member(entry, {"key"});
        if (name != nullptr && name->is_string() && name->get_ref<const std::string&>() == key)
          return unwrap(member(entry, {"value"}));
      }
    }
    return nullptr;
  }
  // Whether any key begins so.
  [[nodiscard]] bool mentions(std::string_view prefix) const {
    if (json_ == nullptr) return false;
    if (json_->is_object()) {
      return std::any_of(json_->items().begin(), json_->items().end(),
                         [&](const auto& item) { return item.key().starts_with(prefix); });
    }
    if (!json_->is_array()) return false;
    return std::any_of(json_->begin(), json_->end(), [&](const Json& entry) {
      const Json* name = member(entry, {"key"});
      return name != nullptr && name->is_string() && name->get_ref<const std::string&>().starts_with(prefix);
    });
  }

 private:
  static const Json* unwrap(const Json* value) {
    const Json* inner = value == nullptr
                            ? nullptr
                            : member(*value, {"intValue", "stringValue", "doubleValue", "boolValue",
                                              "int_value", "string_value", "double_value", "bool_value"});
    return inner != nullptr ? inner : value;
  }
  const Json* json_;
};

std::string text_of(const Json* value) {
  if (value == nullptr) return "";
  return value->is_string() ? value->get<std::string>() : value->dump();
}

// Protobuf's JSON writes 64-bit numbers as strings.
Result<std::optional<std::int32_t>> tokens_of(const Attributes& attributes,
                                              std::initializer_list<const char*> keys) {
  const Json* value = attributes.find(keys);
  if (value == nullptr) return std::optional<std::int32_t>{};
  const auto tokens = value->is_number() ? to_tokens(value->get<double>(), *keys.begin())
                                         : parse_tokens(text_of(value), *keys.begin());
  if (!tokens) return tl::unexpected(tokens.error());
  return std::optional<std::int32_t>{*tokens};
}

Result<Nanos> start_of(const Json& span) {
  const Json* value =
      member(span, {"startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "timestamp"});
  if (value == nullptr) return fail(ErrorKind::usage, "a span without startTimeUnixNano");
  if (value->is_number_integer()) {
    // Jaeger's and Zipkin's spans have tags.
    if (span.contains("tags")) return to_instant(value->get<double>(), 1e-6);
    return Nanos{value->get<std::int64_t>()};
  }
  const std::string text = text_of(value);
  if (!text.empty() && text.size() < 20 && text.find_first_not_of("0123456789") == std::string::npos) {
    std::int64_t ns = 0;
    for (const char c : text) ns = ns * 10 + (c - '0');
    return Nanos{ns};
  }
  if (const auto at = parse_utc(text)) return *at;
  return fail(ErrorKind::usage,
              "a span begins at '{}'; accepted: nanoseconds since 1970, or 2024-05-10T00:00:00Z",
              text.substr(0, 40));
}

class OtelReader final : public TraceReader {
 public:
  Result<void> read(std::string_view record, const TraceSink& sink) override {
    const Json root = Json::parse(record, nullptr, false);
    if (root.is_discarded()) return fail(ErrorKind::usage, "no JSON: '{}'", record.substr(0, 60));
    std::vector<TraceRequest> requests;
    std::uint64_t others = 0;
    DSBENCH_CHECK(walk(root, requests, others));
    skipped_ += others;
    for (const TraceRequest& request : requests) sink(request);
    return {};
  }
  [[nodiscard]] std::uint64_t skipped() const override { return skipped_; }

 private:
  // Down to the spans, wherever they lie.
  static Result<void> walk(const Json& json, std::vector<TraceRequest>& requests, std::uint64_t& others) {
    if (json.is_array()) {
      for (const Json& entry : json) DSBENCH_CHECK(walk(entry, requests, others));
      return {};
    }
    const Json* inner = member(json, {"resourceSpans", "resource_spans", "scopeSpans", "scope_spans",
                                      "instrumentationLibrarySpans", "spans", "data"});
    if (inner != nullptr) return walk(*inner, requests, others);
    return read_span(json, requests, others);
  }

  static Result<void> read_span(const Json& span, std::vector<TraceRequest>& requests,
                                std::uint64_t& others) {
    if (!span.is_object()) return fail(ErrorKind::usage, "no span: '{}'", span.dump().substr(0, 60));
    const Attributes attributes{member(span, {"attributes", "tags"})};
    // An agent's span holds the sum of its calls, which have spans of their own.
    const std::string operation = text_of(attributes.find({"gen_ai.operation.name"}));
    const bool inference = operation.empty() || operation == "chat" || operation == "text_completion" ||
                           operation == "completion" || operation == "generate_content";
    if (!inference || !(attributes.mentions("gen_ai.") || attributes.mentions("llm."))) {
      ++others;
      return {};
    }
    TraceRequest request;
    DSBENCH_TRY(const auto input,
                tokens_of(attributes, {"gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens",
                                       "llm.usage.prompt_tokens", "llm.token_count.prompt"}));
    DSBENCH_TRY(const auto output,
                tokens_of(attributes, {"gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
                                       "llm.usage.completion_tokens", "llm.token_count.completion"}));
    if (!input && !output) {
      ++others;
      return {};
    }
    DSBENCH_TRY(request.at, start_of(span));
    request.input_tokens = input.value_or(0);
    request.output_tokens = output.value_or(0);
    DSBENCH_TRY(
        const auto reasoning,
        tokens_of(attributes, {"gen_ai.usage.reasoning_tokens", "gen_ai.usage.reasoning.output_tokens",
                               "gen_ai.usage.details.reasoning_tokens", "llm.usage.reasoning_tokens"}));
    if (reasoning && request.output_tokens > 0)
      request.reasoning_share = std::min(1.0, static_cast<double>(*reasoning) / request.output_tokens);
    request.tenant =
        text_of(attributes.find({"gen_ai.request.model", "gen_ai.response.model", "llm.model_name"}));
    request.session = text_of(attributes.find({"gen_ai.conversation.id", "session.id"}));
    const Json* status = member(span, {"status"});
    const std::string code = status == nullptr ? "" : text_of(member(*status, {"code", "status_code"}));
    const std::string tag = text_of(attributes.find({"otel.status_code", "error"}));
    request.failed = code == "2" || code == "ERROR" || code == "STATUS_CODE_ERROR" || tag == "ERROR" ||
                     tag == "true" || !output;
    requests.push_back(std::move(request));
    return {};
  }

  std::uint64_t skipped_ = 0;
};

}  // namespace

std::unique_ptr<TraceReader> make_otel_reader() {
  return std::make_unique<OtelReader>();
}

std::unique_ptr<TraceReader> make_reader(TraceFormat format, const ReaderOptions& options) {
  switch (format) {
    case TraceFormat::azure:
      return make_azure_reader();
    case TraceFormat::burstgpt:
      return make_burstgpt_reader();
    case TraceFormat::sharegpt:
      return make_sharegpt_reader();
    case TraceFormat::otel:
      return make_otel_reader();
    case TraceFormat::mooncake:
    case TraceFormat::bailian:
    case TraceFormat::vllm:
    case TraceFormat::servegen:
    case TraceFormat::records:
      break;
  }
  return make_json_lines_reader(format, options);
}

}  // namespace dsbench::loadgen
