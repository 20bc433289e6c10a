#include "loadgen/codec/json_reader.h"

namespace dsbench::loadgen {

using results::Reason;

void JsonReader::begin(std::int32_t /*status*/) {
  input_ = {};
  kept_.clear();
  depth_ = 0;
  begun_ = in_string_ = escaped_ = ended_ = foreign_ = false;
  ending_.reset();
  comments_ = 0;
  usage_ = {};
}

ReplyReader::Step JsonReader::fail(Reason reason) {
  ended_ = true;
  return {.kind = Step::Kind::failed, .reason = reason};
}

std::optional<std::string_view> JsonReader::take_object() {
  if (!begun_) {
    std::size_t at = 0;
    for (; at < input_.size(); ++at) {
      const char c = input_[at];
      if (c == '\n') ++comments_;
      if (c != ' ' && c != '\t' && c != '\r' && c != '\n') break;
    }
    input_.remove_prefix(at);
    if (input_.empty()) return std::nullopt;
    begun_ = true;
    foreign_ = input_.front() != '{';
    if (foreign_) return std::nullopt;
  }
  for (std::size_t at = 0; at < input_.size(); ++at) {
    const char c = input_[at];
    if (escaped_) {
      escaped_ = false;
    } else if (in_string_) {
      if (c == '\\') escaped_ = true;
      if (c == '"') in_string_ = false;
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
      const std::string_view last = input_.substr(0, at + 1);
      input_ = {};
      if (kept_.empty()) return last;
      kept_.append(last);
      return kept_;
    }
  }
  kept_.append(input_);
  input_ = {};
  return std::nullopt;
}

std::optional<ReplyReader::Step> JsonReader::next() {
  if (ended_) return std::nullopt;
  if (ending_) {
    ended_ = true;
    return ending_;
  }
  const auto object = take_object();
  if (foreign_ || kept_.size() > limit) return fail(Reason::malformed);
  if (!object) return std::nullopt;
  const Verdict verdict = judge(*object);
  if (!verdict.content) return fail(verdict.failure == Reason::ok ? Reason::empty : verdict.failure);
  ending_ = verdict.failure == Reason::ok ? Step{.kind = Step::Kind::done}
                                          : Step{.kind = Step::Kind::failed, .reason = verdict.failure};
  return Step{.tokens = verdict.tokens, .reasoning = verdict.reasoning};
}

ReplyReader::Step JsonReader::end_of_body() {
  return fail(broken_off());
}

Reason JsonReader::broken_off() const {
  return foreign_ ? Reason::malformed : Reason::closed_early;
}

}  // namespace dsbench::loadgen
