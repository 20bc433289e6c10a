#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/sse_reader.h"

namespace dsbench::loadgen {

// The reader of every API that answers in one JSON object. Its first token is the whole answer: it is told
// when the object's last brace has come. Blank lines before it keep the connection alive (DeepSeek) and are
// counted as comments.
class JsonReader : public ReplyReader {
 public:
  // A longer answer is refused.
  static constexpr std::size_t limit = std::size_t{64} << 20;

  void begin(std::int32_t status) final;
  void feed(std::string_view bytes) final { input_ = bytes; }
  [[nodiscard]] std::optional<Step> next() final;
  [[nodiscard]] Step end_of_body() final;
  [[nodiscard]] results::Reason broken_off() const final;
  [[nodiscard]] Usage usage() const final { return usage_; }
  [[nodiscard]] std::uint64_t comments() const final { return comments_; }

 protected:
  // The whole object. Fills usage_ (forgotten before each answer). Content and failure are looked at.
  [[nodiscard]] virtual Verdict judge(std::string_view object) = 0;

  Usage usage_;

 private:
  // The object's bytes, when the last brace is among the input; the rest of the input is dropped.
  [[nodiscard]] std::optional<std::string_view> take_object();
  Step fail(results::Reason reason);

  std::string_view input_;
  std::string kept_;  // the beginning of the object, from earlier pieces
  std::size_t depth_ = 0;
  bool begun_ = false, in_string_ = false, escaped_ = false;
  bool ended_ = false, foreign_ = false;
  std::optional<Step> ending_;
  std::uint64_t comments_ = 0;
};

}  // namespace dsbench::loadgen
