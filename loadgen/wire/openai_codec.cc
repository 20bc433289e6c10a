#include "loadgen/wire/openai_codec.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "loadgen/wire/chunk_scanner.h"

namespace dsbench::loadgen {
namespace {

using results::Reason;

// 26 letters and 6 spaces: about English word lengths. 12 characters from each 64-bit word.
constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz      ";

// SplitMix64's step (Steele, Lea and Flood, 2014): much cheaper than a named stream per request, and as good
// for text.
std::uint64_t split_mix(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

void append_number(std::string& out, std::int64_t n) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
  out.append(digits, end);
}

}  // namespace

void append_prompt(std::uint64_t seed, std::int64_t bytes, std::string& out) {
  if (bytes <= 0) return;
  const std::size_t from = out.size();
  const std::size_t size = static_cast<std::size_t>(bytes);
  out.resize(from + size);
  char* const text = out.data() + from;
  std::uint64_t state = seed;
  for (std::size_t i = 0; i < size;) {
    std::uint64_t word = split_mix(state);
    for (int k = 0; k < 12 && i < size; ++k, ++i, word >>= 5) text[i] = alphabet[word & 31];
  }
  if (text[0] == ' ') text[0] = 'a';
  if (text[size - 1] == ' ') text[size - 1] = 'z';
}

RequestEncoder::RequestEncoder(Api api, std::string_view model, bool exact_lengths)
    : api_{api}, exact_lengths_{exact_lengths} {
  using nlohmann::json;
  const std::string name = json(std::string{model}).dump(-1, ' ', true, json::error_handler_t::replace);
  head_ = "{\"model\":" + name;
  head_ += api == Api::chat ? ",\"messages\":[{\"role\":\"user\",\"content\":\"" : ",\"prompt\":\"";
  tail_ = api == Api::chat ? "\"}]" : "\"";
  tail_ += ",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"temperature\":0";
  if (exact_lengths) tail_ += ",\"ignore_eos\":true";
  tail_ += ",\"max_tokens\":";
}

void RequestEncoder::encode(const Attempt& attempt, std::string& body) const {
  body.clear();
  body.reserve(head_.size() + tail_.size() + 80 +
               static_cast<std::size_t>(std::max(attempt.prompt_tokens, 0)));
  body += head_;
  append_prompt(attempt.prompt_seed, attempt.prompt_tokens, body);
  body += tail_;
  append_number(body, attempt.output_tokens);
  if (exact_lengths_) {
    body += ",\"min_tokens\":";
    append_number(body, attempt.output_tokens);
  }
  body += ",\"seed\":";  // 31 bits: every server's integer holds it
  append_number(body, static_cast<std::int64_t>(attempt.prompt_seed & 0x7FFF'FFFF));
  body += '}';
}

std::string_view RequestEncoder::path() const {
  return api_ == Api::chat ? "/chat/completions" : "/completions";
}

void StreamReader::reset() {
  parser_.reset();
  ended_ = finished_ = false;
  content_chunks_ = 0;
  pending_failure_ = Reason::ok;
  usage_prompt_tokens_.reset();
  usage_output_tokens_.reset();
}

void StreamReader::feed(std::string_view bytes) {
  parser_.feed(bytes);
}

StreamReader::Step StreamReader::fail(Reason reason) {
  ended_ = true;
  return {Step::Kind::failed, reason};
}

std::optional<StreamReader::Step> StreamReader::next() {
  if (ended_) return std::nullopt;
  if (pending_failure_ != Reason::ok) return fail(pending_failure_);
  while (const auto event = parser_.next()) {
    if (event->data == "[DONE]") {
      if (!finished_) return fail(Reason::closed_early);
      if (content_chunks_ == 0) return fail(Reason::empty);
      ended_ = true;
      return Step{Step::Kind::done, Reason::ok};
    }
    const auto facts = scan_chunk(event->data);
    if (event->event == "error" || (facts && facts->is_error)) return fail(Reason::error_frame);
    if (!facts) return fail(Reason::malformed);
    if (facts->usage_prompt_tokens) usage_prompt_tokens_ = facts->usage_prompt_tokens;
    if (facts->usage_output_tokens) usage_output_tokens_ = facts->usage_output_tokens;
    if (facts->has_finish_reason) finished_ = true;
    if (facts->insufficient_resource) pending_failure_ = Reason::insufficient_resource;
    if (facts->has_content) {
      ++content_chunks_;
      return Step{Step::Kind::tokens, Reason::ok};
    }
    if (pending_failure_ != Reason::ok) return fail(pending_failure_);
  }
  if (parser_.overflowed()) return fail(Reason::malformed);
  return std::nullopt;
}

Reason StreamReader::end_of_body() const {
  // A body without one event but with lines that no event stream has: not the protocol (JSON, HTML).
  if (parser_.events() == 0 && (parser_.unknown_lines() > 0 || parser_.partial_is_foreign()))
    return Reason::malformed;
  return Reason::closed_early;
}

}  // namespace dsbench::loadgen
