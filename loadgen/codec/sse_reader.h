#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/sse_parser.h"

namespace dsbench::loadgen {

// What a piece of an answer comes to.
struct Verdict {
  bool content = false;
  std::int32_t tokens = 1;  // of content
  bool reasoning = false;   // of content
  bool done = false;        // the answer is over, and whole
  results::Reason failure = results::Reason::ok;

  [[nodiscard]] static Verdict of_content(std::int32_t tokens, bool reasoning = false) {
    return {.content = true, .tokens = tokens, .reasoning = reasoning};
  }
  [[nodiscard]] static Verdict of_failure(results::Reason why) { return {.failure = why}; }
  [[nodiscard]] static Verdict of_end() { return {.done = true}; }
};

// The reader of every API that answers in server-sent events: an API has only to judge one event.
class SseReader : public ReplyReader {
 public:
  void begin(std::int32_t status) final;
  void feed(std::string_view bytes) final { parser_.feed(bytes); }
  [[nodiscard]] std::optional<Step> next() final;
  [[nodiscard]] Step end_of_body() final;
  [[nodiscard]] results::Reason broken_off() const final;
  [[nodiscard]] Usage usage() const override { return usage_; }
  [[nodiscard]] std::uint64_t comments() const final { return parser_.comments() + pings_; }

 protected:
  // For a new answer; usage_ is already forgotten.
  virtual void restart() = 0;
  // Content before an end in the same event is told first. An end without any content is a failure.
  [[nodiscard]] virtual Verdict judge(const SseEvent& event) = 0;
  // The body may end now: for APIs that have no end marker.
  [[nodiscard]] virtual bool may_end() const { return false; }

  Usage usage_;
  std::uint64_t pings_ = 0;  // events that only keep the connection alive

 private:
  Step end(const Verdict& verdict);

  SseParser parser_;
  bool ended_ = false;
  bool content_ = false;           // some came
  std::optional<Verdict> ending_;  // came in the same event as the content that was told last
};

}  // namespace dsbench::loadgen
