#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "loadgen/codec/body.h"
#include "loadgen/target.h"
#include "results/record.h"

// One API as a load generator needs it: how a request is written, and what the bytes of an answer mean. A
// codec knows nothing of sockets and clocks; both wires use the same ones.
namespace dsbench::loadgen {

// Judges the answer to one attempt, piece by piece: what arrived, and whether it was whole. However the bytes
// are cut into pieces, the steps are the same.
//
//   reader.begin(status);
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
    std::optional<std::int32_t> prompt_tokens, output_tokens;
    std::optional<std::int32_t> cached_prompt_tokens, reasoning_tokens;
  };

  virtual ~ReplyReader() = default;

  // A new answer; keeps the memory. Only answers of a status that expects(status) says are read at all.
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
  // Keep-alive comments, pings and blank lines so far: what feeds a read timeout without being an answer.
  [[nodiscard]] virtual std::uint64_t comments() const = 0;
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
};

// What a codec is made from.
struct CodecConfig {
  std::string api = "chat";  // one of codec_names()
  std::string model;
  bool exact_lengths =
      true;  // ask for ignore_eos and min_tokens, so that the answer has as many tokens as asked
};

// The words that --api takes.
[[nodiscard]] const std::vector<std::string_view>& codec_names();

// Errors: usage, for a name that is none of codec_names().
[[nodiscard]] Result<std::shared_ptr<const Codec>> make_codec(const CodecConfig& config);

}  // namespace dsbench::loadgen
