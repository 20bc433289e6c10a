#include "cli/flags.h"

#include <fmt/format.h>

#include <charconv>

#include "core/result.h"
#include "core/text.h"

namespace dsbench::cli {
namespace {

template <class T>
T value_or_throw(const std::string& flag, Result<T> parsed) {
  if (!parsed) throw CLI::ValidationError(flag, parsed.error().message);
  return *parsed;
}

std::int32_t count_or_throw(const std::string& flag, const std::string& text, std::int32_t low,
                            std::int32_t high) {
  std::int32_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{} || end != text.data() + text.size() || n < low || n > high) {
    throw CLI::ValidationError(
        flag, fmt::format("'{}' is not accepted; give a whole number from {} to {}", text, low, high));
  }
  return n;
}

}  // namespace

CLI::Option* add_duration(CLI::App& app, const std::string& flag, Nanos& value, const std::string& help) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, &value](const std::string& text) { value = value_or_throw(flag, parse_duration(text)); },
          help)
      ->type_name("DURATION")
      ->default_str(print_duration(value));
}

CLI::Option* add_duration(CLI::App& app, const std::string& flag, std::optional<Nanos>& value,
                          const std::string& help, const std::string& absent) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, &value](const std::string& text) { value = value_or_throw(flag, parse_duration(text)); },
          help)
      ->type_name("DURATION")
      ->default_str(absent);
}

CLI::Option* add_rate(CLI::App& app, const std::string& flag, std::optional<Rate>& value,
                      const std::string& help, const std::string& absent) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, &value](const std::string& text) {
            const Rate rate = value_or_throw(flag, parse_rate(text));
            if (!(rate.per_second() > 0)) {
              throw CLI::ValidationError(flag,
                                         fmt::format("'{}' is not accepted; give a rate above 0", text));
            }
            value = rate;
          },
          help)
      ->type_name("RATE")
      ->default_str(absent);
}

CLI::Option* add_count(CLI::App& app, const std::string& flag, std::int32_t& value, std::int32_t low,
                       std::int32_t high, const std::string& help) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, &value, low, high](const std::string& text) {
            value = count_or_throw(flag, text, low, high);
          },
          help)
      ->type_name("N")
      ->default_str(std::to_string(value));
}

CLI::Option* add_count(CLI::App& app, const std::string& flag, std::optional<std::int32_t>& value,
                       std::int32_t low, std::int32_t high, const std::string& help,
                       const std::string& absent) {
  return app
      .add_option_function<std::string>(
          flag,
          [flag, &value, low, high](const std::string& text) {
            value = count_or_throw(flag, text, low, high);
          },
          help)
      ->type_name("N")
      ->default_str(absent);
}

CLI::Option* add_text(CLI::App& app, const std::string& flag, std::string& value, const std::string& type,
                      const std::string& help) {
  return app.add_option(flag, value, help)->type_name(type)->capture_default_str();
}

}  // namespace dsbench::cli
