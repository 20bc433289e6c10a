#include "results/run_file.h"

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "results/rebuild.h"
#include "results/run_json.h"

namespace dsbench::results {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view schema_kind = "dsbench.run/";

class Printer {
 public:
  explicit Printer(Json& json) : json_{json} {}

  template <class T>
  void value(const char* key, const T& field) {
    json_[key] = field;
  }
  template <class T>
  void value(const char* key, const std::optional<T>& field) {
    json_[key] = field ? Json(*field) : Json(nullptr);
  }
  void known(const char* key, Validity field) {
    json_[key] = field == Validity::unknown ? Json(nullptr) : Json(field == Validity::valid);
  }
  void ns(const char* key, Nanos field) { json_[key] = field.count(); }
  void ns(const char* key, const std::optional<Nanos>& field) {
    json_[key] = field ? Json(field->count()) : Json(nullptr);
  }
  void rps(const char* key, Rate field) { json_[key] = field.per_second(); }
  void rps(const char* key, const std::optional<Rate>& field) {
    json_[key] = field ? Json(field->per_second()) : Json(nullptr);
  }
  template <class Enum>
  void word(const char* key, Enum field) {
    json_[key] = std::string{to_word(field)};
  }
  template <class Enum>
  void required_word(const char* key, Enum field) {
    word(key, field);
  }
  void texts(const char* key, const std::vector<std::string>& field) { json_[key] = field; }
  void pairs(const char* key, const std::vector<std::pair<std::string, std::string>>& field) {
    Json& object = json_[key] = Json::object();
    for (const auto& [name, text] : field) object[name] = text;
  }
  // Only what happened: a list of twenty zeros hides the one that matters.
  void by_reason(const char* key, const std::array<std::int64_t, reason_count>& field) {
    Json& object = json_[key] = Json::object();
    for (std::size_t i = 0; i < field.size(); ++i) {
      if (field[i] != 0) object[std::string{to_word(static_cast<Reason>(i))}] = field[i];
    }
  }
  void json(const char* key, const std::string& text) {
    Json parsed = Json::parse(text, nullptr, false);
    json_[key] = parsed.is_object() ? std::move(parsed) : Json(text);
  }
  template <class T, class F>
  void object(const char* key, const T& field, F describe) {
    Json inner = Json::object();
    Printer printer{inner};
    describe(printer, field);
    json_[key] = std::move(inner);
  }
  template <class T, class F>
  void required_object(const char* key, const T& field, F describe) {
    object(key, field, describe);
  }
  template <class T, class F>
  void optional_object(const char* key, const std::optional<T>& field, F describe) {
    if (field)
      object(key, *field, describe);
    else
      json_[key] = nullptr;
  }
  template <class T, class F>
  void objects(const char* key, const std::vector<T>& field, F describe) {
    Json list = Json::array();
    for (const auto& one : field) {
      Json inner = Json::object();
      Printer printer{inner};
      describe(printer, one);
      list.push_back(std::move(inner));
    }
    json_[key] = std::move(list);
  }

 private:
  Json& json_;
};

// Reads what is there and keeps the first complaint.
class Reader {
 public:
  Reader(const Json& json, std::string path, std::string& complaint)
      : json_{json}, path_{std::move(path)}, complaint_{complaint} {}

  void value(const char* key, bool& field) {
    if (const Json* v = find(key)) {
      if (v->is_boolean())
        field = v->get<bool>();
      else
        expected(key, "true or false", *v);
    }
  }
  void known(const char* key, Validity& field) {
    if (const Json* v = find(key)) {
      if (v->is_boolean())
        field = validity_by(v->get<bool>());
      else if (v->is_null())
        field = Validity::unknown;
      else
        expected(key, "true, false or null", *v);
    }
  }
  template <std::integral T>
  void value(const char* key, T& field) {
    const Json* v = find(key);
    if (!v) return;
    const bool fits = v->is_number_unsigned()  ? std::in_range<T>(v->get<std::uint64_t>())
                      : v->is_number_integer() ? std::in_range<T>(v->get<std::int64_t>())
                                               : false;
    if (fits)
      field = v->get<T>();
    else
      expected(key, "a whole number in range", *v);
  }
  void value(const char* key, double& field) {
    if (const Json* v = find(key)) {
      if (v->is_number())
        field = v->get<double>();
      else
        expected(key, "a number", *v);
    }
  }
  void value(const char* key, std::optional<double>& field) {
    read_optional(key, field, [this](const char* k, double& d) { value(k, d); });
  }
  void value(const char* key, std::optional<std::int64_t>& field) {
    read_optional(key, field, [this](const char* k, std::int64_t& n) { value(k, n); });
  }
  void value(const char* key, std::string& field) {
    if (const Json* v = find(key)) {
      if (v->is_string())
        field = v->get<std::string>();
      else
        expected(key, "a string", *v);
    }
  }
  void ns(const char* key, Nanos& field) {
    std::int64_t count = field.count();
    value(key, count);
    field = Nanos{count};
  }
  void ns(const char* key, std::optional<Nanos>& field) {
    read_optional(key, field, [this](const char* k, Nanos& t) { ns(k, t); });
  }
  void rps(const char* key, Rate& field) {
    double per_second = field.per_second();
    value(key, per_second);
    field = Rate::per_second(per_second);
  }
  void rps(const char* key, std::optional<Rate>& field) {
    read_optional(key, field, [this](const char* k, Rate& r) { rps(k, r); });
  }
  template <class Enum>
  void word(const char* key, Enum& field) {
    const Json* v = find(key);
    if (!v) return;
    std::string accepted;
    for (int i = 0; i < enum_size(Enum{}); ++i) {
      const auto candidate = static_cast<Enum>(i);
      const std::string_view word = to_word(candidate);
      if (v->is_string() && v->get_ref<const std::string&>() == word) {
        field = candidate;
        return;
      }
      accepted += fmt::format("{}'{}'", accepted.empty() ? "" : ", ", word);
    }
    expected(key, fmt::format("one of {}", accepted), *v);
  }
  template <class Enum>
  void required_word(const char* key, Enum& field) {
    if (find(key))
      word(key, field);
    else
      missing(key);
  }
  void texts(const char* key, std::vector<std::string>& field) {
    const Json* v = find(key);
    if (!v) return;
    if (!v->is_array()) return expected(key, "a list of strings", *v);
    field.clear();
    for (const auto& one : *v) {
      if (!one.is_string()) return expected(key, "a list of strings", one);
      field.push_back(one.get<std::string>());
    }
  }
  void pairs(const char* key, std::vector<std::pair<std::string, std::string>>& field) {
    const Json* v = find(key);
    if (!v) return;
    if (!v->is_object()) return expected(key, "an object of strings", *v);
    field.clear();
    for (const auto& [name, text] : v->items()) {
      if (!text.is_string()) return expected(key, "an object of strings", text);
      field.emplace_back(name, text.get<std::string>());
    }
  }
  void by_reason(const char* key, std::array<std::int64_t, reason_count>& field) {
    field.fill(0);
    const Json* v = find(key);
    if (!v) return;
    if (!v->is_object()) return expected(key, "an object of counts", *v);
    Reader inner{*v, path_of(key), complaint_};
    for (std::size_t i = 0; i < field.size(); ++i) {
      inner.value(std::string{to_word(static_cast<Reason>(i))}.c_str(), field[i]);
    }
  }
  void json(const char* key, std::string& field) {
    if (const Json* v = find(key)) field = v->is_string() ? v->get<std::string>() : v->dump();
  }
  template <class T, class F>
  void object(const char* key, T& field, F describe) {
    const Json* v = find(key);
    if (!v) return;
    if (!v->is_object()) return expected(key, "an object", *v);
    Reader inner{*v, path_of(key), complaint_};
    describe(inner, field);
  }
  template <class T, class F>
  void required_object(const char* key, T& field, F describe) {
    if (find(key))
      object(key, field, describe);
    else
      missing(key);
  }
  template <class T, class F>
  void optional_object(const char* key, std::optional<T>& field, F describe) {
    field.reset();
    if (const Json* v = find(key); v && !v->is_null()) object(key, field.emplace(), describe);
  }
  template <class T, class F>
  void objects(const char* key, std::vector<T>& field, F describe) {
    const Json* v = find(key);
    if (!v) return;
    if (!v->is_array()) return expected(key, "a list of objects", *v);
    field.clear();
    std::size_t i = 0;
    for (const auto& one : *v) {
      const std::string path = fmt::format("{}[{}]", path_of(key), i++);
      if (!one.is_object()) return complain(path, "a list of objects", one);
      Reader inner{one, path, complaint_};
      describe(inner, field.emplace_back());
    }
  }

 private:
  static constexpr int enum_size(FaultKind) { return 2; }
  static constexpr int enum_size(StageKind) { return 7; }
  static constexpr int enum_size(StepVerdict) { return 3; }
  static constexpr int enum_size(CollapseVerdict) { return 4; }
  static constexpr int enum_size(RecoveryVerdict) { return 4; }
  static constexpr int enum_size(Verdict) { return 5; }

  [[nodiscard]] const Json* find(const char* key) const {
    const auto place = json_.find(key);
    return place == json_.end() ? nullptr : &*place;
  }
  [[nodiscard]] std::string path_of(const char* key) const {
    return path_.empty() ? std::string{key} : fmt::format("{}.{}", path_, key);
  }
  void expected(const char* key, std::string_view what, const Json& found) {
    complain(path_of(key), what, found);
  }
  void complain(const std::string& path, std::string_view what, const Json& found) {
    if (complaint_.empty())
      complaint_ = fmt::format("{}: expected {}, found {}", path, what, found.type_name());
  }
  void missing(const char* key) {
    if (complaint_.empty()) complaint_ = fmt::format("{}: this key is missing", path_of(key));
  }
  template <class T, class F>
  void read_optional(const char* key, std::optional<T>& field, F read) {
    field.reset();
    const Json* v = find(key);
    if (!v || v->is_null()) return;
    T inner{};
    read(key, inner);
    field = inner;
  }

  const Json& json_;
  std::string path_;
  std::string& complaint_;
};

Result<void> check_schema(const Json& json, std::string_view source) {
  const auto schema = json.find("schema");
  const std::string text =
      schema != json.end() && schema->is_string() ? schema->get<std::string>() : std::string{"none"};
  int major = 0;
  bool read = text.starts_with(schema_kind);
  if (read) {
    const std::string_view number = std::string_view{text}.substr(schema_kind.size());
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), major);
    read = error == std::errc{} && end == number.data() + number.size() && major > 0;
  }
  if (!read) {
    return fail(ErrorKind::usage, "cannot read '{}' as a run: its schema is '{}', expected '{}{}'", source,
                text, schema_kind, run_schema_major);
  }
  if (major > run_schema_major) {
    return fail(ErrorKind::usage,
                "cannot read '{}': its schema is '{}', this dsbench reads up to '{}{}'; use a newer dsbench",
                source, text, schema_kind, run_schema_major);
  }
  return {};
}

}  // namespace

std::string print_run(const RunSummary& run) {
  Json json = Json::object();
  json["schema"] = fmt::format("{}{}", schema_kind, run_schema_major);
  Printer printer{json};
  describe_run(printer, run);
  // Bytes that are no UTF-8 (from a server's or the user's text) become U+FFFD rather than an exception.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<RunSummary> parse_run(std::string_view text, std::string_view source) {
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    return fail(ErrorKind::usage, "cannot read '{}' as a run: it is not JSON (byte {})", source, error.byte);
  } catch (const Json::exception&) {
    return fail(ErrorKind::usage, "cannot read '{}' as a run: it has a number that no double can hold",
                source);
  }
  if (!json.is_object()) {
    return fail(ErrorKind::usage, "cannot read '{}' as a run: found a JSON {}, expected an object", source,
                json.type_name());
  }
  DSBENCH_CHECK(check_schema(json, source));
  RunSummary run;
  std::string complaint;
  Reader reader{json, "", complaint};
  describe_run(reader, run);
  if (!complaint.empty()) return fail(ErrorKind::usage, "cannot read '{}' as a run: {}", source, complaint);
  // Those that an earlier dsbench made say "valid", which nobody knows.
  if (run.validity == Validity::valid && was_rebuilt(run)) run.validity = Validity::unknown;
  return run;
}

Result<void> write_run(const std::filesystem::path& path, const RunSummary& run) {
  return write_file_atomically(path, print_run(run));
}

Result<RunSummary> read_run(const std::filesystem::path& path) {
  DSBENCH_TRY(const std::string text, read_file(path));
  return parse_run(text, path.string());
}

}  // namespace dsbench::results
