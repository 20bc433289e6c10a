#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "core/units.h"

namespace dsbench::profiles {

// Reads one JSON object strictly, for profiles: every key is asked for once, a missing or mistyped one is
// remembered as an error with its path, and finish() also refuses keys that nobody asked for (with the
// nearest accepted one). Reading goes on after an error with the fallback, so a loader stays a flat list of
// reads and checks once, at the end.
//
// Copies share one document and one error list: an object from object() or each() reports to its root.
class JsonObject {
 public:
  // `source` names the document in messages (a path, or "shipped profile 'x'"). Accepts // and /* */
  // comments.
  [[nodiscard]] static Result<JsonObject> parse(std::string_view text, std::string source);

  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] bool is_object(std::string_view key) const;
  [[nodiscard]] bool is_text(std::string_view key) const;

  // Required when no fallback is given.
  [[nodiscard]] double number(std::string_view key, std::optional<double> fallback = std::nullopt);
  [[nodiscard]] std::int64_t integer(std::string_view key,
                                     std::optional<std::int64_t> fallback = std::nullopt);
  [[nodiscard]] bool boolean(std::string_view key, std::optional<bool> fallback = std::nullopt);
  [[nodiscard]] std::string text(std::string_view key, std::optional<std::string> fallback = std::nullopt);
  // A string with its unit, "30s"; see core/text.h.
  [[nodiscard]] Nanos duration(std::string_view key, std::optional<Nanos> fallback = std::nullopt);
  // A string with its unit, "12.5/s".
  [[nodiscard]] Rate rate(std::string_view key, std::optional<Rate> fallback = std::nullopt);
  // One of the accepted words; returns its index.
  [[nodiscard]] std::size_t choice(std::string_view key, const std::vector<std::string_view>& accepted,
                                   std::optional<std::size_t> fallback = std::nullopt);
  [[nodiscard]] std::vector<double> numbers(std::string_view key,
                                            std::optional<std::vector<double>> fallback = std::nullopt);
  // An array of pairs, each of two strings or numbers, as text: [["0s", "12/s"], ["5m", 3]]. Required.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> text_pairs(std::string_view key);
  // An object of numbers, sorted by name; empty when it is missing.
  [[nodiscard]] std::vector<std::pair<std::string, double>> named_numbers(std::string_view key);
  // A nested object; an empty one (every read fails or falls back) when it is missing and `required`.
  [[nodiscard]] JsonObject object(std::string_view key, bool required = true);
  // Calls `f` on each element of an array of objects.
  void each(std::string_view key, const std::function<void(JsonObject&)>& f, bool required = true);

  // Remembers a complaint of the loader's own about this key: "<source>: <path>: <message>".
  void complain(std::string_view key, std::string message);

  // Checks "dsbench.<kind>/<major>" under the key "schema": another kind, or a newer major, is an error.
  void schema(std::string_view kind, int newest_major);

  // Everything that was wrong in the whole document, one line each; or success. Call on the root.
  [[nodiscard]] Result<void> finish() const;

  // Where this object came from, as given to parse().
  [[nodiscard]] const std::string& source() const;

 private:
  struct Document;
  struct Node;
  JsonObject(std::shared_ptr<Document> document, std::shared_ptr<Node> node);
  std::shared_ptr<Document> document_;
  std::shared_ptr<Node> node_;
};

}  // namespace dsbench::profiles
