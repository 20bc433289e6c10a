#include "profiles/fault.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "core/text.h"

namespace dsbench::profiles {
namespace {

// A key with the place of its value. Values are read and printed by their type.
struct Key {
  std::string_view name;
  Nanos Fault::*time = nullptr;
  std::optional<Nanos> Fault::*optional_time = nullptr;
  std::int32_t Fault::*count = nullptr;
  std::int64_t Fault::*rate = nullptr;
  double Fault::*fraction = nullptr;
  double low = 0, high = 0;  // of numbers
  bool open_low = false;     // low itself is not accepted
};

constexpr Key kShare{.name = "share", .fraction = &Fault::share, .low = 0, .high = 1};
constexpr Key kAfter{.name = "after", .count = &Fault::after, .low = 0, .high = 1e6};
constexpr Key kDelay{.name = "delay", .time = &Fault::delay};
constexpr Key kJitter{.name = "jitter", .time = &Fault::jitter};
constexpr Key kFor{.name = "for", .optional_time = &Fault::hold};
constexpr Key kStatus{.name = "status", .count = &Fault::status, .low = 400, .high = 599};
constexpr Key kRate{.name = "rate", .rate = &Fault::rate, .low = 1, .high = 1e9};
constexpr Key kLeft{.name = "left", .fraction = &Fault::left, .low = 0, .high = 1, .open_low = true};
constexpr Key kFactor{.name = "factor", .fraction = &Fault::factor, .low = 1, .high = 1000};

struct Row {
  FaultKind kind;
  std::string_view word;
  std::array<const Key*, 3> keys;  // null behind the last
  std::int32_t after;              // its default
  std::string_view meaning;
};

constexpr std::array<Row, fault_kinds> kRows{{
    {FaultKind::latency, "latency", {&kDelay, &kJitter, &kShare}, 0, "the answer begins so much later"},
    {FaultKind::stall,
     "stall",
     {&kAfter, &kFor, &kShare},
     1,
     "a stream stands still; without 'for' for ever"},
    {FaultKind::close,
     "close",
     {&kAfter, &kShare},
     0,
     "the connection closes after the 200 and so many tokens"},
    {FaultKind::error_frame, "error-frame", {&kAfter, &kShare}, 1, "a stream ends with an error event"},
    {FaultKind::truncate,
     "truncate",
     {&kAfter, &kShare},
     1,
     "a stream ends without finish_reason and [DONE]"},
    {FaultKind::refuse, "refuse", {&kStatus, &kShare}, 0, "a status instead of an answer"},
    {FaultKind::keep_alive_flood,
     "keep-alive-flood",
     {&kShare},
     0,
     "comments as fast as the client takes them"},
    {FaultKind::slow_reader,
     "slow-reader",
     {&kRate, &kShare},
     0,
     "request bodies are read at so many bytes a second"},
    {FaultKind::crash,
     "crash",
     {},
     0,
     "the engine loses everything and refuses until the fault is over; caches are cold then"},
    {FaultKind::cores, "cores", {&kLeft}, 0, "steps take 1/left as long"},
    {FaultKind::kv, "kv", {&kLeft}, 0, "so much of the KV blocks remains"},
    {FaultKind::hot_experts,
     "hot-experts",
     {&kFactor},
     0,
     "steps take 'factor' as long: one device has the experts that all want"},
}};

const Row& row_of(FaultKind kind) {
  return kRows[static_cast<std::size_t>(kind)];
}

Fault default_of(const Row& row) {
  Fault fault;
  fault.kind = row.kind;
  fault.after = row.after;
  return fault;
}

std::string words() {
  std::string text;
  for (const Row& row : kRows) {
    if (!text.empty()) text += ", ";
    text += row.word;
  }
  return text;
}

std::string print_value(const Fault& fault, const Key& key) {
  if (key.time != nullptr) return print_duration(fault.*key.time);
  if (key.optional_time != nullptr) {
    const auto& value = fault.*key.optional_time;
    return value ? print_duration(*value) : "ever";
  }
  if (key.count != nullptr) return fmt::format("{}", fault.*key.count);
  if (key.rate != nullptr) return fmt::format("{}", fault.*key.rate);
  return fmt::format("{:g}", fault.*key.fraction);
}

std::string keys_of(const Row& row) {
  const Fault fault = default_of(row);
  std::string text;
  for (const Key* key : row.keys) {
    if (key == nullptr) break;
    if (!text.empty()) text += ',';
    text += fmt::format("{}={}", key->name, print_value(fault, *key));
  }
  return text;
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Seconds where no unit is given.
Result<Nanos> read_time(std::string_view text) {
  if (const auto seconds = number_of(text); seconds && *seconds >= 0 && *seconds < 1e9)
    return Nanos{static_cast<std::int64_t>(*seconds * 1e9)};
  return parse_duration(text);
}

Result<void> read_value(std::string_view fault_text, const Key& key, std::string_view text, Fault& fault) {
  if (key.time != nullptr || key.optional_time != nullptr) {
    DSBENCH_TRY(const Nanos time, read_time(text));
    if (key.time != nullptr) {
      fault.*key.time = time;
    } else {
      fault.*key.optional_time = time;
    }
    return {};
  }
  const auto value = number_of(text);
  const bool whole = key.count != nullptr || key.rate != nullptr;
  const bool good = value && *value >= key.low && *value <= key.high &&
                    !(key.open_low && *value == key.low) &&
                    (!whole || *value == static_cast<double>(static_cast<std::int64_t>(*value)));
  if (!good) {
    return fail(ErrorKind::usage, "fault '{}': {} is '{}'; accepted: {} {} to {}", fault_text, key.name, text,
                whole          ? "a whole number from"
                : key.open_low ? "a number above"
                               : "a number from",
                key.low, key.high);
  }
  if (key.count != nullptr) {
    fault.*key.count = static_cast<std::int32_t>(*value);
  } else if (key.rate != nullptr) {
    fault.*key.rate = static_cast<std::int64_t>(*value);
  } else {
    fault.*key.fraction = *value;
  }
  return {};
}

Result<void> read_pair(std::string_view text, std::string_view pair, const Row& row, Fault& fault) {
  const std::size_t equals = pair.find('=');
  const std::string_view name = pair.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : pair.substr(equals + 1);
  if (name == "seed" && row.keys.front() != nullptr) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), fault.seed);
    if (error == std::errc{} && end == value.data() + value.size() && !value.empty()) return {};
    return fail(ErrorKind::usage, "fault '{}': seed is '{}'; accepted: a whole number from 0", text, value);
  }
  for (const Key* key : row.keys) {
    if (key != nullptr && key->name == name) return read_value(text, *key, value, fault);
  }
  const std::string keys = keys_of(row);
  return fail(ErrorKind::usage, "fault '{}': '{}' is no key of {}; accepted: {}", text, name, row.word,
              keys.empty() ? "none" : keys);
}

// Cuts off what stands behind `mark`.
std::optional<std::string_view> cut(std::string_view& text, char mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view behind = text.substr(at + 1);
  text = text.substr(0, at);
  return behind;
}

}  // namespace

std::string_view to_word(FaultKind kind) {
  return row_of(kind).word;
}

bool is_of_engine(FaultKind kind) {
  return kind == FaultKind::crash || kind == FaultKind::cores || kind == FaultKind::kv ||
         kind == FaultKind::hot_experts;
}

bool is_of_connection(FaultKind kind) {
  return kind == FaultKind::keep_alive_flood || kind == FaultKind::slow_reader;
}

Result<Fault> parse_fault(std::string_view text) {
  std::string_view rest = text;
  const auto duration = cut(rest, '+');
  const auto start = cut(rest, '@');
  const auto pairs = cut(rest, ':');
  const Row* row = nullptr;
  for (const Row& candidate : kRows) {
    if (candidate.word == rest) row = &candidate;
  }
  if (row == nullptr)
    return fail(ErrorKind::usage, "fault '{}': no fault is called '{}'; accepted: {}", text, rest, words());
  Fault fault = default_of(*row);
  if (start) {
    DSBENCH_TRY(fault.start, read_time(*start));
  }
  if (duration) {
    DSBENCH_TRY(fault.duration, read_time(*duration));
    if (*fault.duration <= Nanos{0})
      return fail(ErrorKind::usage, "fault '{}' lasts for no time; leave out '+…' for one without an end",
                  text);
  }
  if (pairs) {
    std::string_view left = *pairs;
    while (true) {
      const auto behind = cut(left, ',');
      DSBENCH_CHECK(read_pair(text, left, *row, fault));
      if (!behind) break;
      left = *behind;
    }
  }
  return fault;
}

std::string print_fault(const Fault& fault) {
  const Row& row = row_of(fault.kind);
  const Fault standard = default_of(row);
  std::string pairs;
  const auto pair = [&](std::string_view name, const std::string& value) {
    pairs += fmt::format("{}{}={}", pairs.empty() ? ':' : ',', name, value);
  };
  for (const Key* key : row.keys) {
    if (key == nullptr) break;
    if (const std::string value = print_value(fault, *key); value != print_value(standard, *key))
      pair(key->name, value);
  }
  if (fault.seed != standard.seed) pair("seed", fmt::format("{}", fault.seed));
  std::string text = fmt::format("{}{}", row.word, pairs);
  if (fault.start > Nanos{0}) text += fmt::format("@{}", print_duration(fault.start));
  if (fault.duration) text += fmt::format("+{}", print_duration(*fault.duration));
  return text;
}

std::string describe_faults() {
  std::string text;
  for (const Row& row : kRows) {
    const std::string keys = keys_of(row);
    text +=
        fmt::format("  {:<44} {}\n",
                    keys.empty() ? std::string{row.word} : fmt::format("{}:{}", row.word, keys), row.meaning);
  }
  return text;
}

}  // namespace dsbench::profiles
