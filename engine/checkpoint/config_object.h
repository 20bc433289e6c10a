#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace dsbench::engine::checkpoint {

// One object of somebody else's JSON, read loosely: unknown keys are passed over, null counts as absent, and
// what is wrong is remembered with its key, to be said all at once. Nested objects share their root's
// complaints and must not outlive it.
class ConfigObject {
 public:
  [[nodiscard]] static Result<ConfigObject> parse(std::string_view text, const std::string& source);
  ConfigObject(ConfigObject&&) noexcept;
  ConfigObject& operator=(ConfigObject&&) noexcept;
  ~ConfigObject();

  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] bool is_list(std::string_view key) const;
  // Required where no fallback is given; complains about a value outside [least, 2^31).
  std::int32_t count(std::string_view key, std::int64_t least, std::optional<std::int32_t> fallback = {});
  // Above 0.
  double positive(std::string_view key, std::optional<double> fallback = {});
  // At least 0.
  double number(std::string_view key, double fallback);
  bool boolean(std::string_view key, std::optional<bool> fallback = {});
  std::string text(std::string_view key, std::optional<std::string> fallback = {});
  // A whole number or a list of them; empty when absent.
  std::vector<std::int64_t> counts(std::string_view key);
  // Complains unless the key is absent or has this very value.
  void only(std::string_view key, bool accepted, std::string_view why);
  void only(std::string_view key, std::int64_t accepted, std::string_view why);
  void only(std::string_view key, double accepted, std::string_view why);
  void only(std::string_view key, std::initializer_list<std::string_view> accepted,
            std::string_view why = "");
  [[nodiscard]] ConfigObject object(std::string_view key);

  void complain(std::string_view key, const std::string& message);
  [[nodiscard]] Result<void> finish() const;

 private:
  struct Node;
  explicit ConfigObject(std::unique_ptr<Node> node);
  std::unique_ptr<Node> node_;
};

}  // namespace dsbench::engine::checkpoint
