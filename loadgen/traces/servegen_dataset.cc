#include "loadgen/traces/servegen_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <streambuf>
#include <string>
#include <utility>
#include <vector>

#include "loadgen/traces/byte_source.h"
#include "loadgen/traces/field_parsers.h"

namespace dsbench::loadgen {
namespace {

using Json = nlohmann::json;

// A ByteSource as what the JSON library reads from. To it an error is an end; we know better.
class Stream : public std::streambuf {
 public:
  explicit Stream(ByteSource bytes) : bytes_{std::move(bytes)}, chunk_(std::size_t{1} << 18) {}
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 protected:
  int_type underflow() override {
    auto got = bytes_.read(chunk_.data(), chunk_.size());
    if (!got) error_ = std::move(got.error());
    if (!got || *got == 0) return traits_type::eof();
    setg(chunk_.data(), chunk_.data(), chunk_.data() + *got);
    return traits_type::to_int_type(chunk_.front());
  }

 private:
  ByteSource bytes_;
  std::vector<char> chunk_;
  std::optional<Error> error_;
};

// {"start": {"input_tokens": "{45: 0.0097, …}", …}, …}: a window's distributions are Python dicts in a
// string, or objects. Names that we do not know may hold anything.
class Reader : public nlohmann::json_sax<Json> {
 public:
  explicit Reader(std::string file) : file_{std::move(file)} {}
  [[nodiscard]] Result<std::vector<ServeGenLengths>> take() && {
    if (error_) return tl::unexpected{std::move(*error_)};
    std::stable_sort(all_.begin(), all_.end(),
                     [](const auto& a, const auto& b) { return a.start_s < b.start_s; });
    return std::move(all_);
  }

  bool null() override {
    if (depth_ < depth_of_entries) return scalar("null");
    return depth_ == depth_of_entries || in_table("null");  // as if its name were not there
  }
  bool boolean(bool value) override { return scalar_or_weight(value ? "true" : "false", std::nullopt); }
  bool number_integer(std::int64_t value) override {
    return scalar_or_weight("a number", static_cast<double>(value));
  }
  bool number_unsigned(std::uint64_t value) override {
    return scalar_or_weight("a number", static_cast<double>(value));
  }
  bool number_float(double value, const std::string& /*text*/) override {
    return scalar_or_weight("a number", value);
  }
  bool binary(binary_t& /*bytes*/) override { return scalar("bytes"); }
  bool string(std::string& text) override {
    if (depth_ == depth_of_entries && wanted()) {
      auto table = ValueTable::parse(text);
      if (!table) table = fail(ErrorKind::usage, "{}: {}", names[slot_][rank_], table.error().message);
      keep(std::move(table));
      return true;
    }
    return depth_ <= depth_of_entries ? scalar("a string") : in_table("a string");
  }

  bool start_object(std::size_t /*size*/) override {
    ++depth_;
    if (depth_ == 1) return true;
    if (depth_ == depth_of_entries) {
      const auto at = parse_number(key_);
      if (!at) return no_start();
      start_ = key_;
      start_s_ = *at;
      entries_ = {};
      return true;
    }
    if (depth_ == depth_of_tables && wanted()) {
      in_table_ = true;
      weighted_.clear();
      wrong_.clear();
      return true;
    }
    return depth_ > depth_of_tables ? in_table("an object") : true;
  }
  bool end_object() override {
    if (depth_ == depth_of_entries) {
      if (!end_window()) return false;
    } else if (depth_ == depth_of_tables && in_table_) {
      in_table_ = false;
      if (wrong_.empty())
        keep(ValueTable::of(std::move(weighted_)));
      else
        keep(fail(ErrorKind::usage, "{}: no distribution: {}", names[slot_][rank_], wrong_));
      weighted_ = {};
    }
    --depth_;
    return true;
  }
  bool start_array(std::size_t /*size*/) override {
    if (depth_ == 0) return no_object();
    if (depth_ == 1) return no_start();
    ++depth_;
    if (depth_ == depth_of_tables && wanted())
      keep(fail(ErrorKind::usage, "{} is no distribution but a list", names[slot_][rank_]));
    return depth_ > depth_of_tables ? in_table("a list") : true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(std::string& name) override {
    key_ = std::move(name);
    if (depth_ == depth_of_entries) find_slot();
    return true;
  }
  bool parse_error(std::size_t byte, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 9: …"
    std::string what = error.what();
    if (const auto at = what.find(" at line "); at != std::string::npos) what.erase(0, at + 4);
    error_ =
        Error{ErrorKind::usage, fmt::format("'{}' is no JSON, or not whole: byte {}, {}", file_, byte, what)};
    return false;
  }

 private:
  static constexpr int depth_of_entries = 2, depth_of_tables = 3;
  static constexpr std::size_t slots = 3, ranks = 3;
  // What a distribution may be called, the name that counts first.
  static constexpr std::array<std::array<const char*, ranks>, slots> names{
      {{"input_tokens", "text_tokens", "input_length"},
       {"output_tokens", "output_length", ""},
       {"reason_ratio", "", ""}}};

  struct Entry {
    std::size_t rank = ranks;
    Result<ValueTable> table = ValueTable{};
  };

  void find_slot() {
    slot_ = slots;
    for (std::size_t s = 0; s < slots; ++s) {
      for (std::size_t r = 0; r < ranks; ++r) {
        if (key_ == names[s][r]) slot_ = s, rank_ = r;
      }
    }
  }
  [[nodiscard]] bool wanted() const { return slot_ < slots && rank_ <= entries_[slot_].rank; }
  void keep(Result<ValueTable> table) { entries_[slot_] = {rank_, std::move(table)}; }

  bool scalar(const char* what) {
    if (depth_ == 0) return no_object();
    if (depth_ == 1) return no_start();
    if (wanted()) keep(fail(ErrorKind::usage, "{} is no distribution but {}", names[slot_][rank_], what));
    return true;
  }
  bool in_table(const char* what) {
    if (in_table_ && wrong_.empty()) wrong_ = fmt::format("the weight of '{}' is {}", key_, what);
    return true;
  }
  bool scalar_or_weight(const char* what, std::optional<double> weight) {
    if (depth_ <= depth_of_entries) return scalar(what);
    if (!in_table_ || depth_ > depth_of_tables || !weight) return in_table(what);
    const auto value = parse_number(key_);
    if (value && *value >= 0 && *weight >= 0)
      weighted_.emplace_back(*value, *weight);
    else if (wrong_.empty())
      wrong_ = fmt::format("'{}' has the weight {}; accepted: numbers from 0", key_, *weight);
    return true;
  }

  bool end_window() {
    for (const Entry& entry : entries_) {
      if (!entry.table) {
        error_ = Error{ErrorKind::usage,
                       fmt::format("'{}': window {}: {}", file_, start_, entry.table.error().message)};
        return false;
      }
    }
    if (entries_[0].table->empty() || entries_[1].table->empty()) return true;
    all_.push_back({start_s_, std::move(*entries_[0].table), std::move(*entries_[1].table),
                    std::move(*entries_[2].table)});
    return true;
  }
  bool no_object() {
    error_ = Error{ErrorKind::usage, fmt::format("'{}' holds no JSON object", file_)};
    return false;
  }
  bool no_start() {
    error_ =
        Error{ErrorKind::usage,
              fmt::format("'{}': '{}' is no start of a window in seconds with its lengths", file_, key_)};
    return false;
  }

  std::string file_;
  int depth_ = 0;
  std::string key_, start_;
  double start_s_ = 0;
  std::array<Entry, slots> entries_;
  std::size_t slot_ = slots, rank_ = 0;
  bool in_table_ = false;
  std::vector<std::pair<double, double>> weighted_;
  std::string wrong_;  // of the table
  std::vector<ServeGenLengths> all_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::vector<ServeGenLengths>> read_servegen_dataset(const std::filesystem::path& path) {
  DSBENCH_TRY(ByteSource bytes, ByteSource::open(path));
  Stream buffer{std::move(bytes)};
  std::istream stream{&buffer};
  Reader reader{path.string()};
  (void)Json::sax_parse(stream, &reader);
  if (buffer.error()) return tl::unexpected{*buffer.error()};
  return std::move(reader).take();
}

}  // namespace dsbench::loadgen
