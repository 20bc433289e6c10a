#include "loadgen/codec/http_codec.h"

#include <algorithm>

#include "loadgen/codec/prompt_text.h"
#include "loadgen/codec/request_text.h"

namespace dsbench::loadgen {

using results::Reason;

HttpCodec::HttpCodec(HttpTemplate made) : template_{std::move(made)} {
  if (template_.matches.empty()) return;
  if (auto pattern = BodyPattern::compile(template_.matches)) pattern_ = std::move(*pattern);
}

void HttpCodec::encode(const Attempt& attempt, PromptCache& cache, Body& body) const {
  using Kind = HttpTemplate::Piece::Kind;
  body.clear();
  std::string& text = body.text();
  for (const HttpTemplate::Piece& piece : template_.body) {
    switch (piece.kind) {
      case Kind::text:
        text += piece.text;
        break;
      case Kind::seed:
        append_number(text, seed_of(attempt));
        break;
      case Kind::request:
        append_number(text, static_cast<std::int64_t>(attempt.request));
        break;
      case Kind::attempt:
        append_number(text, attempt.attempt);
        break;
      case Kind::prompt:
        Prompt{attempt}.append_text(cache, body);
        break;
      case Kind::prompt_tokens:
        append_number(text, attempt.prompt_tokens);
        break;
      case Kind::output_tokens:
        append_number(text, attempt.output_tokens);
        break;
    }
  }
}

std::unique_ptr<ReplyReader> HttpCodec::make_reader() const {
  return std::make_unique<HttpReader>(template_, pattern_);
}

void HttpReader::begin(std::int32_t status) {
  head_ = status > 0;
  kept_.clear();
  search_.restart();
}

bool HttpReader::expects(std::int32_t status) const {
  if (statuses_.empty()) return ReplyReader::expects(status);
  return std::find(statuses_.begin(), statuses_.end(), status) != statuses_.end();
}

void HttpReader::feed(std::string_view bytes) {
  search_.feed(bytes);
  if (pattern_) kept_.append(bytes.substr(0, pattern_reach - kept_.size()));
}

std::optional<ReplyReader::Step> HttpReader::next() {
  if (!head_) return std::nullopt;
  head_ = false;
  return Step{};
}

ReplyReader::Step HttpReader::end_of_body() {
  if (!search_.found() || (pattern_ && !pattern_->matches(kept_)))
    return {.kind = Step::Kind::failed, .reason = Reason::malformed};
  return {.kind = Step::Kind::done};
}

}  // namespace dsbench::loadgen
