#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "core/text.h"
#include "loadgen/traces/field_parsers.h"
#include "loadgen/traces/trace_reader.h"

// Azure's and BurstGPT's tables. Columns are found by the names in the header, in any order and any case.
namespace dsbench::loadgen {
namespace {

constexpr std::size_t none = static_cast<std::size_t>(-1);

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

class CsvReader : public TraceReader {
 public:
  explicit CsvReader(std::vector<std::string_view> required, std::vector<std::string_view> optional)
      : required_{std::move(required)}, optional_{std::move(optional)} {
    columns_.assign(required_.size() + optional_.size(), none);
  }

  Result<void> read(std::string_view record, const TraceSink& sink) final {
    if (has_names_ && record == header_) {  // parts that were put one after the other
      ++headers_;
      return {};
    }
    if (header_.empty()) delimiter_ = delimiter_of(record);
    split_csv(record, fields_, delimiter_);
    if (header_.empty()) {
      header_ = record;
      DSBENCH_TRY(has_names_, read_header());
      if (has_names_) {
        ++headers_;
        return {};
      }
    }
    std::size_t needed = 0;
    for (std::size_t i = 0; i < required_.size(); ++i) needed = std::max(needed, columns_[i] + 1);
    if (fields_.size() < needed)
      return fail(ErrorKind::usage, "{} fields, expected {}", fields_.size(), needed);
    return row(sink);
  }

  [[nodiscard]] std::uint64_t headers() const final { return headers_; }

 protected:
  // The field of the n-th column (required ones first); empty when the table has none.
  [[nodiscard]] std::string_view field(std::size_t n) const {
    return columns_[n] < fields_.size() ? fields_[columns_[n]] : std::string_view{};
  }
  virtual Result<void> row(const TraceSink& sink) = 0;
  // Whether a first line is data already, in the usual order of columns.
  [[nodiscard]] virtual bool is_data(const std::vector<std::string_view>& fields) const = 0;

 private:
  Result<bool> read_header() {
    std::vector<std::string> names;
    for (const std::string_view name : fields_) names.push_back(lower(name));
    const auto place = [&](std::string_view name) {
      const auto it = std::find(names.begin(), names.end(), name);
      return it == names.end() ? none : static_cast<std::size_t>(it - names.begin());
    };
    std::string missing;
    for (std::size_t i = 0; i < required_.size(); ++i) {
      columns_[i] = place(lower(required_[i]));
      if (columns_[i] == none && missing.empty()) missing = required_[i];
    }
    for (std::size_t i = 0; i < optional_.size(); ++i)
      columns_[required_.size() + i] = place(lower(optional_[i]));
    if (missing.empty()) return true;
    if (is_data(fields_)) {
      for (std::size_t i = 0; i < columns_.size(); ++i) columns_[i] = i < required_.size() ? i : none;
      return false;
    }
    for (std::size_t i = 0; i < required_.size(); ++i) columns_[i] = i;
    return fail(ErrorKind::usage, "no column '{}' in the header '{}'; needed: {}", missing,
                header_.substr(0, 120), join(required_));
  }

  std::vector<std::string_view> required_, optional_;
  std::vector<std::size_t> columns_;
  std::vector<std::string_view> fields_;
  std::string header_;
  bool has_names_ = false;
  std::uint64_t headers_ = 0;
  char delimiter_ = ',';
};

class AzureReader final : public CsvReader {
 public:
  AzureReader() : CsvReader({"TIMESTAMP", "ContextTokens", "GeneratedTokens"}, {}) {}

 private:
  [[nodiscard]] bool is_data(const std::vector<std::string_view>& fields) const override {
    return fields.size() == 3 && parse_utc(fields[0]) && parse_number(fields[1]) && parse_number(fields[2]);
  }
  Result<void> row(const TraceSink& sink) override {
    const auto at = parse_utc(field(0));
    if (!at) {
      return fail(ErrorKind::usage, "TIMESTAMP is '{}'; accepted: as in 2023-11-16 18:15:46.6805900",
                  field(0).substr(0, 40));
    }
    request_.at = *at;
    DSBENCH_TRY(request_.input_tokens, parse_tokens(field(1), "ContextTokens"));
    DSBENCH_TRY(request_.output_tokens, parse_tokens(field(2), "GeneratedTokens"));
    sink(request_);
    return {};
  }
  TraceRequest request_;
};

class BurstGptReader final : public CsvReader {
 public:
  BurstGptReader()
      : CsvReader({"Timestamp", "Request tokens", "Response tokens"}, {"Session ID", "Model", "Log Type"}) {}

 private:
  [[nodiscard]] bool is_data(const std::vector<std::string_view>&) const override { return false; }
  Result<void> row(const TraceSink& sink) override {
    const auto at = parse_number(field(0));
    if (!at) {
      return fail(ErrorKind::usage, "Timestamp is '{}'; accepted: a number of seconds",
                  field(0).substr(0, 40));
    }
    DSBENCH_TRY(request_.at, to_instant(*at, 1));
    DSBENCH_TRY(request_.input_tokens, parse_tokens(field(1), "Request tokens"));
    DSBENCH_TRY(request_.output_tokens, parse_tokens(field(2), "Response tokens"));
    request_.failed = request_.output_tokens == 0;
    request_.session = field(3);
    request_.tenant = field(4);
    if (const std::string_view log = field(5); !log.empty()) {
      if (!request_.tenant.empty()) request_.tenant += '/';
      request_.tenant += log;
    }
    sink(request_);
    return {};
  }
  TraceRequest request_;
};

}  // namespace

std::unique_ptr<TraceReader> make_azure_reader() {
  return std::make_unique<AzureReader>();
}
std::unique_ptr<TraceReader> make_burstgpt_reader() {
  return std::make_unique<BurstGptReader>();
}

}  // namespace dsbench::loadgen
