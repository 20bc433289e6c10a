#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "loadgen/codec/answer_text.h"
#include "loadgen/codec/body.h"
#include "loadgen/target.h"
#include "results/record.h"

// One API as a load generator needs it: how a request is written, and what the bytes of an answer mean. A
// codec knows nothing of sockets and clocks; both wires use the same ones.
namespace dsbench::loadgen {

// Judges the answer to one attempt, piece by piece: what arrived, and whether it was whole. However the bytes
// are cut into pieces, the steps are the same.
//
//   reader.begin(status); while (auto step = reader.next()) …    when the head of the answer has come
//   reader.feed(bytes); while (auto step = reader.next()) …      for every piece of the body
//   if (!ended) step = reader.end_of_body();                     when the body is over, orderly
class ReplyReader {
 public:
  // What the answer has come to, in the order in which it came.
  struct Step {
    enum class Kind : std::uint8_t { tokens, done, failed };
    Kind kind = Kind::tokens;
    std::int32_t tokens = 1;                       // of `tokens`: in this chunk, as far as it can be known
    bool reasoning = false;                        // of `tokens`: not the answer yet
    results::Reason reason = results::Reason::ok;  // of `failed`
  };
  struct Usage {
    std::optional<std::int32_t> prompt_tokens = {}, output_tokens = {};
    std::optional<std::int32_t> cached_prompt_tokens = {}, reasoning_tokens = {};
    // What a later word of the server says, where it says something.
    void take(const Usage& later) {
      if (later.prompt_tokens) prompt_tokens = later.prompt_tokens;
      if (later.output_tokens) output_tokens = later.output_tokens;
      if (later.cached_prompt_tokens) cached_prompt_tokens = later.cached_prompt_tokens;
      if (later.reasoning_tokens) reasoning_tokens = later.reasoning_tokens;
    }
    friend bool operator==(const Usage&, const Usage&) = default;
  };

  virtual ~ReplyReader() = default;

  // A new answer; keeps the memory. Only answers of a status that expects(status) says are read at all.
  // Status 0 forgets the former answer, and nothing comes of it. next() may have something right after
  // begin(): where a body may be empty, the head is the first byte of the answer.
  virtual void begin(std::int32_t status) = 0;
  // This status begins an answer that is worth reading; any other is a failure with the reason of its status.
  [[nodiscard]] virtual bool expects(std::int32_t status) const { return status >= 200 && status < 300; }

  // `bytes` must stay until next() has returned nothing. After done or failed nothing more is returned.
  virtual void feed(std::string_view bytes) = 0;
  [[nodiscard]] virtual std::optional<Step> next() = 0;
  // The body ended, orderly by HTTP's measure: done or failed. Only to be asked when next() told no end.
  [[nodiscard]] virtual Step end_of_body() = 0;
  // The connection was lost in the middle of the body: why that is a failure.
  [[nodiscard]] virtual results::Reason broken_off() const = 0;

  [[nodiscard]] virtual Usage usage() const = 0;
  // From now on what answers say is appended there too, where the codec tells_text(). Null: no more.
  void keep_text(AnswerText* to) { text_ = to; }
  // Keep-alive comments, pings and blank lines so far: what feeds a read timeout without being an answer.
  [[nodiscard]] virtual std::uint64_t comments() const = 0;

 protected:
  AnswerText* text_ = nullptr;
};

// Thread-safe: all const.
class Codec {
 public:
  virtual ~Codec() = default;

  [[nodiscard]] virtual std::string_view method() const { return "POST"; }
  // Below the base URL, with its slash: "/v1/chat/completions".
  [[nodiscard]] virtual std::string_view path() const = 0;
  // Beyond those of every request (Content-Type, Accept, User-Agent), without the key: {"anthropic-version",
  // "…"}.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> headers() const { return {}; }
  // Name and value of the header that carries an API key: {"Authorization", "Bearer " + key}.
  [[nodiscard]] virtual std::pair<std::string, std::string> key_header(const std::string& key) const {
    return {"Authorization", "Bearer " + key};
  }
  // Replaces `body`. Long parts come from the cache.
  virtual void encode(const Attempt& attempt, class PromptCache& cache, Body& body) const = 0;
  [[nodiscard]] virtual std::unique_ptr<ReplyReader> make_reader() const = 0;

  // "/v1/models" where the API has a list of models in OpenAI's form; empty where it has none.
  [[nodiscard]] virtual std::string_view models_path() const { return "/v1/models"; }
  // Fewer output tokens are asked for as this many, because the API refuses less.
  [[nodiscard]] virtual std::int32_t fewest_output_tokens() const { return 1; }
  // Whether a request of this API can carry images; else they are left out, and nobody should ask.
  [[nodiscard]] virtual bool takes_images() const { return false; }
  // Whether its readers keep the text of an answer when asked to.
  [[nodiscard]] virtual bool tells_text() const { return true; }
  // What a whole answer has, for people: "content, a finish_reason and data: [DONE]".
  [[nodiscard]] virtual std::string_view whole_answer() const = 0;
};

// What a codec is made from.
struct CodecConfig {
  std::string api = "chat";  // one of apis(), or "http:FILE"
  std::string model = {};
  // Ask for ignore_eos and min_tokens where the API has them, so that the answer has as many tokens as asked.
  // Without, nothing is asked for that the API's own documents do not know.
  bool exact_lengths = true;
  bool stream = true;  // else the answer comes in one piece, where the API can
};

// A word that --api takes, and what it stands for.
struct ApiName {
  std::string_view name, help;
};
[[nodiscard]] const std::vector<ApiName>& apis();

// Errors: usage (a name that is none of apis(), a template that cannot be accepted, a model that the API
// needs and nobody named, a way of answering that the API has not), io (a template that cannot be read).
[[nodiscard]] Result<std::shared_ptr<const Codec>> make_codec(const CodecConfig& config);

}  // namespace dsbench::loadgen
