#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loadgen/codec/body_pattern.h"
#include "loadgen/codec/codec.h"
#include "loadgen/codec/http_template.h"

// Any HTTP service, as a template says. An answer is one token, which comes with its head: TTFT is the first
// byte.
namespace dsbench::loadgen {

class HttpCodec final : public Codec {
 public:
  // The template's expression has been checked.
  explicit HttpCodec(HttpTemplate made);

  [[nodiscard]] std::string_view method() const override { return template_.method; }
  [[nodiscard]] std::string_view path() const override { return template_.path; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> headers() const override {
    return template_.headers;
  }
  void encode(const Attempt& attempt, PromptCache& cache, Body& body) const override;
  [[nodiscard]] std::unique_ptr<ReplyReader> make_reader() const override;
  [[nodiscard]] std::string_view models_path() const override { return {}; }
  [[nodiscard]] bool tells_text() const override { return false; }
  [[nodiscard]] std::string_view whole_answer() const override {
    return "the status and the body that the template expects";
  }

 private:
  HttpTemplate template_;
  std::optional<BodyPattern> pattern_;
};

// Reads a body to its end. One that is not as expected is malformed.
class HttpReader final : public ReplyReader {
 public:
  // An expression is looked for in this many bytes from the beginning.
  static constexpr std::size_t pattern_reach = std::size_t{1} << 20;

  HttpReader(const HttpTemplate& made, std::optional<BodyPattern> pattern)
      : statuses_{made.statuses}, search_{made.contains}, pattern_{std::move(pattern)} {}

  void begin(std::int32_t status) override;
  [[nodiscard]] bool expects(std::int32_t status) const override;
  void feed(std::string_view bytes) override;
  [[nodiscard]] std::optional<Step> next() override;
  [[nodiscard]] Step end_of_body() override;
  [[nodiscard]] results::Reason broken_off() const override { return results::Reason::closed_early; }
  [[nodiscard]] Usage usage() const override { return {}; }
  [[nodiscard]] std::uint64_t comments() const override { return 0; }

 private:
  std::vector<std::int32_t> statuses_;
  BodySearch search_;
  std::optional<BodyPattern> pattern_;
  std::string kept_;   // for the pattern
  bool head_ = false;  // came, and was not told yet
};

}  // namespace dsbench::loadgen
